"""What calls count as, what a process may give away alone, and what clients are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.chat import UsageEstimate
from control_plane.limits.rules import (
    LimitScope,
    LimitStatus,
    WindowUse,
    charged_tokens,
    expected_tokens,
    limit_status_of,
    local_limits,
    local_share,
    share_of,
    use_of_share,
)

TEAM = LimitScope("team:a", "team", requests=60, tokens=60_000, parallel=4)


@pytest.mark.parametrize(
    ("max_tokens", "is_bounded", "expected"),
    [
        (4000, True, 4100),  # asked for
        (20, True, 120),
        (16_384, False, 600),  # as long as the model can: 60,000 tokens a minute would be three calls
        (10, False, 110),  # a model with short answers
        (0, False, 100),  # an endpoint that answers with no tokens
    ],
)
def test_a_call_counts_as_its_prompt_and_the_answer_it_asks_for_or_a_likely_one(
    max_tokens: int, is_bounded: bool, expected: int
) -> None:
    demand = UsageEstimate(prompt_tokens=300, expected_prompt_tokens=100, max_tokens=max_tokens)
    assert expected_tokens(demand, is_bounded=is_bounded) == expected


def test_a_call_larger_than_the_limit_takes_a_whole_minute_and_is_not_refused_for_ever() -> None:
    assert charged_tokens(TEAM, 75_000) == 60_000
    assert charged_tokens(TEAM, 100) == 100
    assert charged_tokens(LimitScope("key:k", "key"), 75_000) == 75_000


@pytest.mark.parametrize(("processes", "expected"), [(1, (60, 60_000, 4)), (3, (20, 20_000, 1)), (8, (7, 7500, 1))])
def test_processes_that_cannot_count_together_share_a_limit_and_each_lets_something_through(
    processes: int, expected: tuple[int, int, int]
) -> None:
    share = share_of(TEAM, processes)
    assert (share.requests, share.tokens, share.parallel) == expected
    assert share_of(LimitScope("key:k", "key", requests=5), 2) == LimitScope("key:k", "key", requests=2)


@pytest.mark.parametrize(
    ("limit", "base", "others", "processes", "expected"),
    [
        (60, 0, 0, 2, 30),  # nothing is used: the usual share
        (60, 11, 11, 2, 19),  # half of what was left
        (60, 10, 40, 2, 5),
        (60, 30, 0, 2, 0),  # it has used its share; the other one may not have asked Redis for long, and gives its own
        (60, 0, 60, 2, 0),
        (60, 70, 0, 1, -10),  # a call used more tokens than it was taken for
        (60, 20, 0, 1, 40),  # it is alone
        (3, 0, 0, 8, 1),  # less than one for each
        (3, 0, 1, 8, 0),
        (60, 0, 59, 2, 0),  # one is left, and nobody can say whose it is
    ],
)
def test_a_process_without_redis_gives_its_share_of_what_was_left(
    limit: int, base: int, others: int, processes: int, expected: int
) -> None:
    assert local_share(limit, base=base, others=others, processes=processes) == expected


@given(limit=st.integers(1, 200), used=st.lists(st.integers(0, 200), min_size=1, max_size=8), stale=st.data())
def test_processes_without_redis_never_give_more_than_the_limit_together(
    limit: int, used: list[int], stale: st.DataObject
) -> None:
    processes, total = len(used), sum(used)
    # with equal figures, however much each has used
    shares = [local_share(limit, base=own, others=total - own, processes=processes) for own in used]
    assert total + sum(max(0, share) for share in shares) <= max(limit, total) or (total == 0 and limit < processes)
    # with figures that are old, as long as none has used more than its share
    modest = [min(own, limit // processes) for own in used]
    seen = [stale.draw(st.integers(0, sum(modest) - own)) for own in modest]
    given_ = [
        local_share(limit, base=own, others=by, processes=processes) for own, by in zip(modest, seen, strict=True)
    ]
    assert sum(modest) + sum(given_) <= limit or limit < processes


def test_clients_are_told_what_is_left_of_the_share() -> None:
    limits, share = local_limits(TEAM, WindowUse(10, 5_000, 1), WindowUse(30, 0, 0), 2), share_of(TEAM, 2)
    assert (limits.requests, limits.tokens, limits.parallel) == (20, 30_000, 2)
    shown = use_of_share(WindowUse(requests=15, tokens=6_000), limits, share)
    assert (share.requests, share.tokens) == (30, 30_000)
    assert limit_status_of([share], [shown]) == LimitStatus(30, 5, 0, 30_000, 24_000, 0)


def test_clients_hear_of_the_tightest_limit() -> None:
    key = LimitScope("key:k", "key", requests=10)
    group = LimitScope("group:g", "model group 'g'", tokens=1000)
    uses = [
        WindowUse(requests=3, tokens=500, reset_ms=59_000),
        WindowUse(requests=3, reset_ms=58_000),
        WindowUse(tokens=1200, reset_ms=9),
    ]
    assert limit_status_of([TEAM, key, group], uses) == LimitStatus(10, 7, 58_000, 1000, 0, 9)
    assert limit_status_of([key], [WindowUse()]) == LimitStatus(10, 10, 0, None, 0, 0)
