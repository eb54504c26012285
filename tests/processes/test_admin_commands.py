"""`control-plane org | team | key | credits | jobs`: what an administrator does from a shell, at a running server."""

import json
from pathlib import Path
from typing import Any

from tests.house import MASTER_KEY, config_for, serving, settings_for, write_config
from tests.processes.process import run_arguments
from tests.provider import Provider


async def test_a_team_from_its_first_key_to_its_last_job(provider: Provider, tmp_path: Path, sqlite_url: str) -> None:
    async with serving(settings_for(sqlite_url, write_config(tmp_path, config_for(provider)))) as running:

        async def command(*words: str) -> str:
            ran = await run_arguments([*words, "--url", running.url], tmp_path, master_key=MASTER_KEY)
            assert ran.code == 0, ran.output
            return ran.output

        async def told(*words: str) -> Any:
            return json.loads(await command(*words, "--json"))

        await command("org", "create", "acme", "--name", "Acme Inc.")
        made = await told("team", "create", "red", "--org", "acme", "--credits", "5", "--group", "ok")
        second = await told("key", "create", "red", "--name", "spare")
        async with running.client(second["virtual_key"]) as app:
            job = (await app.post("/api/jobs/create", json={"job_type": "report"})).json()["job_id"]
            call = {"model_group": "ok", "messages": [{"role": "user", "content": "Hello"}]}
            assert (await app.post(f"/api/jobs/{job}/llm-call", json=call)).status_code == 200
            await app.post(f"/api/jobs/{job}/complete", json={"status": "completed"})

            assert f"{job}  report    completed  1 " in await command("jobs", "list", "red")
            assert [call["model"] for call in (await told("jobs", "costs", job))["breakdown"]] == ["model-ok"]
            await command("credits", "add", "red", "7", "--reason", "a gift")
            await command("credits", "adjust", "red", "--by", "-2", "--reason", "a mistake")
            stands = await told("credits", "refund", "red", "--job", job, "--reason", "was no use")
            assert (stands["credits_allocated"], stands["credits_available"]) == (10, 10)

            await command("key", "revoke", "red", second["key_id"])
            assert (await app.get("/api/model-groups")).status_code == 401
        await command("team", "suspend", "red")
        async with running.client(made["virtual_key"]) as app:
            assert (await app.post("/api/jobs/create", json={"job_type": "report"})).status_code == 403
        teams = (await command("team", "list", "--org", "acme")).splitlines()
        assert [line.split()[:3] for line in teams] == [
            ["team_id", "organization_id", "status"],
            ["red", "acme", "suspended"],
        ]
        kinds = [row["kind"] for row in await told("credits", "transactions", "red")]
        assert kinds[:2] == ["refund", "adjustment"]


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
