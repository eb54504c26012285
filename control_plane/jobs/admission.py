"""Admission of calls to jobs, inside a transaction: at-risk limit, caps, holds. One rule for every entry point.

An admitted call holds its worst case, where its job's price depends on its calls; when it has ended, the job holds the
cost of its ended calls and the worst case of the open ones (D6).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from control_plane.chat import UsageEstimate
from control_plane.credits import posting, risk_store
from control_plane.credits import rules as billing
from control_plane.credits.reservations import JobReservation, affordable_max_tokens
from control_plane.credits.risk_store import TeamRisk
from control_plane.credits.values import EntryContext
from control_plane.errors import (
    AlreadyExists,
    AtRiskLimit,
    CallLost,
    ControlPlaneError,
    InsufficientCredits,
    JobCapReached,
)
from control_plane.ids import CallId, JobId, Subject, TeamId, following_id
from control_plane.jobs import calls_store, open_calls_store, store
from control_plane.jobs.lost import LostCallPolicy, lost_record
from control_plane.jobs.models import Call
from control_plane.jobs.rules import OPEN_JOB, CallStatus, Intent, Record, Reserved
from control_plane.jobs.undelivered import record_of, taken_back
from control_plane.storage.database import Tx
from control_plane.units import NANO_PER_USD, NanoUsd, usd

LEAST_LIMIT = NanoUsd(5 * NANO_PER_USD)
"""The least limit of every team, however few credits it has left: a call or two of the dearest models."""

MOST_WORST = 10**18
"""The most that a call counts while it runs (nano-USD): no sum of a team's overflows its column."""


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """How much provider cost a team may have open or unbilled (nano-USD), and for how long unbilled cost counts.

    `limit`: of every team without its own; None: what its remaining credits are worth, and never less than LEAST_LIMIT.
    """

    limit: NanoUsd | None = None
    window: timedelta = timedelta(hours=24)

    def since(self, now: datetime) -> datetime:
        """Unbilled cost counts of hours that began after this: each job's for the window, and for an hour more at most."""
        return now - self.window - timedelta(hours=1)

    def limit_of(self, risk: TeamRisk) -> NanoUsd:
        """A team's limit: its own, else that of all, else from its credits."""
        if risk.own_limit is not None:
            return NanoUsd(risk.own_limit)
        if self.limit is not None:
            return self.limit
        worth = max(0, risk.credits_remaining) * NANO_PER_USD // risk.credits_per_dollar
        return NanoUsd(max(LEAST_LIMIT, worth))


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted call: its intent as written, with the fields its job filled in.

    `may_use_cached`: whether a cached answer may be used: not in place of one that was taken off the bill (D54).
    """

    intent: Intent
    credits_remaining: int
    may_use_cached: bool = True


async def open_calls(
    tx: Tx, intents: Sequence[Intent], worker_id: UUID, *, now: datetime, risk: RiskPolicy
) -> Mapping[CallId, Admitted | ControlPlaneError]:
    """Admits the calls to their jobs, holds what they need, and writes them as open; or returns why not, call by call.

    The jobs' rows are locked, and the balances'.
    """
    entered = await calls_store.enter_jobs(tx, intents, now=now)
    risks = dict(await risk_store.find_risks(tx, {intent.team_id for intent in intents}, since=risk.since(now)))
    reservations = {job_id: job.reservation for job_id, job in entered.items()}
    made = await calls_store.list_ended(tx, [intent.call_id for intent in intents if intent.is_resumed])
    results: dict[CallId, Admitted | ControlPlaneError] = {}
    opened: list[Intent] = []
    for intent in sorted(intents, key=lambda each: each.team_id):
        job = entered.get(intent.job_id)
        if job is None:
            results[intent.call_id] = await calls_store.why_not(tx, intent)
            continue
        try:
            if intent.call_id in made:
                raise AlreadyExists("Another server has made this call already.")
            at_risk = risks[intent.team_id]
            _check_risk(at_risk, risk.limit_of(at_risk))
            let_in = await _reserve(tx, _completed(intent, job.reservation), reservations, now)
        except ControlPlaneError as refusal:
            await calls_store.leave_job(tx, intent.job_id)
            results[intent.call_id] = refusal
        else:
            let_in = replace(let_in, worst=min(let_in.demand.cost, MOST_WORST))
            opened.append(let_in)
            risks[intent.team_id] = replace(at_risk, worst=at_risk.worst + let_in.worst)
            results[intent.call_id] = Admitted(let_in, at_risk.credits_remaining, may_use_cached=not job.is_repetition)
    if opened:
        await open_calls_store.add(tx, opened, worker_id)
        worst: Counter[TeamId] = Counter()
        for intent in opened:
            worst[intent.team_id] += intent.worst
        await risk_store.add_open_costs(tx, dict.fromkeys(worst, 0), worst)
    return results


async def end_calls(tx: Tx, records: Sequence[Record], *, now: datetime) -> set[CallId]:
    """Writes how calls ended, adds them up, and releases what their jobs no longer need; returns those still open till now."""
    finished = await calls_store.finish(tx, records)
    last_of: dict[JobId, Intent] = {}
    for record in records:
        if record.intent.call_id in finished and record.intent.reserved != Reserved():
            last_of[record.intent.job_id] = record.intent
    if last_of:
        reservations = await store.find_reservations(tx, list(last_of))
        for intent in sorted(last_of.values(), key=lambda each: each.team_id):
            excess = -reservations[intent.job_id].missing
            if excess > 0:
                release = billing.release(excess)
                await posting.post(tx, intent.team_id, [release], EntryContext(str(intent.call_id), now, "call"))
                await store.add_hold(tx, intent.job_id, -excess)
    return finished


@dataclass(frozen=True, slots=True)
class Repetition:
    """The id of a repeated call. `may_use_cached`: as of `Admitted`."""

    call_id: CallId
    may_use_cached: bool


async def repetition(tx: Tx, subject: Subject, *, now: datetime) -> Repetition:
    """A repeated call. Earlier ones with an undelivered response are taken out of the bill of their job."""
    call_id, may_use_cached = CallId(subject.id), True
    while (call := await calls_store.find(tx, call_id)) is not None:
        if subject.is_superseded:
            await _take_back(tx, call, now)
        may_use_cached = may_use_cached and not (subject.is_superseded or call.error_code == CallLost.code)
        call_id = CallId(following_id(call_id))
    return Repetition(call_id, may_use_cached)


async def _take_back(tx: Tx, known: Call, now: datetime) -> None:
    job = await store.lock(tx, TeamId(known.team_id), JobId(known.job_id))
    call = await calls_store.find(tx, CallId(known.id))
    if job is None or call is None or job.status not in OPEN_JOB:
        return
    if call.status == CallStatus.OPEN:
        await end_calls(tx, [lost_record(call, LostCallPolicy.VOID, now)], now=now)
        return
    record = record_of(call)
    if (after := taken_back(record)) is not None:
        await calls_store.correct(tx, record, after)


def _completed(intent: Intent, reservation: JobReservation) -> Intent:
    """The intent with the plan's markup, if its group has none."""
    return intent if intent.markup_bps is not None else replace(intent, markup_bps=reservation.plan.markup_bps)


