"""`control-plane config apply`: a version is in force everywhere, or the one before is in its place again."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.processes.process import Run, run_arguments
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, Server, config_for, new_team, serving, settings_for, write_config


async def apply(server: Server, config: Path, new: Path, *more: str, url: str | None = None) -> Run:
    known = {"config": config, "master_key": MASTER_KEY}
    return await run_arguments(["config", "apply", str(new), "--url", url or server.url, *more], config.parent, **known)


def json_in(ran: Run) -> Any:
    """What is on standard output, behind what is on standard error."""
    return json.loads(ran.output[ran.output.index("{") :])


@pytest.mark.timeout(400)  # six commands that load LiteLLM
async def test_a_version_is_in_force_or_the_one_before_is_in_its_place(
    provider: Provider, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, config_for(provider))
    before = config.read_text()
    new = tmp_path / "new.yaml"
    async with serving(settings_for(sqlite_url, config)) as server, new_team(server) as team:
        # given a version that takes a group away, when nobody agrees, then it is named and nothing changes
        content = yaml.safe_load(before)
        content["model_groups"]["json"]["teams"] = ["other-*"]
        new.write_text(yaml.safe_dump(content))
        for url in (None, "http://127.0.0.1:9"):
            refused = await apply(server, config, new, url=url)
            assert refused.code == 1
            expected = (
                "http://127.0.0.1:9 cannot be reached" if url else f"Model group json is lost by the team {team.id}."
            )
            assert expected in refused.output
            assert (config.read_text(), "Traceback" in refused.output) == (before, False)

        # given a variable that the server does not have, then it refuses, and the version before is back
        content["model_list"][0]["litellm_params"]["api_key"] = "os.environ/ONLY_THE_SHELL_HAS_IT"
        new.write_text(yaml.safe_dump(content))
        monkeypatch.setenv("ONLY_THE_SHELL_HAS_IT", "sk-x")
        refused = await apply(server, config, new, "--yes")
        assert refused.code == 1, refused.output
        assert "ONLY_THE_SHELL_HAS_IT is not set" in refused.output
        assert "is in its place again. In force at 1 server." in refused.output
        assert config.read_text() == before
        assert not server.services.configuration.is_refused

        # given consent and a version that the server takes, then it is in force, with the one before beside it
        content["model_list"][0]["litellm_params"]["api_key"] = "sk-y"
        new.write_text(yaml.safe_dump(content))
        shown = await run_arguments(
            ["config", "diff", str(new), "--json"], tmp_path, config=config, master_key=MASTER_KEY
        )
        difference = json_in(shown)
        assert difference.keys() == {"generation", "compared", "lost_patterns", "changes"}
        assert "json" in difference["lost_patterns"][0]
        applied = await apply(server, config, new, "--yes", "--json")
        assert applied.code == 0, applied.output
        rollout = json_in(applied)
        assert rollout == {"ok": True, "generation": difference["generation"], "message": "In force at 1 server."}
        assert config.read_text() == new.read_text()
        assert config.with_name("litellm_config.yaml.previous").read_text() == before
