"""An administrator's commands in a process of their own, at a running server; `test_every_command.py` has each of them."""

from pathlib import Path

from tests.acceptance.processes.process import run_arguments
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, config_for, serving, settings_for, write_config


async def test_what_the_server_refuses_is_a_sentence(provider: Provider, tmp_path: Path, sqlite_url: str) -> None:
    async with serving(settings_for(sqlite_url, write_config(tmp_path, config_for(provider)))) as running:
        ran = await run_arguments(["team", "show", "../x", "--url", running.url], tmp_path, master_key=MASTER_KEY)
        assert ran.code == 1
        assert ran.output.startswith("control-plane: /api/teams/")
        wrong = await run_arguments(["org", "list", "--url", running.url], tmp_path, master_key=f"{MASTER_KEY}-not")
        assert wrong.code == 1
        assert "401" in wrong.output
    nobody = await run_arguments(["org", "list", "--url", running.url], tmp_path, master_key=MASTER_KEY)
    assert nobody.code == 1
    assert "cannot be reached" in nobody.output
    assert "Traceback" not in nobody.output + wrong.output + ran.output
