"""Answers given again as customers meet them: free, marked, streamed as streams, their own team's, and off when told so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis as Client

from control_plane.cache.stores import PREFIX
from control_plane.reconciliation.rules import LATE
from control_plane.reconciliation.service import ReconciliationService
from tests.calls.sse import streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.redis_server import Redis
from tests.support.server import Server, Team, call_body, config_for, new_team, serving, settings_for, write_config

Json = dict[str, Any]


class Replicas:
    """Starts products that share a database and a Redis, or have none."""

    def __init__(self, provider: Provider, database_url: str, folder: Path, redis: Redis) -> None:
        self._provider = provider
        self._database_url = database_url
        self._folder = folder
        self._redis = redis

    @asynccontextmanager
    async def start(
        self, *, has_redis: bool = True, groups: Json | None = None, **litellm_settings: Any
    ) -> AsyncIterator[Server]:
        config = config_for(self._provider, litellm_settings={"drop_params": True, **litellm_settings})
        for name, more in (groups or {}).items():
            config["model_groups"][name] |= more
        redis_url = SecretStr(self._redis.url) if has_redis else None
        settings = settings_for(self._database_url, write_config(self._folder, config), redis_url=redis_url)
        async with serving(settings) as server:
            yield server

    async def kept(self, team: Team, count: int) -> None:
        """Until so many answers of the team are kept: they are written in their own time."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.count(team) < count:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)

    async def count(self, team: Team) -> int:
        """How many answers of the team are kept. A server that has stopped has written all that it would keep."""
        async with Client.from_url(self._redis.url) as client:
            return len(await client.keys(f"{PREFIX}{team.id}:*"))


@pytest.fixture
def replicas(provider: Provider, postgres_url: str, tmp_path: Path, redis: Redis) -> Replicas:
    return Replicas(provider, postgres_url, tmp_path, redis)


async def is_cached(team: Team, job: str, group: str = "ok", headers: Json | None = None, **more: Any) -> bool:
    """Makes the usual call, and whether its answer was given before, as the body and the header say alike."""
    answer = await team.http.post(f"/api/jobs/{job}/llm-call", json=call_body(group, **more), headers=headers)
    assert answer.status_code == 200, answer.text
    cached: bool = answer.json()["metadata"]["cached"]
    assert answer.headers.get("X-Cached") == ("true" if cached else None)
    return cached


async def test_an_answer_is_given_again_free_marked_and_as_a_successful_call(
    replicas: Replicas, provider: Provider
) -> None:
    async with (
        replicas.start() as server,
        new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1, tpm=10**6) as team,
    ):
        job = await team.create_job()
        first = await team.call(job)
        await replicas.kept(team, 1)
        again = await team.call(job)
        assert provider.count("ok") == 1
        # the answer is the first one's, but for what it cost and took
        assert again.json()["response"] == first.json()["response"]
        assert again.json()["call_id"] != first.json()["call_id"]
        said = again.json()["metadata"]
        assert (said["cached"], said["cost_usd"], said["tokens_used"]) == (True, 0, 21)
        # the bill counts the call and none of its tokens, and neither do the limits
        bill = (await team.complete(job)).json()["costs"]
        assert (bill["successful_calls"], bill["total_tokens"], bill["credits_charged"]) == (2, 21, 21)
        calls = sorted((await team.costs(job))["breakdown"], key=lambda call: call["cached"])
        assert [(call["cached"], call["prompt_tokens"], call["cost_usd"]) for call in calls][1:] == [(True, 0, 0)]
        (await Books.of(team)).check()
        third = await team.create_job()
        assert 10**6 - int((await team.call(third)).headers["X-RateLimit-Remaining-Tokens"]) < 2 * 21 + 20
        # and the reconciliation misses no report of a call that no provider heard of
        made = ReconciliationService(server.services.db, clock=lambda: datetime.now(UTC) + LATE)
        found = await made.reconcile("embedded", datetime.now(UTC) - timedelta(hours=1))
        assert found.unexplained == 0


async def test_a_stream_is_given_again_as_a_stream_by_another_replica(replicas: Replicas, provider: Provider) -> None:
    async with replicas.start() as one, replicas.start() as two, new_team(one) as team:
        job = await team.create_job()
        async with streaming(team, job) as first:
            await first.rest()
        await replicas.kept(team, 1)
        async with two.client(team.key) as http:
            there = Team(team.id, team.key, http, team.admin)
            async with streaming(there, job) as again:
                await again.rest()
        assert provider.count("ok") == 1
        assert [event["choices"] for event in again.events] == [event["choices"] for event in first.events]
        assert again.events[-1]["usage"] == first.events[-1]["usage"]
        assert [event.get("cached") for event in again.events[-2:]] == [None, True]
        assert "cached" not in first.events[-1]
        assert (again.response.headers["X-Cached"], "X-Cached" in first.response.headers) == ("true", False)
        # who asks for the whole answer gets it, too
        assert await is_cached(team, job)
        # a client that leaves in the middle has heard what costs nothing
        async with streaming(team, job) as left:
            await left.pieces(1)
        bill = (await team.complete(job)).json()["costs"]
        assert bill["total_tokens"] == 21
        (await Books.of_closed_jobs(team)).check()


async def test_another_team_never_gets_it(replicas: Replicas, provider: Provider) -> None:
    async with replicas.start() as server, new_team(server) as team, new_team(server) as other:
        assert not await is_cached(team, await team.create_job())
        await replicas.kept(team, 1)
        assert not await is_cached(other, await other.create_job())
        assert provider.count("ok") == 2
        assert await is_cached(team, await team.create_job())


