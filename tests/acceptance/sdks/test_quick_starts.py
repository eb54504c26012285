"""Every quick start of the guide and the README's first job run as printed: only address and key are put in."""

import json
import re
import shutil
import sys
from pathlib import Path

from tests.acceptance.sdks.programs import CLIENTS_PYTHON, in_node_folder, ran
from tests.client.wheel import install_wheel
from tests.support.server import MASTER_KEY, new_team, serving, settings_for

ROOT = Path(__file__).parents[3]
SECTION = re.compile(r"^## Quick starts\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMISED = (
    "from openai",
    'from "openai"',
    "from anthropic",
    "langchain_openai",
    "@ai-sdk/openai-compatible",
    "curl",
    "control_plane_client",
)
PROGRAMS = {"python": sys.executable, "js": "node", "bash": "sh"}


def quick_starts() -> list[tuple[str, str]]:
    """Language and text of each block of the section."""
    page = ROOT / "control_plane" / "guide" / "sdks.md"
    found = SECTION.search(page.read_text(encoding="utf-8"))
    assert found
    return BLOCK.findall(found[1])


def test_each_promised_client_has_one() -> None:
    texts = [text for _, text in quick_starts()]
    assert all(any(name in text for text in texts) for name in PROMISED)


async def test_they_run_as_printed(tmp_path: Path, sqlite_url: str) -> None:
    config = tmp_path / "litellm_config.yaml"
    shutil.copy(ROOT / "litellm_config.yaml", config)
    async with serving(settings_for(sqlite_url, config)) as server, new_team(server, team_id="acme-docs") as team:
        charged = 0
        for number, (language, text) in enumerate(quick_starts()):
            program = str(CLIENTS_PYTHON) if "langchain" in text else PROGRAMS[language]
            if shutil.which(program) is None:
                continue
            addressed = text.replace("http://localhost:8003", server.url).replace("sk-…", team.key)
            assert (text.count("http://localhost:8003"), text.count("sk-…")) == (1, 1)
            folder = tmp_path / str(number)
            folder.mkdir()
            file = in_node_folder(folder, addressed)
            if "control_plane_client" in text:
                await install_wheel(folder, tmp_path)
            said = await ran(program, str(file))
            assert "This is a demo answer." in said, text
            used = (await team.credits())["credits_used"]
            assert used > charged, text
            charged = used
        types = {job["job_type"] for job in (await team.http.get(f"/api/teams/{team.id}/jobs")).json()["jobs"]}
        assert types == {"story", "chat", "resume_analysis"}


async def test_the_first_job_of_the_readme_runs_as_printed(tmp_path: Path, sqlite_url: str) -> None:
    config = tmp_path / "litellm_config.yaml"
    shutil.copy(ROOT / "litellm_config.yaml", config)
    create, job = (
        text for language, text in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if language == "bash"
    )
    script = tmp_path / "first_job.sh"
    async with serving(settings_for(sqlite_url, config)) as server:
        (tmp_path / "var").mkdir()
        (tmp_path / "var" / "master_key").write_text(MASTER_KEY)
        script.write_text(f"cd {tmp_path}\n{create.replace('http://localhost:8003', server.url)}")
        team = json.loads(await ran("sh", str(script)))
        script.write_text(job.replace("http://localhost:8003", server.url).replace("sk-…", team["virtual_key"]))
        said = await ran("sh", str(script))
    assert "This is a demo answer." in said
    assert '"credits_remaining":99' in said.replace(" ", "")
