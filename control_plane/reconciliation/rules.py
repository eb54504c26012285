"""Compares LiteLLM's reports with our records and bills, call by call. Pure.

finding               when                                                        explained
matched               reported = recorded                                         –
cost differs          reported ≠ recorded; or both are 0, and the price list       the provider gave no usage, which
                      prices the tokens                                           LiteLLM prices 0 and we count; or
                                                                                  the price is unknown
call without log      we recorded a call, its answer was not reported              it did not succeed: LiteLLM does not
                                                                                  report what is broken off; its
                                                                                  report may still come, or was dropped
                                                                                  with old logs; but not if it cost
                                                                                  more than its tokens are worth
log without call      something was reported of an unknown call                   never
billed but failed     an attempt succeeded at the provider in a call that         always: a failed call costs nothing
                      failed for us
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from control_plane.completion.usage import Usage
from control_plane.jobs.rules import CallStatus

LATE = timedelta(minutes=5)
"""How long a report may take to arrive."""


class Finding(StrEnum):
    """The result of comparing a call with its logs."""

    MATCHED = "matched"
    COST_DIFFERS = "cost_differs"
    CALL_WITHOUT_LOG = "call_without_log"
    LOG_WITHOUT_CALL = "log_without_call"
    BILLED_BUT_FAILED = "billed_but_failed"


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """Our record of an ended call. `cost` in nano-USD. `server_died`: around the time the call ended.

    `is_cached`: served from the response cache: it costs nothing, and has no report.
    """

    call_id: UUID
    job_id: UUID
    team_id: str
    model: str
    deployment_id: str | None
    status: CallStatus
    usage: Usage
    cost: int
    is_unpriced: bool
    ended_at: datetime
    server_died: bool = False
    is_cached: bool = False

    @property
    def is_free(self) -> bool:
        """Whether it may cost nothing, whatever its tokens are worth."""
        return self.is_cached or self.is_unpriced or self.status is CallStatus.FAILED


@dataclass(frozen=True, slots=True)
class ReportedAttempt:
    """The report of an attempt by LiteLLM, here or in a proxy. `cost` in nano-USD."""

    call_id: UUID | None
    is_success: bool
    cost: int
    started_at: datetime
    model: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finding, what was recorded and reported and what the price list says (nano-USD), and why that is all right."""

    finding: Finding
    recorded: int = 0
    reported: int = 0
    explanation: str | None = None
    priced: int = 0

    @property
    def difference(self) -> int:
        """Reported minus recorded."""
        return self.reported - self.recorded

    @property
    def is_unexplained(self) -> bool:
        """Whether a person must investigate."""
        return self.finding is not Finding.MATCHED and self.explanation is None


def compare(
    call: RecordedCall,
    attempts: Sequence[ReportedAttempt],
    *,
    now: datetime,
    logs_since: datetime | None = None,
    priced: int | None = None,
) -> Comparison:
    """What to think of a call and everything that was reported of it. Logs older than `logs_since` were dropped.

    `priced`: its tokens by the price list, if known; cached ones are cheaper than that, so it is the most it may cost.
    """
    verdict = _judge(call, attempts, now, logs_since)
    if priced is None:
        return verdict
    is_too_dear = verdict.finding is Finding.CALL_WITHOUT_LOG and call.cost > priced
    if verdict.finding is Finding.MATCHED and call.cost == 0 < priced and not call.is_free:
        return replace(verdict, finding=Finding.COST_DIFFERS, priced=priced)  # LiteLLM's 0 that we took over
    return replace(verdict, priced=priced, explanation=None if is_too_dear else verdict.explanation)


def _judge(
    call: RecordedCall, attempts: Sequence[ReportedAttempt], now: datetime, logs_since: datetime | None
) -> Comparison:
    reported = sum(attempt.cost for attempt in attempts)
    if call.is_cached and call.cost == reported == 0:
        return Comparison(Finding.MATCHED)
    is_answered = any(attempt.is_success for attempt in attempts)
    if not attempts or (call.status is not CallStatus.FAILED and not is_answered):
        return Comparison(Finding.CALL_WITHOUT_LOG, call.cost, reported, _why_silent(call, now, logs_since))
    if call.status is CallStatus.FAILED and reported > call.cost:
        return Comparison(Finding.BILLED_BUT_FAILED, call.cost, reported, "a failed call costs its team nothing")
    if reported == call.cost:
        return Comparison(Finding.MATCHED, call.cost, reported)
    return Comparison(Finding.COST_DIFFERS, call.cost, reported, _why_different(call, reported))


