"""The YAML changes while calls run: no call notices, and a wrong file changes nothing."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from control_plane.configuration.service import Configuration
from control_plane.gateway.deployments import RouterConfig
from control_plane.gateway.router import Gateway
from control_plane.ids import new_id
from control_plane.replicas.lease import Lease
from control_plane.settings import Settings
from tests.calls.sse import only_call, streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, config_for, new_team, write_config

Json = dict[str, Any]


def edited(settings: Settings, provider: Provider, *, times: int = 1000, **more: Any) -> None:
    """The file with prices so many times as high, and one group more."""
    config = config_for(provider, **more)
    for deployment in config["model_list"]:
        deployment["model_info"]["input_cost_per_token"] *= times
        deployment["model_info"]["output_cost_per_token"] *= times
        deployment["model_info"]["confirmed_price"] = True  # high enough to be taken for a mistake
    config["model_groups"]["New"] = {"models": ["ok"], "teams": ["*"]}
    write_config(settings.config.parent, config)


def edited_by_halves(settings: Settings, provider: Provider) -> None:
    """Half of a file, then another in its place, as editors and mounted volumes do it."""
    edited(settings, provider, times=3)
    new = settings.config.rename(settings.config.with_suffix(".new"))
    settings.config.write_text(new.read_text()[:1000])
    new.replace(settings.config)


async def groups(admin: httpx.AsyncClient) -> Json:
    answer = await admin.get("/api/model-groups")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def until(admin: httpx.AsyncClient, claim: Callable[[Json], bool]) -> Json:
    """The configuration as soon as the claim holds of it: the file is looked at once a second."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: Json = (await groups(admin))["configuration"]
            if claim(found):
                return found
            await asyncio.sleep(0.1)


async def until_not(admin: httpx.AsyncClient, generation: str) -> None:
    await until(admin, lambda found: found["generation"] != generation)


