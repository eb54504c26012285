"""Redis comes back after an outage, or without its memory: a limit holds across all of it, for every process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio

from control_plane.limits.process import ProcessLimits, monotonic_ms
from control_plane.limits.replicas import LimitLease
from control_plane.limits.rules import Acquired, Exceeded, Kind, LimitScope
from control_plane.limits.shared import MemoryLost, SharedLimits
from tests.limits.test_replicas import Replica, replica, team
from tests.support.patience import PATIENCE_S
from tests.support.redis_server import Redis, running_redis

Outage = Callable[[Redis], AbstractAsyncContextManager[None]]


async def flush(server: Redis) -> None:
    async with redis.asyncio.from_url(server.url) as client:
        await client.flushall()


@asynccontextmanager
async def flushed(server: Redis) -> AsyncIterator[None]:
    """It answers all the time, and has lost its memory."""
    await flush(server)
    yield


@asynccontextmanager
async def frozen(server: Redis) -> AsyncIterator[None]:
    """It does not answer for a while, and keeps its memory."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@asynccontextmanager
async def restarted(server: Redis) -> AsyncIterator[None]:
    """It is away for a while, and comes back without its memory."""
    await server.stop()
    yield
    await server.start()


async def until_noticed(replica: Replica) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while replica.said("control_plane_limits_fallbacks_total") < 1:  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.02)


async def until_rejoined(one: Replica, two: Replica) -> None:
    """The first has noticed the outage, and both count together again."""
    await until_noticed(one)
    await asyncio.gather(one.until_shared(), two.until_shared())


async def use_22_of_60(one: Replica, two: Replica, scope: LimitScope) -> None:
    """Both take last in turn, so that Redis' last answer to each counts (nearly) all of it: 21 to one, 22 to the other."""
    assert [await one.count(scope, 10), await two.count(scope, 10)] == [10, 10]
    assert [await one.count(scope, 1), await two.count(scope, 1)] == [1, 1]


@pytest.mark.parametrize("outage", [flushed, frozen, restarted])
async def test_a_limit_is_given_once_whatever_becomes_of_redis(tmp_path: Path, outage: Outage) -> None:
    async with running_redis(tmp_path) as server, replica(server.url) as one, replica(server.url) as two:
        scope = team(requests=60)
        await use_22_of_60(one, two, scope)
        let_in = 22
        async with outage(server), asyncio.timeout(PATIENCE_S):  # no caller waits for as long as Redis is away
            let_in += sum(await asyncio.gather(one.count(scope, 60), two.count(scope, 60)))
        let_in += sum(await asyncio.gather(one.count(scope, 60), two.count(scope, 60)))
        await until_rejoined(one, two)
        let_in += sum(await asyncio.gather(one.count(scope, 60), two.count(scope, 60)))
        assert let_in == 60