def _check_risk(risk: TeamRisk, limit: NanoUsd) -> None:
    """A team's calls are admitted while it has less at risk than its limit: it exceeds it by one call at most.

    Raises: AtRiskLimit.
    """
    if risk.total >= limit:
        raise AtRiskLimit(at_risk_usd=usd(risk.total), running_usd=usd(risk.worst), limit_usd=usd(limit))


async def _reserve(tx: Tx, intent: Intent, reservations: dict[JobId, JobReservation], now: datetime) -> Intent:
    """Fits the call into its job's caps and the team's credits. Raises: JobCapReached, InsufficientCredits."""
    reservation = reservations[intent.job_id]
    if not reservation.is_reserving:
        return intent
    if not reservation.plus(intent.demand, intent.markup).is_within_caps:
        intent = _cut(intent, reservation)
    try:
        held = await _hold(tx, intent, reservation, now)
    except InsufficientCredits as refusal:
        intent = _cut(intent, reservation, available=refusal.available)
        held = await _hold(tx, intent, reservation, now)
    intent = replace(intent, reserved=Reserved(intent.demand.tokens, intent.demand.cost))
    await calls_store.reserve(tx, intent, held_more=held)
    reservations[intent.job_id] = replace(reservation.plus(intent.demand, intent.markup), held=reservation.held + held)
    return intent


async def _hold(tx: Tx, intent: Intent, reservation: JobReservation, now: datetime) -> int:
    missing = max(0, reservation.plus(intent.demand, intent.markup).missing)
    if missing:
        hold = billing.hold(missing)
        await posting.post(tx, intent.team_id, [hold], EntryContext(str(intent.call_id), now, "call"))
    return missing


def _cut(intent: Intent, reservation: JobReservation, *, available: int | None = None) -> Intent:
    """The call with as many tokens as fit, when the client wants that and any do; else the refusal.

    `available`: the team's credits, when it is these that are too few.
    """

    def fits(demand: UsageEstimate) -> bool:
        then = reservation.plus(demand, intent.markup)
        return then.is_within_caps and (available is None or then.missing <= available)

    affordable = affordable_max_tokens(intent.demand, fits)
    if affordable and reservation.caps.is_clamped:
        return replace(intent, demand=replace(intent.demand, max_tokens=affordable))
    if available is None:
        raise JobCapReached(affordable_max_tokens=affordable)
    needed = reservation.plus(intent.demand, intent.markup).missing
    raise InsufficientCredits(needed=needed, available=available, affordable_max_tokens=affordable)