async def test_a_stream_ends_as_it_began_and_the_next_call_is_of_the_new_version(
    server: Server, settings: Settings, team: Team, admin: httpx.AsyncClient, provider: Provider
) -> None:
    before = (await groups(admin))["configuration"]
    assert (before["is_same_everywhere"], before["problems"], len(before["replicas"])) == (True, [], 1)
    old, new = await team.create_job(), await team.create_job()
    assert (await team.call(new, "New")).status_code == 404
    async with streaming(team, old, "hold") as stream:
        await stream.pieces(3)
        edited(settings, provider)
        answer = await admin.post("/api/model-groups/reload")
        assert answer.status_code == 200, answer.text
        reloaded = answer.json()
        assert reloaded["generation_before"] == before["generation"] != reloaded["generation"]
        assert "model group New is new" in reloaded["changes"]
        after = (await groups(admin))["configuration"]
        assert (after["generation"], after["is_same_everywhere"]) == (reloaded["generation"], True)
        metrics = (await admin.get("/metrics")).text
        assert re.findall(r'^control_plane_config_info\{generation="(.*)"\}', metrics, re.MULTILINE) == [
            after["generation"]
        ]
        assert (await team.call(new, "New")).status_code == 200
        provider.release("hold")
        await stream.rest()
    assert (await only_call(team, old))["cost_usd"] == COST_USD
    assert (await only_call(team, new))["cost_usd"] == COST_USD * 1000
    assert (await admin.post("/api/model-groups/reload")).json()["changes"] == []
    for job_id in (old, new):
        await team.complete(job_id)
    (await Books.of(team)).check()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_wrong_file_changes_nothing_and_says_why(
    settings: Settings, team: Team, admin: httpx.AsyncClient, provider: Provider
) -> None:
    before = (await groups(admin))["configuration"]["generation"]
    job_id = await team.create_job()
    settings.config.write_text(settings.config.read_text().replace("num_retries", "num_retrys"))
    answer = await admin.post("/api/model-groups/reload")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_config")
    assert "did you mean 'num_retries'?" in answer.json()["error"]["problems"][0]
    config = config_for(provider)
    config["model_list"].append({"model_name": "odd", "litellm_params": {"model": "openai/odd", "order": "first"}})
    write_config(settings.config.parent, config)
    assert (await admin.post("/api/model-groups/reload")).status_code == 422
    ready = await admin.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["config"]) == (200, "refused"), "customers are served"
    assert "control_plane_config_refused 1.0" in (await admin.get("/metrics")).text
    settings.config.unlink()
    found = await until(admin, lambda found: "there is no such file" in str(found["problems"]))
    assert found["generation"] == before
    write_config(settings.config.parent, config_for(provider))
    await until(admin, lambda found: not found["problems"])
    assert "control_plane_config_refused 0.0" in (await admin.get("/metrics")).text
    assert (await team.call(job_id)).status_code == 200
    assert (await team.http.post("/api/model-groups/reload")).json()["error"]["code"] == "admin_only"
    assert (await team.http.get("/api/model-groups")).json()["configuration"] is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_change_of_the_file_is_noticed_and_calls_at_that_moment_succeed(
    server: Server, settings: Settings, admin: httpx.AsyncClient, provider: Provider
) -> None:
    is_over = False

    async def keep_calling(team: Team) -> int:
        made = 0
        job_id = await team.create_job()
        while not is_over:
            answer = await team.call(job_id)
            assert answer.status_code == 200, answer.text
            made += 1
        return made

    async with new_team(server) as one, new_team(server) as other:
        callers = [asyncio.create_task(keep_calling(team)) for team in (one, other)]
        for edit in (edited, edited_by_halves):
            generation = (await groups(admin))["configuration"]["generation"]
            edit(settings, provider)
            await until_not(admin, generation)
        is_over = True
        assert min(await asyncio.gather(*callers)) > 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_damaged_file_ends_no_process_and_the_next_good_one_is_in_force(
    settings: Settings, team: Team, admin: httpx.AsyncClient, provider: Provider
) -> None:
    good = settings.config.read_bytes()
    before = (await groups(admin))["configuration"]["generation"]
    job_id = await team.create_job()
    for damaged, said in (
        (b"\0" * len(good), "U+0000"),
        (b"a: !!timestamp x\n", "does not fit the tag"),
        (good + b'environment_variables: {A: "a\\0b"}\n', "U+0000"),
        (good.replace(b"model_groups:", b'model_groups:\n  Half: {models: [ok], description: "\\ud83d"}'), "U+D83D"),
    ):
        settings.config.write_bytes(damaged)
        found = await until(admin, lambda found, said=said: said in str(found["problems"]))  # type: ignore[misc]
        assert found["generation"] == before
        assert (await team.call(job_id)).status_code == 200
    settings.config.unlink()
    settings.config.mkdir()
    await until(admin, lambda found: "Is a directory" in str(found["problems"]))
    settings.config.rmdir()
    edited(settings, provider)
    assert (await until(admin, lambda found: found["generation"] != before))["problems"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_fault_of_ours_while_reloading_is_logged_and_the_old_version_stays(
    server: Server, settings: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    services = server.services

    async def fail(config: RouterConfig, before: Gateway | None) -> Gateway:
        raise RecursionError(config, before)

    before = services.calls.gateway
    lease = Lease(services.db, new_id(), clock=services.clock)
    configuration = Configuration(settings.config, services.groups, services.calls, lease, fail, services.audit, {})
    edited(settings, provider)
    task = asyncio.create_task(configuration.run())
    try:
        for _ in range(2):  # the second reload shows that the first has not ended it
            caplog.clear()
            configuration.ask()
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    if any(record.message == "config_not_reloaded" for record in caplog.records):
                        break
                    await asyncio.sleep(0.02)
        assert "could not be put in force: RecursionError" in configuration.problems[0]
        assert services.calls.gateway is before
    finally:
        task.cancel()