async def test_processes_without_calls_notice_that_redis_has_lost_its_memory(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as server, replica(server.url) as one, replica(server.url) as two:
        scope = team(requests=60)
        await use_22_of_60(one, two, scope)
        await flush(server)
        await asyncio.gather(until_noticed(one), until_noticed(two))
        await until_rejoined(one, two)
        assert await one.count(scope, 60) == 38


@pytest.mark.parametrize("outage", [frozen, restarted])
async def test_calls_that_span_an_outage_correct_their_tokens_and_free_their_places_afterwards(
    tmp_path: Path, outage: Outage
) -> None:
    async with running_redis(tmp_path) as server, replica(server.url) as one, replica(server.url) as two:
        scope = team(tokens=2000, parallel=8)
        # given two calls that began with Redis, one of which ends without it, and a call that begins without it
        early, ending = await one.take(scope, 100), await one.take(scope, 300)
        assert isinstance(early, LimitLease)
        assert isinstance(ending, LimitLease)
        async with outage(server):
            during = await one.take(scope, 200)
            assert isinstance(during, LimitLease)
            assert during.shared is None
            await one.limits.settle(ending, 10)
        await until_rejoined(one, two)
        # then the other process counts what each of them took: 310 tokens and two places are used
        assert isinstance(await two.take(scope, 1691), Exceeded)
        others = [await two.take(scope, 281) for _ in range(6)]
        assert all(isinstance(each, LimitLease) for each in others)
        refused = await two.take(scope)
        assert isinstance(refused, Exceeded)
        assert refused.kind == Kind.PARALLEL_CALLS
        # and as each ends, its place is free at once for the other process, and its tokens are corrected
        await one.limits.settle(during, 50)
        assert isinstance(await two.take(scope, 150), LimitLease)
        await one.limits.settle(early, 400)
        refused = await two.take(scope)
        assert isinstance(refused, Exceeded)
        assert refused.kind == Kind.TOKENS, "2,296 of 2,000"


async def test_a_call_that_runs_keeps_its_place_when_redis_loses_its_memory(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as server, replica(server.url) as one, replica(server.url) as two:
        scope = team(parallel=2)
        holds = [await one.take(scope) for _ in range(2)]
        await flush(server)
        await until_rejoined(one, two)
        assert isinstance(await two.take(scope), Exceeded)
        assert isinstance(holds[0], LimitLease)
        await one.limits.settle(holds[0], 1)
        assert isinstance(await two.take(scope), LimitLease)
        assert isinstance(await two.take(scope), Exceeded)


async def test_redis_goes_away_twice_within_a_minute(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as server, replica(server.url) as one, replica(server.url) as two:
        scope = team(requests=60)
        let_in = 0
        for _ in range(2):
            async with restarted(server):
                let_in += sum(await asyncio.gather(one.count(scope, 40), two.count(scope, 40)))
            await asyncio.gather(one.until_shared(), two.until_shared())
        assert let_in + await one.count(scope, 60) == 60


async def test_a_process_that_is_cut_off_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as server, replica(server.url, 3) as one, replica(server.url, 3) as two:
        scope = team(requests=60)
        async with restarted(server):
            assert await one.count(scope, 60) == 20
        await until_rejoined(one, two)
        assert await two.count(scope, 60) == 40


async def test_what_is_reported_late_is_free_again_as_early_as_if_redis_had_given_it(redis: Redis) -> None:
    scope = team(requests=4)
    shared = SharedLimits(redis.url)
    assert isinstance(await shared.take([scope], "now", 0), Acquired)
    for seconds_ago in (10, 50, 30):  # three processes, none of which has Redis' order
        process, ago_ms = SharedLimits(redis.url), seconds_ago * 1000
        here = ProcessLimits(clock_ms=lambda: monotonic_ms() - ago_ms)  # noqa: B023 - called in this round only
        here.note([scope], f"{seconds_ago} s ago", 0, is_lacking=True)
        ago_ms = 0
        await process.begin_report()
        await process.report(here.reports(process.tick_offset))
        await process.aclose()
    assert isinstance(await shared.take([scope], "refused", 0), Exceeded)
    later_ms = int((await shared.clock()).timestamp() * 1000) + 15_000
    later = SharedLimits(redis.url, clock_ms=lambda: later_ms)
    assert isinstance(await later.take([scope], "the one of 50 s ago is free", 0), Acquired)
    assert isinstance(await later.take([scope], "and no other", 0), Exceeded)
    await asyncio.gather(shared.aclose(), later.aclose())


async def test_a_call_that_ends_after_redis_lost_its_memory_gives_back_no_tokens_of_another_process(
    tmp_path: Path,
) -> None:
    async with running_redis(tmp_path) as server:
        scope = team(tokens=1000)
        one, two = SharedLimits(server.url), SharedLimits(server.url)
        taken = await one.take([scope], "one's", 500)
        assert isinstance(taken, Acquired)
        await flush(server)
        # given another process that has already reported what it used in the same tick
        here = ProcessLimits()
        here.note([scope], "two's", 300, is_lacking=True)
        await two.begin_report()
        await two.report([replace(report, ticks=[(0, taken.tick, 1, 300)]) for report in here.reports(0)])
        await two.touch()
        # then the first one has to report, too
        with pytest.raises(MemoryLost):
            await one.settle([(taken, 0)])
        assert isinstance(await two.take([scope], "refused", 701), Exceeded)
        await asyncio.gather(one.aclose(), two.aclose())


def test_a_report_that_may_have_arrived_is_repeated_without_what_would_count_less() -> None:
    scope = team(requests=10, tokens=1000, parallel=10)
    here = ProcessLimits()
    first, second = [here.note([scope], call, 100, is_lacking=True) for call in ("first", "second")]
    (sent,) = here.reports(0)
    assert [(requests, tokens) for *_, requests, tokens in sent.ticks] in ([(2, 200)], [(1, 100)] * 2)
    here.take_back([sent])
    assert sum(tokens for *_, tokens in here.reports(0)[0].ticks) == 200
    here.settle(first, 10, is_lacking=True)
    here.settle(second, 150, is_lacking=True)
    (corrections,) = here.reports(0)
    assert sum(tokens for *_, tokens in corrections.ticks) == -90 + 50
    here.take_back([corrections])
    (again,) = here.reports(0)
    assert all(requests >= 0 and tokens >= 0 for *_, requests, tokens in again.ticks)
    assert set(again.ended) == {"first", "second"}
