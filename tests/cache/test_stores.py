"""Twins: what is kept in Redis is kept in a process alike. And a cache that fails is a miss, never a failure."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from control_plane.cache.codecs import ENDPOINT
from control_plane.cache.service import AnswerCache, CacheEntry
from control_plane.cache.stores import PREFIX, ProcessStore, SharedStore, Store
from control_plane.chat import EndpointRequest, EndpointResponse, ProviderCall, ServedBy
from control_plane.completion.usage import Usage
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.metrics import Metrics
from control_plane.model_groups.catalog import CachePolicy
from control_plane.units import NanoUsd
from tests.support.patience import PATIENCE_S
from tests.support.redis_server import Redis, running_redis

ANSWER = EndpointResponse({"data": []}, Usage(3), NanoUsd(7), ServedBy("e-1", "e"))


@pytest_asyncio.fixture(params=["redis", "process"])
async def store(request: pytest.FixtureRequest, redis: Redis) -> AsyncIterator[Store]:
    made: Store = SharedStore(redis.url) if request.param == "redis" else ProcessStore()
    yield made
    await made.aclose()


async def until_gone(store: Store, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await store.get(name) is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_what_is_kept_is_there_for_its_time_and_then_gone(store: Store) -> None:
    name = str(new_id())
    assert await store.get(name) is None
    await store.put(name, b"an answer", ttl_s=600)
    assert await store.get(name) == b"an answer"
    await store.put(name, b"the next one", ttl_s=0.05)
    await until_gone(store, name)


async def test_nothing_is_kept_in_redis_for_ever_or_beside_our_own_names(redis: Redis) -> None:
    store = SharedStore(redis.url)
    name = str(new_id())
    await store.put(name, b"an answer", ttl_s=600)
    async with redis_client(redis) as client:
        assert 599 <= await client.ttl(PREFIX + name) <= 600
    await store.aclose()


async def test_a_process_keeps_so_much_and_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_plane.cache.stores.PROCESS_BYTES", 10_000)
    store = ProcessStore()
    for number in range(20):
        await store.put(str(number), bytes(1000), ttl_s=600)
        await store.get("0")
    assert [number for number in range(20) if await store.get(str(number))] == [0, *range(13, 20)]


def redis_client(redis_: Redis) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(redis_.url)


class Cache:
    """A cache on a Redis, its slot of one embedding, and what it counted."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.cache = AnswerCache(redis_url=url, metrics=self.metrics)
        call = ProviderCall(
            CallId(new_id()),
            JobId(new_id()),
            TeamId(str(new_id())),
            ["e"],
            EndpointRequest("embeddings", {"input": "Hi"}),
        )
        self.entry: CacheEntry[EndpointResponse] = self.cache.entry(
            ENDPOINT, call, group="G", policy=CachePolicy(ttl_s=60)
        )

    def counted(self, outcome: str) -> float:
        wanted = f'control_plane_cache_lookups_total{{outcome="{outcome}"}} '
        lines = self.metrics.exposed().decode().splitlines()
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    async def until_kept(self) -> EndpointResponse:
        """Asks, and keeps the answer, until it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.entry.get()) is None:
                self.entry.put(ANSWER)
                await asyncio.sleep(0.02)
        return found


async def test_redis_that_dies_is_a_miss_counted_and_logged_once_and_used_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "control_plane.cache.service")
    async with running_redis(tmp_path) as redis:
        cache = Cache(redis.url)
        assert (await cache.until_kept()).body == ANSWER.body
        assert cache.counted("hit") == 1
        await redis.stop()
        for _ in range(50):
            assert await cache.entry.get() is None
            cache.entry.put(ANSWER)
        assert cache.counted("unavailable") == 50
        assert [record.message for record in caplog.records] == ["cache_unavailable"]
        await redis.start()
        assert (await cache.until_kept()).is_cached
        assert [record.message for record in caplog.records] == ["cache_unavailable", "cache_recovered"]
        await cache.cache.aclose()


async def test_redis_that_answers_nothing_costs_one_call_a_moment_and_the_others_none(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis:
        cache = Cache(redis.url)
        await cache.until_kept()
        redis.freeze()
        waiting = [asyncio.create_task(cache.entry.get()) for _ in range(20)]
        done, _ = await asyncio.wait(waiting, timeout=10)
        assert [task.result() for task in done] == [None] * 20
        with pytest.raises(StopIteration):  # it is known to be away now: nobody waits any more
            cache.entry.get().send(None)
        await redis.stop()
        await cache.cache.aclose()


async def test_what_stands_in_redis_and_is_no_answer_is_a_miss(redis: Redis) -> None:
    cache = Cache(redis.url)
    await cache.until_kept()
    async with redis_client(redis) as client:
        (name,) = [
            key async for key in client.scan_iter(f"{PREFIX}*") if await client.get(key) == ENDPOINT.write(ANSWER)
        ]
        await client.set(name, b"\x80garbage", ex=60)
    assert await cache.entry.get() is None
    assert cache.counted("unavailable") == 0
    await cache.cache.aclose()