@pytest.mark.parametrize(
    ("said", "expected"), [("no-cache", 2), ("No-Store", 1), ("max-age=0, private", 2), ("private", 2)]
)
async def test_a_request_may_ask_for_a_new_answer_and_for_none_to_be_kept(
    replicas: Replicas, provider: Provider, said: str, expected: int
) -> None:
    async with replicas.start() as server, new_team(server) as team:
        job = await team.create_job()
        assert not await is_cached(team, job)
        await replicas.kept(team, 1)
        assert await is_cached(team, job, headers={"Cache-Control": said}) is (said == "private")
        assert provider.count("ok") == (1 if said == "private" else 2)
        assert await is_cached(team, job)
        assert not await is_cached(team, job, text="Another", headers={"Cache-Control": said})
    assert await replicas.count(team) == expected


async def test_what_is_not_the_same_is_asked_anew(replicas: Replicas) -> None:
    async with replicas.start() as server, new_team(server) as team:
        job = await team.create_job()
        assert not await is_cached(team, job)
        await replicas.kept(team, 1)
        assert not await is_cached(team, job, text="Hello!")
        assert not await is_cached(team, job, temperature=0.8)
        assert not await is_cached(team, job, max_tokens=5)
        assert await is_cached(team, job, temperature=0.7), "it is what calls of jobs take for the temperature"


async def test_failures_tools_and_high_temperatures_are_never_kept(replicas: Replicas, provider: Provider) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    async with replicas.start(cache_params={"max_temperature": 0.9}) as server, new_team(server) as team:
        job = await team.create_job()
        for _ in range(2):
            assert (await team.call(job, "e500")).status_code == 500
            assert not await is_cached(team, job, "ok", temperature=0.95)
            assert not await is_cached(team, job, "tools", tools=tools)
            assert not await is_cached(team, job, "filter")
            async with streaming(team, job, "break4") as broken:
                await broken.rest()
            assert broken.events[-1]["error"]
        assert [provider.count(name) for name in ("e500", "ok", "tools", "filter", "break4")] == [2] * 5
        (await Books.of(team)).check()
    assert await replicas.count(team) == 0


async def test_a_stream_is_kept_up_to_so_many_pieces(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    async with replicas.start(has_redis=False, cache=True) as server, new_team(server) as team:
        job = await team.create_job()
        for most, marks in ((9, [None, None]), (10, [None, "true"])):  # the provider says ten words
            monkeypatch.setattr("control_plane.calls.stream.MOST_PIECES", most)
            for marked in marks:
                async with streaming(team, job) as stream:
                    await stream.rest()
                assert stream.text == "one two three four five six seven eight nine ten"
                assert stream.response.headers.get("X-Cached") == marked


async def test_answers_are_kept_for_their_time(replicas: Replicas) -> None:
    async with replicas.start(cache_params={"ttl": 1}) as server, new_team(server) as team:
        job = await team.create_job()
        assert not await is_cached(team, job)
        await replicas.kept(team, 1)
        async with asyncio.timeout(PATIENCE_S):
            while await is_cached(team, job):  # noqa: ASYNC110 - time passes
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("has_redis", "settings", "group", "expected"),
    [
        (True, {}, {}, True),
        (True, {"cache": False}, {}, False),
        (True, {}, {"cache": False}, False),
        (True, {"cache": False}, {"cache": True}, True),
        (False, {}, {}, False),
        (False, {"cache": True}, {}, True),
        (False, {}, {"cache": True}, True),
    ],
)
async def test_it_is_on_where_there_is_a_redis_unless_the_yaml_says_otherwise(
    replicas: Replicas, settings: Json, group: Json, *, has_redis: bool, expected: bool
) -> None:
    async with (
        replicas.start(has_redis=has_redis, groups={"ok": group}, **settings) as server,
        new_team(server) as team,
    ):
        job = await team.create_job()
        assert not await is_cached(team, job)
        if has_redis and expected:
            await replicas.kept(team, 1)
        assert await is_cached(team, job) is expected
    assert await replicas.count(team) == (has_redis and expected)


async def test_another_version_of_the_yaml_begins_with_none(replicas: Replicas, provider: Provider) -> None:
    async with replicas.start(has_redis=False, cache=True) as server, new_team(server) as team:
        job = await team.create_job()
        assert not await is_cached(team, job)
        assert await is_cached(team, job)
        config = config_for(provider, litellm_settings={"cache": True})
        config["model_groups"]["ok"]["models"] = ["json"]
        write_config(server.services.settings.config.parent, config)
        assert (await team.admin.post("/api/model-groups/reload")).status_code == 200
        assert not await is_cached(team, job), "the group has another model now"
        assert provider.count("json") == 1


async def test_every_api_replays_stored_answers(replicas: Replicas, provider: Provider) -> None:
    asked: dict[str, Json] = {
        "/v1/chat/completions": {"model": "ok", "messages": [{"role": "user", "content": "Hi"}]},
        "/v1/responses": {"model": "ok", "input": "Ho"},
        "/v1/messages": {"model": "ok", "max_tokens": 9, "messages": [{"role": "user", "content": "Ha"}]},
        "/v1/embeddings": {"model": "ok", "input": "Hi"},
        "/v1/moderations": {"model": "ok", "input": "Hi"},
        "/api/jobs/create-and-call": {"job_type": "test", **call_body("ok", "He")},
    }
    async with replicas.start(has_redis=False, cache=True) as server, new_team(server) as team:
        for number, (path, body) in enumerate(asked.items(), start=1):
            for marked in (None, "true"):
                answer = await team.http.post(path, json=body)
                assert answer.status_code == 200, answer.text
                assert answer.headers.get("X-Cached") == marked, path
            assert provider.count("ok") == number
        books = await Books.of_closed_jobs(team)
        books.check()
        assert {job["status"] for job in books.jobs} == {"completed"}
        assert len(books.jobs) == 2 * len(asked)