def stray(attempt: ReportedAttempt) -> Comparison:
    """A report of a call without a record."""
    return Comparison(Finding.LOG_WITHOUT_CALL, reported=attempt.cost)


def _why_silent(call: RecordedCall, now: datetime, logs_since: datetime | None) -> str | None:
    if call.status is not CallStatus.SUCCEEDED:
        return "LiteLLM does not report calls that were broken off"
    if call.server_died:
        return "its server died before LiteLLM's report was written"
    if logs_since is not None and call.ended_at < logs_since:
        return "logs of that time were dropped"
    if now - call.ended_at < LATE:
        return "its report may still come"
    return None


def _why_different(call: RecordedCall, reported: int) -> str | None:
    if call.usage.is_estimated and reported == 0:
        return "the provider gave no usage: LiteLLM prices that 0, we count the tokens"
    if call.is_unpriced:
        return "the price was unknown when it was made"
    if call.status in (CallStatus.CANCELLED, CallStatus.LOST) and call.usage.is_estimated:
        return "it was broken off, and we estimated what LiteLLM counted"
    return None


@dataclass(slots=True)
class Sum:
    """Calls (or logs without one) of one finding and what they cost: recorded, reported, and by the price list."""

    calls: int = 0
    recorded: int = 0
    reported: int = 0
    priced: int = 0
    unexplained: int = 0

    @property
    def fits(self) -> bool:
        """Whether the reported cost equals the recorded one."""
        return self.reported == self.recorded and not self.unexplained

    def add(self, verdict: Comparison) -> None:
        """One more."""
        self.calls += 1
        self.recorded += verdict.recorded
        self.reported += verdict.reported
        self.priced += verdict.priced
        self.unexplained += verdict.is_unexplained


MOST_EXAMPLES = 100


@dataclass(slots=True)
class Reconciled:
    """A whole comparison: by finding; by team, model and day; the first examples of what needs an explanation.

    `has_jobs`: whether it keeps sums by job, of which there may be very many. `archived_until`: calls before that were
    archived, so that there is nothing to compare.
    """

    source: str
    since: datetime
    until: datetime
    has_jobs: bool = True
    archived_until: datetime | None = None
    by_finding: dict[Finding, Sum] = field(default_factory=lambda: {finding: Sum() for finding in Finding})
    by_team: dict[str, Sum] = field(default_factory=dict)
    by_model: dict[str, Sum] = field(default_factory=dict)
    by_day: dict[str, Sum] = field(default_factory=dict)
    by_job: dict[str, Sum] = field(default_factory=dict)
    examples: list[dict[str, object]] = field(default_factory=list)

    def add_call(self, call: RecordedCall, verdict: Comparison) -> None:
        """A call and what was thought of it."""
        self._add(verdict, team=call.team_id, model=call.model, moment=call.ended_at)
        if self.has_jobs:
            self.by_job.setdefault(str(call.job_id), Sum()).add(verdict)
        if verdict.is_unexplained:
            self._show(verdict, call_id=str(call.call_id), job_id=str(call.job_id), team_id=call.team_id)

    def add_stray(self, attempt: ReportedAttempt) -> None:
        """A report of an unknown call."""
        verdict = stray(attempt)
        self._add(verdict, team="", model=attempt.model, moment=attempt.started_at)
        self._show(verdict, call_id=str(attempt.call_id), job_id=None, team_id=None)

    @property
    def unexplained(self) -> int:
        """The number of unexplained ones."""
        return sum(each.unexplained for each in self.by_finding.values())

    @property
    def drift(self) -> int:
        """Reported minus recorded of whatever was reported, in nano-USD."""
        compared = (each for finding, each in self.by_finding.items() if finding is not Finding.CALL_WITHOUT_LOG)
        return sum(each.reported - each.recorded for each in compared)

    def _add(self, verdict: Comparison, *, team: str, model: str, moment: datetime) -> None:
        self.by_finding[verdict.finding].add(verdict)
        self.by_team.setdefault(team, Sum()).add(verdict)
        self.by_model.setdefault(model, Sum()).add(verdict)
        self.by_day.setdefault(moment.date().isoformat(), Sum()).add(verdict)

    def _show(self, verdict: Comparison, **names: str | None) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            amounts = {"recorded_nano_usd": verdict.recorded, "reported_nano_usd": verdict.reported}
            self.examples.append({"finding": verdict.finding.value, **names, **amounts})
