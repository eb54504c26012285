"""Two servers on one Postgres: what an administrator changes at one holds at the other within 5 seconds."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.acceptance.processes.process import Process, run_arguments, server
from tests.calls.sse import streaming
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, Team, call_body, config_for, write_config


async def soon(claim: Callable[[], Awaitable[bool]]) -> None:
    """Until the claim holds. Raises: TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not await claim():  # noqa: ASYNC110 - the servers are other processes
            await asyncio.sleep(0.05)


class Replicas:
    """Both servers, and a team that is known to both."""

    def __init__(self, one: Process, two: Process, team: Team) -> None:
        self.one = one
        self.two = two
        self.team = team

    async def call_at_two(self, key: str, group: str = "ok") -> httpx.Response:
        body = {"job_type": "test", **call_body(group)}
        headers = {"Authorization": f"Bearer {key}"}
        return await self.team.http.post(f"{self.two.url}/api/jobs/create-and-call", json=body, headers=headers)

    async def generations(self) -> list[str]:
        answer = await self.team.admin.get(f"{self.two.url}/api/model-groups")
        return [each["generation"] for each in answer.json()["configuration"]["replicas"]]


@pytest.mark.timeout(400)  # three commands that load LiteLLM
async def test_what_changes_at_one_replica_holds_at_the_other(
    tmp_path: Path, postgres_url: str, provider: Provider
) -> None:
    config = write_config(tmp_path, config_for(provider))
    settings: dict[str, Any] = {"database_url": postgres_url, "config": config, "watch_config": False}
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one = await stack.enter_async_context(server(tmp_path / "one", **settings))
        two = await stack.enter_async_context(server(tmp_path / "two", **settings))
        replicas = Replicas(one, two, await stack.enter_async_context(one.team()))
        team = replicas.team
        await team.admin.post(
            f"/api/teams/{team.id}/credits/add", json={"credits": 10**6, "reason": "for all that is tried"}
        )
        await asyncio.gather(a_revoked_key_is_refused(replicas), a_grant_taken_back_is_gone(replicas))
        await a_reload_is_followed(replicas, config)
        await a_version_is_applied(replicas, config, settings)


async def a_revoked_key_is_refused(replicas: Replicas) -> None:
    team = replicas.team
    made = (await team.admin.post(f"/api/teams/{team.id}/keys", json={})).json()
    assert (await replicas.call_at_two(made["virtual_key"])).status_code == 200
    assert (await team.admin.delete(f"/api/teams/{team.id}/keys/{made['key_id']}")).status_code == 200

    async def is_refused() -> bool:
        return (await replicas.call_at_two(made["virtual_key"])).status_code == 401

    await soon(is_refused)


async def a_grant_taken_back_is_gone(replicas: Replicas) -> None:
    team = replicas.team

    async def grant(*names: str) -> None:
        answer = await team.admin.put(f"/api/teams/{team.id}/model-groups", json={"model_groups": names})
        assert answer.status_code == 200, answer.text

    async def status_is(status: int) -> bool:
        return (await replicas.call_at_two(team.key, "Private")).status_code == status

    await grant("Private")
    await soon(lambda: status_is(200))
    await grant()
    await soon(lambda: status_is(403))


async def a_reload_is_followed(replicas: Replicas, config: Path) -> None:
    """A SIGHUP to one; the other looks at its file when it hears of another version."""
    [before] = set(await replicas.generations())
    job_id = await replicas.team.create_job()
    async with streaming(replicas.team, job_id, "slow") as stream:
        add_comment(config)
        replicas.one.send(signal.SIGHUP)

        async def is_followed() -> bool:
            found = set(await replicas.generations())
            return len(found) == 1 and before not in found

        await soon(is_followed)
        await stream.rest()


async def a_version_is_applied(replicas: Replicas, config: Path, settings: dict[str, Any]) -> None:
    new = config.with_name("new.yaml")
    known = {**settings, "master_key": MASTER_KEY}
    apply = ["config", "apply", str(new), "--url", replicas.two.url]
    add_group(config, new, model="okay")
    refused = await run_arguments(apply, config.parent, **known)
    assert refused.code == 1
    assert "did you mean 'ok'?" in refused.output
    add_group(config, new, model="ok")
    shown = await run_arguments(["config", "diff", str(new)], config.parent, **known)
    assert shown.output == "model group New is new\n", "the refused version is not in the place of the old one"
    applied = await run_arguments(apply, config.parent, **known)
    assert "In force at all 2 servers." in applied.output
    assert (await replicas.call_at_two(replicas.team.key, "New")).status_code == 200


def add_comment(config: Path) -> None:
    config.write_text(config.read_text() + "\n# another version\n")


def add_group(config: Path, new: Path, *, model: str) -> None:
    content = yaml.safe_load(config.read_text())
    content["model_groups"]["New"] = {"models": [model], "teams": ["*"]}
    new.write_text(yaml.safe_dump(content))
