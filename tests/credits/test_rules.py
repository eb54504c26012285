"""What jobs hold and cost, case by case; and that no order of holds and settlements makes or loses a credit."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.credits.rules import (
    BudgetMode,
    ChargeRule,
    EntryKind,
    JobUsage,
    Movement,
    Plan,
    bill,
    hold,
    needed_hold,
    price,
    settle,
)
from control_plane.units import Credits

DOLLAR = 1_000_000_000
JOBS = Plan(BudgetMode.JOB_BASED)
DOLLARS = Plan(BudgetMode.CONSUMPTION_USD, credits_per_dollar=10)
TOKENS = Plan(BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=10_000)
ALL_MUST_SUCCEED = Plan(BudgetMode.JOB_BASED, charge_rule=ChargeRule.ALL_CALLS_SUCCEEDED)


@pytest.mark.parametrize(
    ("plan", "usage", "credits_"),
    [
        (JOBS, JobUsage(), 1),
        (JOBS, JobUsage(calls=500, succeeded=500, tokens=10**9, price=1000 * DOLLAR), 1),
        (DOLLARS, JobUsage(price=0), 0),
        (DOLLARS, JobUsage(price=1), 1),  # what is begun is paid
        (DOLLARS, JobUsage(price=DOLLAR // 10), 1),
        (DOLLARS, JobUsage(price=DOLLAR // 10 + 1), 2),
        (DOLLARS, JobUsage(price=DOLLAR), 10),
        (Plan(BudgetMode.CONSUMPTION_USD, credits_per_dollar=1), JobUsage(price=3 * DOLLAR - 1), 3),
        (Plan(BudgetMode.CONSUMPTION_USD, credits_per_dollar=10**9), JobUsage(price=7), 7),
        (TOKENS, JobUsage(tokens=0), 0),
        (TOKENS, JobUsage(tokens=1), 1),
        (TOKENS, JobUsage(tokens=10_000), 1),
        (TOKENS, JobUsage(tokens=10_001), 2),
        (Plan(BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=1), JobUsage(tokens=123), 123),
    ],
)
def test_the_price_is_rounded_up_once(plan: Plan, usage: JobUsage, credits_: int) -> None:
    assert price(plan, usage) == credits_


@pytest.mark.parametrize(
    ("plan", "is_completed", "usage", "credits_"),
    [
        (JOBS, True, JobUsage(calls=1, succeeded=1, delivered=1), 1),
        (JOBS, True, JobUsage(calls=3, succeeded=1, delivered=1), 1),
        (JOBS, True, JobUsage(calls=3, succeeded=0), 0),
        (JOBS, True, JobUsage(), 0),
        (JOBS, True, JobUsage(calls=1, succeeded=0, delivered=1, tokens=7), 1),  # a stream the client cut off
        (TOKENS, True, JobUsage(calls=1, succeeded=0, delivered=1, tokens=7), 1),
        (JOBS, False, JobUsage(calls=3, succeeded=3, delivered=3), 0),
        (ALL_MUST_SUCCEED, True, JobUsage(calls=3, succeeded=3, delivered=3), 1),
        (ALL_MUST_SUCCEED, True, JobUsage(calls=3, succeeded=2, delivered=2), 0),
        (ALL_MUST_SUCCEED, True, JobUsage(), 0),
        (DOLLARS, True, JobUsage(calls=2, succeeded=1, delivered=1, price=DOLLAR), 10),
        (DOLLARS, False, JobUsage(calls=2, succeeded=1, delivered=1, price=DOLLAR), 0),
        (TOKENS, True, JobUsage(calls=1, succeeded=1, delivered=1, tokens=20_001), 3),
    ],
)
def test_only_a_completed_job_with_a_success_is_charged(
    plan: Plan, is_completed: bool, usage: JobUsage, credits_: int
) -> None:
    assert bill(plan, is_completed=is_completed, usage=usage) == credits_


@pytest.mark.parametrize(
    ("plan", "usage", "credits_"),
    [
        (JOBS, JobUsage(), 1),
        (JOBS, JobUsage(calls=9, tokens=10**6, price=DOLLAR), 1),
        (DOLLARS, JobUsage(), 1),
        (DOLLARS, JobUsage(price=DOLLAR), 10),
        (TOKENS, JobUsage(), 1),
        (TOKENS, JobUsage(tokens=25_000), 3),
        (replace(DOLLARS, fixed_credits=7), JobUsage(price=DOLLAR), 7),
        (replace(JOBS, fixed_credits=0), JobUsage(), 0),
    ],
)
def test_a_job_holds_the_price_of_what_was_used_and_may_be_used_at_most_and_at_least_one_credit(
    plan: Plan, usage: JobUsage, credits_: int
) -> None:
    assert needed_hold(plan, usage) == credits_


@pytest.mark.parametrize(
    ("charged", "held", "movements"),
    [
        (1, 1, [Movement(EntryKind.DEDUCTION, available=0, held=-1)]),
        (0, 1, [Movement(EntryKind.RELEASE, available=1, held=-1)]),
        (
            2,
            5,
            [
                Movement(EntryKind.DEDUCTION, available=0, held=-2),
                Movement(EntryKind.RELEASE, available=3, held=-3),
            ],
        ),
        (7, 5, [Movement(EntryKind.DEDUCTION, available=-2, held=-5)]),  # billed in full, even above the hold (D6)
        (3, 0, [Movement(EntryKind.DEDUCTION, available=-3, held=0)]),
        (0, 0, []),
    ],
)
def test_settling_deducts_from_the_hold_first_and_releases_the_rest(
    charged: int, held: int, movements: list[Movement]
) -> None:
    assert list(settle(Credits(charged), held)) == movements


@dataclass
class Ledger:
    """A balance kept by hand."""

    allocated: int = 0
    used: int = 0
    available: int = 0
    held: int = 0
    holds: list[int] = field(default_factory=list)

    def post(self, movement: Movement) -> None:
        self.allocated += movement.allocated
        self.used += movement.used
        self.available += movement.available
        self.held += movement.held
        assert self.allocated - self.used == self.available + self.held
        assert self.held >= 0


AMOUNTS = st.integers(min_value=1, max_value=10**15)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), AMOUNTS),
        st.tuples(st.just("hold"), AMOUNTS),
        st.tuples(st.just("settle"), st.integers(min_value=0, max_value=10**15)),
    ),
    max_size=40,
)


@given(steps=STEPS, pick=st.randoms(use_true_random=False))
def test_holds_and_settlements_in_any_order_never_create_credits(steps: list[tuple[str, int]], pick: Random) -> None:
    # given credits, holds as they can be had, and jobs settled in any order
    ledger = Ledger()
    charged = 0
    for step, amount in steps:
        if step == "give":
            ledger.post(Movement(EntryKind.GRANT, available=amount))
        elif step == "hold" and amount <= ledger.available:
            ledger.holds.append(amount)
            ledger.post(hold(amount))
        elif step == "settle" and ledger.holds:
            held = ledger.holds.pop(pick.randrange(len(ledger.holds)))
            for movement in settle(Credits(amount), held):
                ledger.post(movement)
            charged += amount
    # then exactly what was charged has left, and exactly what is not settled is held
    given_ = sum(amount for step, amount in steps if step == "give")
    assert ledger.used == charged
    assert ledger.allocated == given_
    assert ledger.held == sum(ledger.holds)
    assert ledger.available == given_ - charged - sum(ledger.holds)


@given(charged=st.integers(min_value=0, max_value=10**15), held=st.integers(min_value=0, max_value=10**15))
def test_settling_returns_the_hold_and_takes_exactly_the_charge(charged: int, held: int) -> None:
    movements = settle(Credits(charged), held)
    assert sum(movement.held for movement in movements) == -held
    assert sum(movement.used for movement in movements) == charged
    assert len({movement.kind for movement in movements}) == len(movements)  # UNIQUE(kind, ref) admits each kind once


@given(
    plan=st.builds(
        Plan,
        budget_mode=st.sampled_from(BudgetMode),
        credits_per_dollar=st.integers(min_value=1, max_value=10**6),
        tokens_per_credit=st.integers(min_value=1, max_value=10**6),
        charge_rule=st.sampled_from(ChargeRule),
    ),
    usage=st.builds(
        JobUsage,
        calls=st.integers(min_value=0, max_value=100),
        succeeded=st.integers(min_value=0, max_value=100),
        tokens=st.integers(min_value=0, max_value=10**12),
        price=st.integers(min_value=0, max_value=10**15),
    ),
    is_completed=st.booleans(),
)
def test_a_bill_is_never_more_than_was_needed_to_be_held(plan: Plan, usage: JobUsage, is_completed: bool) -> None:
    assert 0 <= bill(plan, is_completed=is_completed, usage=usage) <= needed_hold(plan, usage)


def test_a_refund_gives_back_use_and_a_grant_does_not() -> None:
    assert (Movement(EntryKind.REFUND, available=3).used, Movement(EntryKind.REFUND, available=3).allocated) == (-3, 0)
    assert (Movement(EntryKind.GRANT, available=3).used, Movement(EntryKind.GRANT, available=3).allocated) == (0, 3)
    assert Movement(EntryKind.ADJUSTMENT, available=-3).allocated == -3
