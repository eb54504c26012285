"""What a job may still begin: caps, holds, and how long an answer may be so that it fits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.chat import Rate, UsageEstimate
from control_plane.credits.reservations import Caps, JobReservation, affordable_max_tokens
from control_plane.credits.rules import BudgetMode, JobUsage, Plan, bill
from control_plane.units import marked_up

DOLLARS = Plan(BudgetMode.CONSUMPTION_USD, credits_per_dollar=1000)
TOKENS = Plan(BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=10)
JOBS = Plan(BudgetMode.JOB_BASED)
RATE = Rate(input=1_000_000_000, output=2_000_000_000)  # 1000 and 2000 nano-USD a token


NO_CAPS = Caps()


def demand(prompt: int, answer: int) -> UsageEstimate:
    return UsageEstimate(prompt_tokens=prompt, expected_prompt_tokens=prompt // 2, max_tokens=answer, rate=RATE)


def reservation(
    plan: Plan, caps: Caps = NO_CAPS, *, tokens: int = 0, price: int = 0, cost: int = 0, held: int = 1
) -> JobReservation:
    return JobReservation(plan, caps, JobUsage(tokens=tokens, price=price), cost, held)


def test_a_demand_costs_its_prompt_and_its_longest_answer() -> None:
    assert demand(10, 5).cost == 10 * 1000 + 5 * 2000
    assert demand(10, 5).expected_prompt_cost == 5 * 1000
    assert UsageEstimate(1, 1, 1, Rate(input=1, output=1)).cost == 1, "rounded up once, not each way"


@pytest.mark.parametrize(
    ("job", "needed"),
    [
        (reservation(JOBS).plus(demand(1000, 1000), 0), 1),
        (reservation(TOKENS), 1),
        (reservation(TOKENS).plus(demand(15, 6), 0), 3),
        (reservation(TOKENS, tokens=21).plus(demand(15, 6), 0).plus(demand(15, 6), 0), 7),
        (reservation(DOLLARS).plus(demand(1000, 500), 0), 2),  # 2 million nano-USD, a million a credit
        (reservation(DOLLARS).plus(demand(1000, 500), 5000), 3),  # and half as much again
        (reservation(replace(DOLLARS, fixed_credits=7)).plus(demand(10**6, 10**6), 0), 7),
    ],
)
def test_a_job_needs_the_price_of_what_its_open_calls_may_use(job: JobReservation, needed: int) -> None:
    assert job.needed == needed


@pytest.mark.parametrize(
    ("plan", "caps", "is_reserving"),
    [
        (JOBS, Caps(), False),
        (JOBS, Caps(max_cost=1), True),
        (JOBS, Caps(max_credits=1), True),
        (TOKENS, Caps(), True),
        (DOLLARS, Caps(), True),
        (replace(DOLLARS, fixed_credits=3), Caps(), False),
    ],
)
def test_worst_cases_are_reserved_where_they_matter(plan: Plan, caps: Caps, *, is_reserving: bool) -> None:
    assert reservation(plan, caps).is_reserving is is_reserving


@pytest.mark.parametrize(
    ("caps", "fits"),
    [
        (Caps(), True),
        (Caps(max_credits=3), True),
        (Caps(max_credits=2), False),
        (Caps(max_cost=27_000), True),
        (Caps(max_cost=26_999), False),
        (Caps(max_credits=2, max_cost=27_000), False),
    ],
)
def test_a_cap_covers_the_worst_case_or_not(caps: Caps, *, fits: bool) -> None:
    assert reservation(TOKENS, caps).plus(demand(15, 6), 0).is_within_caps is fits


def test_what_a_cap_leaves_counts_what_is_used_and_what_is_open() -> None:
    job = reservation(TOKENS, Caps(max_cost=60_000), cost=20_000).plus(demand(10, 5), 0)
    assert job.is_within_caps
    assert job.plus(demand(10, 5), 0).is_within_caps
    assert not job.plus(demand(10, 6), 0).is_within_caps


CALLS = st.builds(demand, st.integers(0, 10_000), st.integers(0, 10_000))


@given(call=CALLS, cap=st.integers(1, 3000), tokens=st.integers(0, 10_000))
def test_the_affordable_answer_fits_and_a_longer_one_does_not(call: UsageEstimate, cap: int, tokens: int) -> None:
    job = reservation(TOKENS, Caps(max_credits=cap), tokens=tokens)

    def fits(tried: UsageEstimate) -> bool:
        return job.plus(tried, 0).is_within_caps

    affordable = affordable_max_tokens(call, fits)
    assert 0 <= affordable <= call.max_tokens
    if affordable:
        assert fits(replace(call, max_tokens=affordable))
    if affordable < call.max_tokens:
        assert not fits(replace(call, max_tokens=affordable + 1))


@given(
    call=CALLS,
    plan=st.sampled_from([DOLLARS, TOKENS, replace(DOLLARS, markup_bps=3333), JOBS]),
    data=st.data(),
)
def test_a_call_within_its_worst_case_never_costs_more_than_was_held(
    call: UsageEstimate, plan: Plan, data: st.DataObject
) -> None:
    held = reservation(plan).plus(call, plan.markup_bps).needed
    prompt = data.draw(st.integers(0, call.prompt_tokens))
    answer = data.draw(st.integers(0, call.max_tokens))
    actual = replace(call, prompt_tokens=prompt, max_tokens=answer)
    usage = JobUsage(
        calls=1, succeeded=1, delivered=1, tokens=actual.tokens, price=marked_up(actual.cost, plan.markup_bps)
    )
    assert bill(plan, is_completed=True, usage=usage) <= held


@given(calls=st.lists(CALLS, max_size=5), markup_bps=st.integers(0, 20_000))
def test_ending_calls_frees_exactly_what_opening_them_reserved(calls: list[UsageEstimate], markup_bps: int) -> None:
    job = reservation(DOLLARS)
    for call in calls:
        job = job.plus(call, markup_bps)
    assert job.reserved_tokens == sum(call.tokens for call in calls)
    assert job.reserved_cost == sum(call.cost for call in calls)
    assert job.reserved_price >= job.reserved_cost
