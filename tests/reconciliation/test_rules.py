"""What is thought of a call and everything that was reported of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.completion.usage import Usage
from control_plane.ids import new_id
from control_plane.jobs.rules import CallStatus
from control_plane.reconciliation.rules import LATE, Finding, RecordedCall, ReportedAttempt, compare

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OK, FAILED, CANCELLED, LOST = CallStatus.SUCCEEDED, CallStatus.FAILED, CallStatus.CANCELLED, CallStatus.LOST


def call(status: CallStatus, cost: int, *, is_estimated: bool = False, is_unpriced: bool = False) -> RecordedCall:
    ended_at = NOW - timedelta(hours=1)
    return RecordedCall(
        new_id(), new_id(), "acme", "gpt", "gpt-1", status, Usage(1, 1, is_estimated), cost, is_unpriced, ended_at
    )


def attempts(*costs: int) -> list[ReportedAttempt]:
    """The last one answered."""
    return [ReportedAttempt(new_id(), number == len(costs), cost, NOW, "gpt") for number, cost in enumerate(costs, 1)]


FAILURE = ReportedAttempt(new_id(), is_success=False, cost=0, started_at=NOW, model="gpt")


@pytest.mark.parametrize(
    ("recorded", "reported", "finding", "is_unexplained"),
    [
        (call(OK, 7), attempts(7), Finding.MATCHED, False),
        (call(OK, 7), attempts(0, 0, 7), Finding.MATCHED, False),  # two fell over before it
        (call(OK, 0), attempts(0), Finding.MATCHED, False),
        (call(OK, 7), attempts(8), Finding.COST_DIFFERS, True),
        (call(OK, 7), attempts(7, 7), Finding.COST_DIFFERS, True),  # reported twice
        (call(OK, 7), attempts(0), Finding.COST_DIFFERS, True),
        (call(OK, 7, is_estimated=True), attempts(0), Finding.COST_DIFFERS, False),
        (call(OK, 7, is_estimated=True), attempts(6), Finding.COST_DIFFERS, True),
        (call(OK, 0, is_unpriced=True), attempts(7), Finding.COST_DIFFERS, False),
        (call(OK, 7), [], Finding.CALL_WITHOUT_LOG, True),
        (call(OK, 7), [FAILURE], Finding.CALL_WITHOUT_LOG, True),  # it fell over, and the answer was not reported
        (call(CANCELLED, 7), [], Finding.CALL_WITHOUT_LOG, False),
        (call(CANCELLED, 7), [FAILURE], Finding.CALL_WITHOUT_LOG, False),  # left after it had fallen over
        (call(LOST, 7, is_estimated=True), [], Finding.CALL_WITHOUT_LOG, False),
        (call(FAILED, 0), [], Finding.CALL_WITHOUT_LOG, False),
        (call(FAILED, 0), [FAILURE], Finding.MATCHED, False),
        (call(FAILED, 0), attempts(7), Finding.BILLED_BUT_FAILED, False),
        (call(CANCELLED, 5, is_estimated=True), attempts(6), Finding.COST_DIFFERS, False),
    ],
)
def test_every_pair_of_record_and_report_has_one_finding(
    recorded: RecordedCall, reported: list[ReportedAttempt], finding: Finding, *, is_unexplained: bool
) -> None:
    verdict = compare(recorded, reported, now=NOW)
    assert verdict.finding is finding
    assert verdict.is_unexplained is is_unexplained
    assert verdict.difference == sum(each.cost for each in reported) - recorded.cost


def test_what_was_never_reported_must_not_cost_more_than_price_times_usage() -> None:
    left = call(CANCELLED, 7, is_estimated=True)
    assert not compare(left, [], now=NOW, priced=7).is_unexplained
    assert not compare(left, [], now=NOW, priced=8).is_unexplained, "cached tokens are cheaper"
    assert compare(left, [], now=NOW, priced=6).is_unexplained
    assert not compare(call(OK, 7), attempts(7), now=NOW, priced=6).is_unexplained, "two agree"


def test_a_cost_of_0_that_both_took_for_granted_is_found_by_the_price_list() -> None:
    """LiteLLM prices 0 what it does not understand, and we take its word: two witnesses are one then."""
    free = call(OK, 0)
    verdict = compare(free, attempts(0), now=NOW, priced=5)
    assert (verdict.finding, verdict.is_unexplained, verdict.priced) == (Finding.COST_DIFFERS, True, 5)
    assert compare(free, attempts(0), now=NOW, priced=0).finding is Finding.MATCHED, "the model is free"
    for explained in (replace(free, is_cached=True), replace(free, is_unpriced=True), call(FAILED, 0)):
        assert compare(explained, attempts(0), now=NOW, priced=5).finding is Finding.MATCHED


def test_an_answer_that_was_given_again_is_free_and_nobody_reports_it() -> None:
    given_again = replace(call(OK, 0), is_cached=True)
    assert compare(given_again, [], now=NOW).finding is Finding.MATCHED
    assert compare(given_again, attempts(7), now=NOW).is_unexplained, "somebody was asked after all"
    assert compare(replace(given_again, cost=7), [], now=NOW).is_unexplained, "it was billed"


def test_a_server_that_died_explains_what_it_never_reported() -> None:
    made = replace(call(OK, 7), server_died=True)
    assert not compare(made, [], now=NOW).is_unexplained
    assert not compare(made, [FAILURE], now=NOW).is_unexplained
    assert compare(made, attempts(8), now=NOW).is_unexplained


def test_a_report_may_still_come_and_old_ones_are_dropped() -> None:
    made = call(OK, 7)
    assert not compare(made, [], now=made.ended_at + LATE - timedelta(seconds=1)).is_unexplained
    assert compare(made, [], now=made.ended_at + LATE).is_unexplained
    assert not compare(made, [], now=NOW, logs_since=made.ended_at + timedelta(seconds=1)).is_unexplained
    assert compare(made, [], now=NOW, logs_since=made.ended_at).is_unexplained
