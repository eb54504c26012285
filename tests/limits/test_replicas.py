"""Several processes, with Redis and without: one limit, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from control_plane.limits.replicas import LimitLease, ReplicaLimits
from control_plane.limits.rules import Acquired, Exceeded, Kind, LimitScope
from control_plane.limits.shared import ANSWER_S, SharedLimits
from control_plane.metrics import Metrics
from tests.support.patience import PATIENCE_S
from tests.support.redis_server import Redis, running_redis

FOREVER_S = 100 * PATIENCE_S
"""How long a test waits for an answer of Redis for which nobody should wait."""


class Asked(SharedLimits):
    """Limits in Redis, and how often Redis was asked for leave."""

    times = 0

    async def take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded:
        self.times += 1
        return await super().take(scopes, call, tokens)


class Replica:
    """One process' limits, its background work running."""

    def __init__(self, url: str | None, processes: int, answer_s: float) -> None:
        self.metrics = Metrics()
        self.shared = None if url is None else Asked(url, answer_s=answer_s)
        self.limits = ReplicaLimits(self.shared, processes=lambda: processes, metrics=self.metrics)

    async def take(self, scope: LimitScope, tokens: int = 0) -> LimitLease | Exceeded:
        taken, _ = await self.limits.take([scope], str(uuid4()), tokens)
        return taken

    async def count(self, scope: LimitScope, tries: int) -> int:
        """How many of so many tries are let in."""
        taken = await asyncio.gather(*(self.take(scope) for _ in range(tries)))
        return sum(isinstance(each, LimitLease) for each in taken)

    def said(self, metric: str) -> float:
        lines = self.metrics.exposed().decode().splitlines()
        return float(next(line for line in lines if line.startswith(metric)).split()[-1])

    async def until_shared(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.said("control_plane_limits_shared") != 1:  # noqa: ASYNC110 - it asks Redis from time to time
                await asyncio.sleep(0.02)


@asynccontextmanager
async def replica(url: str | None, processes: int = 2, answer_s: float = ANSWER_S) -> AsyncIterator[Replica]:
    made = Replica(url, processes, answer_s)
    work = asyncio.create_task(made.limits.run())
    try:
        yield made
    finally:
        work.cancel()
        await asyncio.wait([work])
        await made.limits.aclose()


def patient(redis: Redis) -> AbstractAsyncContextManager[Replica]:
    """One that a busy machine does not make go on without Redis."""
    return replica(redis.url, answer_s=PATIENCE_S)


def team(**limits: int) -> LimitScope:
    return LimitScope(f"team:{uuid4()}", "team", **limits)


async def test_two_processes_let_in_exactly_the_limit_together(redis: Redis) -> None:
    async with patient(redis) as one, patient(redis) as two:
        scope = team(requests=100)
        let_in = await asyncio.gather(one.count(scope, 150), two.count(scope, 150))
        assert sum(let_in) == 100


async def test_a_place_is_free_for_the_next_call_of_who_was_answered_whichever_process_it_asks(redis: Redis) -> None:
    async with patient(redis) as one, patient(redis) as two:
        scope = team(requests=1000, parallel=1)
        for asked, other in [(one, two), (two, one)] * 10:
            hold = await asked.take(scope)
            assert isinstance(hold, LimitLease)
            refused = await other.take(scope)
            assert isinstance(refused, Exceeded)
            assert refused.kind == Kind.PARALLEL_CALLS
            await asked.limits.settle(hold, 10)


async def test_whoever_stops_waiting_for_leave_has_taken_nothing(redis: Redis) -> None:
    async with replica(redis.url) as one:
        scope = team(requests=10, parallel=10)
        waiting = [asyncio.create_task(one.take(scope)) for _ in range(10)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        assert all(each.cancelled() for each in waiting)
        let_in = 0
        async with asyncio.timeout(PATIENCE_S):
            while let_in < 10:  # each is given back in its own time
                let_in += await one.count(scope, 10 - let_in)
                await asyncio.sleep(0.01)
        assert await one.count(scope, 5) == 0


async def test_tokens_a_call_did_not_use_are_soon_free_for_every_process(redis: Redis) -> None:
    async with patient(redis) as one, patient(redis) as two:
        scope = team(tokens=1000)
        hold = await one.take(scope, 1000)
        assert isinstance(hold, LimitLease)
        assert isinstance(await two.take(scope, 500), Exceeded)
        await one.limits.settle(hold, 10)
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(await two.take(scope, 500), Exceeded):  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)


async def test_without_redis_processes_let_in_no_more_than_the_limit_together() -> None:
    async with replica(None, processes=3) as one, replica(None, processes=3) as two, replica(None, 3) as three:
        scope = team(requests=60)
        assert [await each.count(scope, 50) for each in (one, two, three)] == [20, 20, 20]


async def test_when_redis_dies_calls_go_on_within_the_limit_and_without_waiting(tmp_path: Path) -> None:
    async with (
        running_redis(tmp_path) as redis,
        replica(redis.url, answer_s=FOREVER_S) as one,
        replica(redis.url, answer_s=FOREVER_S) as two,
    ):
        # given half of what a team may have, let in by one of two processes
        scope = team(requests=100)
        assert await one.count(scope, 50) == 50
        # when Redis dies
        await redis.stop()
        # then that process lets nothing more in, the other one its share, and nobody waits
        async with asyncio.timeout(PATIENCE_S):
            assert await one.count(scope, 60) == 0
            assert await two.count(scope, 60) == 50
        assert one.said("control_plane_limits_shared") == 0
        assert one.said("control_plane_limits_fallbacks_total") == 1
        # and when it is back, empty, they count together again, by themselves
        await redis.start()
        await asyncio.gather(one.until_shared(), two.until_shared())
        again = team(requests=10)
        assert sum(await asyncio.gather(one.count(again, 20), two.count(again, 20))) == 10
        hold = await one.take(team(tokens=10), 10)
        assert isinstance(hold, LimitLease)
        await one.limits.settle(hold, 5)
        assert one.said("control_plane_limits_fallbacks_total") == 1


async def test_a_redis_that_answers_nothing_holds_up_nobody_for_longer_than_a_moment(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis, replica(redis.url, processes=1) as one:
        scope = team(requests=10)
        assert await one.count(scope, 4) == 4
        redis.freeze()
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert await one.count(scope, 20) == 6
            assert one.shared is not None
            asked = one.shared.times
            assert await one.count(scope, 20) == 0
            assert one.shared.times == asked, "only the first ones wait"
        finally:
            redis.thaw()
        await one.until_shared()


async def test_a_redis_that_is_only_slow_is_not_taken_for_lost(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis, patient(redis) as one, patient(redis) as two:
        # given one of two servers that waits for Redis for longer than any pause of a busy machine, and another that does not
        scope = team(requests=100)
        redis.freeze()
        asked = asyncio.create_task(one.count(scope, 80))
        await asyncio.sleep(ANSWER_S / 4)
        redis.thaw()
        # then they count together all the same
        assert sum(await asyncio.gather(asked, two.count(scope, 80))) == 100
        assert one.said("control_plane_limits_fallbacks_total") == 0


async def test_what_was_running_when_redis_died_is_settled_without_it(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis, replica(redis.url, processes=1) as one:
        scope = team(requests=10, tokens=100, parallel=1)
        hold = await one.take(scope, 100)
        assert isinstance(hold, LimitLease)
        await redis.stop()
        await one.limits.settle(hold, 40)
        taken = await one.take(scope, 60)
        assert isinstance(taken, LimitLease)
        assert taken.shared is None
        await one.limits.settle(taken, 10)


@pytest.mark.parametrize("url", ["not-a-url", "http://127.0.0.1/0"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        SharedLimits(url)
