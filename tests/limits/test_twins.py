"""Counting in the process and in Redis follows the same rules: one table of cases, one property, both twins."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.limits.rules import Acquired, Exceeded, Kind, LimitScope
from tests.limits.twins import Process, Twin, shared
from tests.support.redis_server import Redis

MINUTE_MS = 60_000


@pytest_asyncio.fixture(params=["process", "redis"])
async def twin(request: pytest.FixtureRequest, redis: Redis) -> AsyncIterator[Twin]:
    if request.param == "process":
        yield Process()
    else:
        async with shared(redis.url) as made:
            yield made


def fresh(*scopes: LimitScope) -> list[LimitScope]:
    """These limits, of nobody who was limited before."""
    return [replace(scope, name=f"{scope.name}:{uuid4()}") for scope in scopes]


TEAM = LimitScope("team", "team", requests=3, tokens=1000)
KEY = LimitScope("key", "key", requests=2)
GROUP = LimitScope("group", "model group", tokens=500)

OK = "taken"


@dataclass(frozen=True)
class Step:
    """After `ms` a call that asks for tokens, and what becomes of it: taken, or which limit refuses it for how long.

    `used`: how many tokens it then turns out to have used.
    """

    ms: int
    tokens: int
    expected: object = OK
    used: int | None = None


CASES: dict[str, tuple[Sequence[LimitScope], Sequence[Step]]] = {
    "as many requests as the limit, and one more when the first is a minute old": (
        [TEAM],
        [
            Step(0, 1),
            Step(10_000, 1),
            Step(1, 1),
            Step(1, 1, (0, Kind.REQUESTS, 50_061)),
            Step(50_060, 1, (0, Kind.REQUESTS, 1)),
            Step(1, 1),
            Step(0, 1, (0, Kind.REQUESTS, 10_000)),
        ],
    ),
    "tokens in sum": (
        [TEAM],
        [Step(0, 600), Step(500, 401, (0, Kind.TOKENS, 59_563)), Step(0, 400), Step(0, 1, (0, Kind.TOKENS, 59_563))],
    ),
    "a call that used less frees its rest at once": (
        [TEAM],
        [Step(0, 900, used=100), Step(100, 900), Step(0, 1, (0, Kind.TOKENS, 59_963))],
    ),
    "a call that used more closes the minute": (
        [TEAM],
        [Step(0, 100, used=1500), Step(100, 1, (0, Kind.TOKENS, 59_963)), Step(59_963, 1000)],
    ),
    "a call that failed gives its tokens back, and stays a request": (
        [KEY, TEAM],
        [Step(0, 1000, used=0), Step(0, 1000, used=0), Step(0, 1, (0, Kind.REQUESTS, 60_063))],
    ),
    "a call larger than the limit waits for an empty minute": (
        [GROUP],
        [Step(0, 1), Step(0, 800, (0, Kind.TOKENS, 60_063)), Step(60_063, 800), Step(0, 1, (0, Kind.TOKENS, 60_100))],
    ),
    "all limits or none: what one refuses is not taken from another": (
        [TEAM, KEY, GROUP],
        [
            Step(0, 10),
            Step(0, 491, (2, Kind.TOKENS, 60_063)),
            Step(0, 490),
            Step(0, 1, (1, Kind.REQUESTS, 60_063)),
            Step(60_063, 500),
        ],
    ),
    "of several, the one that takes longest": (
        [TEAM, KEY],
        [
            Step(0, 900),
            Step(1000, 50),
            Step(0, 1000, (0, Kind.TOKENS, 60_063)),
            Step(0, 100, (0, Kind.TOKENS, 59_063)),
        ],
    ),
    "a settlement that comes after its minute changes nothing": (
        [TEAM],
        [Step(0, 100), Step(60_500, 100, used=1000), Step(0, 1, (0, Kind.TOKENS, 60_063))],
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_cases(twin: Twin, name: str) -> None:
    scopes, steps = CASES[name]
    scopes = fresh(*scopes)
    for step in steps:
        twin.now_ms += step.ms
        taken = await twin.take(scopes, step.tokens)
        if isinstance(taken, Exceeded):
            assert (taken.scope, taken.kind, taken.retry_after_ms) == step.expected, step
        else:
            assert step.expected == OK, step
            if step.used is not None:
                await twin.settle(taken, step.used)


async def test_a_late_settlement_finds_its_minute_gone(twin: Twin) -> None:
    scopes = fresh(TEAM)
    first = await twin.take(scopes, 100)
    assert isinstance(first, Acquired)
    twin.now_ms += MINUTE_MS + 100
    second = await twin.take(scopes, 100)
    await twin.settle(first, 5000)
    assert isinstance(second, Acquired)
    assert second.uses[0].tokens == 100
    assert isinstance(await twin.take(scopes, 900), Acquired)


async def test_a_call_that_was_none_leaves_nothing(twin: Twin) -> None:
    scopes = fresh(LimitScope("team", "team", requests=1, tokens=10, parallel=1))
    for _ in range(3):
        taken = await twin.take(scopes, 10)
        assert isinstance(taken, Acquired)
        await twin.settle(taken, None)
    assert isinstance(await twin.take(scopes, 10), Acquired)
    assert isinstance(await twin.take(scopes, 10), Exceeded)


async def test_calls_at_once(twin: Twin) -> None:
    scopes = fresh(LimitScope("team", "team", requests=100, parallel=2))
    first, second = [await twin.take(scopes) for _ in range(2)]
    refused = await twin.take(scopes)
    assert isinstance(refused, Exceeded)
    assert (refused.kind, refused.retry_after_ms) == (Kind.PARALLEL_CALLS, 1000)
    assert isinstance(first, Acquired)
    await twin.settle(first, 0)
    await twin.settle(first, 0)
    assert isinstance(await twin.take(scopes), Acquired)
    assert isinstance(await twin.take(scopes), Exceeded)
    assert isinstance(second, Acquired)
    assert second.uses[0].parallel == 2


async def test_what_is_left_is_told(twin: Twin) -> None:
    scopes = fresh(TEAM)
    taken = await twin.take(scopes, 10)
    assert isinstance(taken, Acquired)
    assert (taken.uses[0].requests, taken.uses[0].tokens, taken.uses[0].reset_ms) == (1, 10, 60_063)
    twin.now_ms += 30_000
    taken = await twin.take(scopes, 10)
    assert isinstance(taken, Acquired)
    assert (taken.uses[0].requests, taken.uses[0].tokens) == (2, 20)
    assert taken.uses[0].reset_ms == 60_063, "all of it is free again when the last call is a minute old"


async def test_a_clock_that_is_set_back_neither_opens_nor_closes_the_limits(redis: Redis) -> None:
    async with shared(redis.url) as twin:
        scopes = fresh(TEAM)
        await twin.take(scopes)
        twin.now_ms -= 5_000
        assert isinstance(await twin.take(scopes), Acquired)
        assert isinstance(await twin.take(scopes), Acquired)
        assert isinstance(await twin.take(scopes), Exceeded)
        twin.now_ms += MINUTE_MS + 5_100
        assert isinstance(await twin.take(scopes), Acquired)


Move = tuple[int, int, int]
MOVES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.integers(0, 70_000)),  # ms since the one before
        st.integers(0, 400),  # tokens asked for
        st.integers(0, 600),  # tokens used
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
async def test_no_minute_holds_more_than_the_limit_no_refusal_is_without_need_and_both_twins_agree(
    redis: Redis, moves: Sequence[Move]
) -> None:
    scopes = fresh(LimitScope("team", "team", requests=5, tokens=1000))
    here = Process()
    let_in: list[tuple[int, int]] = []  # when, and the tokens it counts for
    async with shared(redis.url) as there:
        for ms, asked, used in moves:
            here.now_ms = there.now_ms = here.now_ms + ms
            now_ms = here.now_ms
            taken, twin = await here.take(scopes, asked), await there.take(scopes, asked)
            if isinstance(taken, Exceeded):
                assert taken == twin
                lately = [tokens for at, tokens in let_in if at > now_ms - MINUTE_MS - 100]
                assert len(lately) >= 5 or sum(lately) + asked > 1000, "it was refused for nothing"
                continue
            assert isinstance(twin, Acquired)
            assert taken.uses == twin.uses
            within = [tokens for at, tokens in let_in if at > now_ms - MINUTE_MS]
            assert len(within) + 1 <= 5
            assert sum(within) + asked <= 1000
            await here.settle(taken, used)
            await there.settle(twin, used)
            let_in.append((now_ms, used))
