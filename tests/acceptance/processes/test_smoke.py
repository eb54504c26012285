"""`control-plane smoke`: what a deployment asks a service before it says that all is well."""

import json
from pathlib import Path

from tests.acceptance.processes.process import run_arguments
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, config_for, serving, settings_for, write_config


async def test_a_service_that_works_passes_twice_asks_its_provider_each_time_and_keeps_no_key(
    provider: Provider, tmp_path: Path, sqlite_url: str
) -> None:
    """An answer of the response cache would be green with a dead provider."""
    config = write_config(tmp_path, config_for(provider, litellm_settings={"cache": True}))
    async with serving(settings_for(sqlite_url, config)) as running:
        for _ in range(2):
            smoke = ["smoke", "--url", running.url, "--group", "json"]
            ran = await run_arguments(smoke, tmp_path, master_key=MASTER_KEY)
            assert ran.code == 0, ran.output
            assert "called without the response cache" in ran.output
            assert "The job is billed: 1 credit(s)" in ran.output
        ran = await run_arguments([*smoke, "--json"], tmp_path, master_key=MASTER_KEY)
        proved = json.loads(ran.output)
        assert (proved["url"], proved["model_group"], proved["calls"]) == (running.url, "json", 2)
        assert proved["credits_charged"] == 1
        assert len(provider.requests) == 6
        async with running.client(MASTER_KEY) as admin:
            assert (await admin.get("/api/teams/demo-smoke/credits")).json()["credits_used"] == 3
            keys = (await admin.get("/api/teams/demo-smoke/keys")).json()["keys"]
        assert [key for key in keys if key["name"] == "demo" and key["status"] == "active"] == []


async def test_a_model_that_does_not_answer_fails_it_and_charges_nothing(
    provider: Provider, tmp_path: Path, sqlite_url: str
) -> None:
    config = write_config(tmp_path, config_for(provider))
    async with serving(settings_for(sqlite_url, config)) as running:
        smoke = ["smoke", "--url", running.url, "--group", "e500"]
        ran = await run_arguments(smoke, tmp_path, master_key=MASTER_KEY)
        assert ran.code == 1
        assert ran.output.startswith(f"{running.url} is ready.\ncontrol-plane: ")
        assert "Traceback" not in ran.output
        async with running.client(MASTER_KEY) as admin:
            assert (await admin.get("/api/teams/demo-smoke/credits")).json()["credits_available"] == 100


async def test_nobody_at_the_address(tmp_path: Path) -> None:
    ran = await run_arguments(["smoke", "--url", "http://127.0.0.1:9"], tmp_path, master_key=MASTER_KEY)
    assert ran.code == 1
    assert "http://127.0.0.1:9 cannot be reached" in ran.output
    assert "Traceback" not in ran.output
