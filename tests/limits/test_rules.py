"""What calls count as, what a process may give away alone, and what clients are told."""

import pytest

from control_plane.chat import Demand
from control_plane.limits.rules import Scope, Standing, Use, charged_tokens, likely_tokens, share_of, standing_of

TEAM = Scope("team:a", "team", requests=60, tokens=60_000, parallel=4)


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
    demand = Demand(prompt_tokens=300, likely_prompt_tokens=100, max_tokens=max_tokens)
    assert likely_tokens(demand, is_bounded=is_bounded) == expected


def test_a_call_larger_than_the_limit_takes_a_whole_minute_and_is_not_refused_for_ever() -> None:
    assert charged_tokens(TEAM, 75_000) == 60_000
    assert charged_tokens(TEAM, 100) == 100
    assert charged_tokens(Scope("key:k", "key"), 75_000) == 75_000


@pytest.mark.parametrize(("processes", "expected"), [(1, (60, 60_000, 4)), (3, (20, 20_000, 1)), (8, (7, 7500, 1))])
def test_processes_that_cannot_count_together_share_a_limit_and_each_lets_something_through(
    processes: int, expected: tuple[int, int, int]
) -> None:
    share = share_of(TEAM, processes)
    assert (share.requests, share.tokens, share.parallel) == expected
    assert share_of(Scope("key:k", "key", requests=5), 2) == Scope("key:k", "key", requests=2)


def test_clients_hear_of_the_tightest_limit() -> None:
    key = Scope("key:k", "key", requests=10)
    group = Scope("group:g", "model group 'g'", tokens=1000)
    uses = [
        Use(requests=3, tokens=500, reset_ms=59_000),
        Use(requests=3, reset_ms=58_000),
        Use(tokens=1200, reset_ms=9),
    ]
    assert standing_of([TEAM, key, group], uses) == Standing(10, 7, 58_000, 1000, 0, 9)
    assert standing_of([key], [Use()]) == Standing(10, 10, 0, None, 0, 0)
