"""SQL of ended calls, and of all calls' effects on their jobs; `open_calls_store` has the running ones.

Entering and finishing take many calls at once: they run inside the group commit.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    bindparam,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlmodel import col

from control_plane.completion.events import ProviderFault
from control_plane.completion.faults import shown
from control_plane.credits import risk_store
from control_plane.credits.reservations import JobReservation
from control_plane.errors import ControlPlaneError, JobClosed, JobNotFound, JobNotOwned
from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs import open_calls_store, usage_rollups_store
from control_plane.jobs.models import Call, Job, OpenCall
from control_plane.jobs.plans import RESERVATION_COLUMNS, reservation_of
from control_plane.jobs.rules import OPEN_JOB, CallStatus, Intent, JobStatus, Record, Reserved, Totals, change_of
from control_plane.storage.columns import UtcDateTime
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, one, one_or_many
from control_plane.storage.usage_columns import usage_values
from control_plane.units import marked_up


@dataclass(frozen=True, slots=True)
class EnteredJob:
    """A job that let calls in, as much of it as decides about them."""

    reservation: JobReservation
    is_repetition: bool = False


async def lock_jobs(tx: Tx, job_ids: Collection[JobId], *, even_one: bool = False) -> None:
    """Takes the jobs' rows in the order of their ids, as every server does, so that no two wait for each other (D16).

    One job needs no order (`even_one`: but waits for a transaction that has it), and on SQLite there is one writer.
    """
    if (len(job_ids) > 1 or even_one) and tx.dialect.name != "sqlite":
        await tx.execute(_lock(), {"jobs": list(job_ids)})


async def enter_jobs(tx: Tx, intents: Sequence[Intent], *, now: datetime) -> Mapping[JobId, EnteredJob]:
    """Counts the calls into their jobs; returns the jobs that let them in: open, and of the intents' teams.

    Calls that enter the same job at once are counted together, so that each job is one row of one statement.
    """
    entering = Counter((intent.job_id, intent.team_id) for intent in intents)
    jobs_by_count: defaultdict[int, list[tuple[JobId, TeamId]]] = defaultdict(list)
    for job, count in entering.items():
        jobs_by_count[count].append(job)
    entered: dict[JobId, EnteredJob] = {}
    for count, jobs in jobs_by_count.items():
        for row in await tx.execute(_enter(), {"jobs": jobs, "entering": count, "now": now}):
            entered[JobId(row.id)] = EnteredJob(reservation_of(row), is_repetition=row.is_repetition)
    return entered


async def leave_job(tx: Tx, job_id: JobId) -> None:
    """Takes back one entry: the call will not be made."""
    await tx.execute(update(Job).where(col(Job.id) == job_id).values(calls_open=Job.calls_open - 1))


async def reserve(tx: Tx, intent: Intent, *, held_more: int) -> None:
    """Keeps free in the job what the call may use, and notes what more is held for it."""
    reserved_price = marked_up(intent.reserved.cost, intent.markup)
    row = {
        "job": intent.job_id,
        "tokens": intent.reserved.tokens,
        "cost": intent.reserved.cost,
        "price": reserved_price,
        "held": held_more,
    }
    await tx.execute(_reserve(), row)


async def why_not(tx: Tx, intent: Intent) -> ControlPlaneError:
    """Why a job did not let a call in."""
    statement = select(col(Job.team_id), col(Job.status)).where(col(Job.id) == intent.job_id)
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return JobNotFound()
    if row.team_id != intent.team_id:
        return JobNotOwned()
    return JobClosed(status=JobStatus.EXPIRED if row.status in OPEN_JOB else row.status)


async def finish(tx: Tx, records: Sequence[Record]) -> set[CallId]:
    """Writes how calls ended and adds them to their jobs' totals; returns the calls that were still running.

    The first to finish a call decides; a repetition changes nothing.
    """
    ending = {record.intent.call_id: record for record in records}
    taken = await open_calls_store.take(tx, list(ending))
    if taken:
        rows = [{**intent, **_outcome(ending[call_id])} for call_id, intent in taken.items()]
        await tx.execute(_add(), one_or_many(rows))
    finished = set(taken)
    for call_id in ending.keys() - finished:
        if await _finish_before(tx, ending[call_id]):
            finished.add(call_id)
    await _count(tx, [record for record in records if record.intent.call_id in finished])
    return finished


async def _finish_before(tx: Tx, record: Record) -> bool:
    """Whether the call was open in the table of the ended ones, and has ended now: one that a server of the version before
    has opened.
    """
    is_open = (col(Call.id) == record.intent.call_id, col(Call.status) == CallStatus.OPEN.value)
    ended = update(Call).where(*is_open).values(_outcome(record)).returning(col(Call.id))
    return (await tx.execute(ended)).one_or_none() is not None


def intent_of(call: Call) -> Intent:
    """The intent that a row was written for, as much as ending it needs."""
    return Intent(
        call_id=CallId(call.id),
        job_id=JobId(call.job_id),
        team_id=TeamId(call.team_id),
        model_group=call.model_group,
        is_stream=call.is_stream,
        purpose=call.purpose,
        metadata=call.metadata_,
        created_at=call.created_at,
        markup_bps=call.markup_bps,
        reserved=Reserved(call.reserved_tokens, call.reserved_cost_nano_usd),
        worst=call.worst_nano_usd,
    )


def fault_in(call: Call) -> ProviderFault | None:
    """The provider's fault as stored in a row."""
    if call.provider_status is None:
        return None
    return ProviderFault(
        call.provider_status,
        code=call.provider_code,
        type=call.provider_type,
        param=call.provider_param,
        text=call.provider_text or "",
    )


async def find(tx: Tx, call_id: CallId) -> Call | None:
    """One call of any team; running or ended."""
    running = await open_calls_store.list_of_ids(tx, [call_id])
    return running[0] if running else one(Call, await tx.execute(_find(), {"call": call_id}))


@prepared
def _find() -> Executable:
    return every(Call).where(col(Call.id) == bindparam("call"))


async def list_ended(tx: Tx, call_ids: Sequence[CallId]) -> set[CallId]:
    """Those of the calls that have ended. Their jobs are locked."""
    if not call_ids:
        return set()
    return {CallId(row.id) for row in await tx.execute(select(col(Call.id)).where(col(Call.id).in_(call_ids)))}


async def correct(tx: Tx, before: Record, after: Record) -> None:
    """An ended call stands differently from now on. Its job is open and locked."""
    intent, change = after.intent, change_of(before, after)
    await tx.execute(update(Call).where(col(Call.id) == intent.call_id).values(_outcome(after)))
    costs = {intent.team_id: after.cost - before.cost}
    await _add_up(tx, {intent.job_id: change}, {(intent.job_id, intent.model_group): change}, costs)


async def list_calls(reader: Reader, team_id: TeamId, job_id: JobId) -> Sequence[Call]:
    """The calls of a job in the order they were made, those that run, too."""
    running = await open_calls_store.list_of_jobs(reader, [job_id])
    ended = (await list_calls_of(reader, [job_id]))[job_id]  # read last: one that ends in between is not missed
    calls = {call.id: call for call in (*running, *ended) if call.team_id == team_id}
    return sorted(calls.values(), key=lambda call: (call.created_at, call.id))


async def list_calls_of(reader: Reader, job_ids: Sequence[JobId]) -> Mapping[JobId, Sequence[Call]]:
    """The ended calls of each of these jobs in the order they were made."""
    calls: dict[JobId, list[Call]] = {job_id: [] for job_id in job_ids}
    if calls:
        for call in many(Call, await reader.execute(_list_of_jobs(), {"jobs": list(job_ids)})):
            calls[JobId(call.job_id)].append(call)
    return calls


@prepared
def _list_of_jobs() -> Executable:
    in_order = (col(Call.created_at), col(Call.id))
    return every(Call).where(col(Call.job_id).in_(bindparam("jobs", expanding=True))).order_by(*in_order)


async def groups_used(reader: Reader, team_id: TeamId, job_ids: Sequence[JobId]) -> Mapping[JobId, set[str]]:
    """The model groups that each of these jobs has called."""
    groups: defaultdict[JobId, set[str]] = defaultdict(set)
    for table in (OpenCall, Call):  # in this order: a call that ends in between is not missed
        is_theirs = (col(table.job_id).in_(job_ids), col(table.team_id) == team_id)
        statement = select(col(table.job_id), col(table.model_group)).where(*is_theirs).distinct()
        for row in await reader.execute(statement):
            groups[JobId(row.job_id)].add(row.model_group)
    return groups


async def _count(tx: Tx, records: Sequence[Record]) -> None:
    if not records:
        return
    jobs: defaultdict[JobId, Totals] = defaultdict(Totals)
    groups: defaultdict[tuple[JobId, str], Totals] = defaultdict(Totals)
    costs: Counter[TeamId] = Counter()
    over: Counter[TeamId] = Counter()
    for record in records:
        intent = record.intent
        jobs[intent.job_id] = jobs[intent.job_id].plus(record)
        groups[intent.job_id, intent.model_group] = groups[intent.job_id, intent.model_group].plus(record)
        costs[intent.team_id] += record.cost
        over[intent.team_id] -= intent.worst
    await _add_up(tx, jobs, groups, costs, over)


async def _add_up(
    tx: Tx,
    jobs: Mapping[JobId, Totals],
    groups: Mapping[tuple[JobId, str], Totals],
    costs: Mapping[TeamId, int],
    worst: Mapping[TeamId, int] | None = None,
) -> None:
    """Adds to jobs, to what is at risk, and to the usage of days, in this order (D16)."""
    await tx.execute(_add_totals(), one_or_many([{"job": job_id, **_values(added)} for job_id, added in jobs.items()]))
    await risk_store.add_open_costs(tx, costs, worst)
    await usage_rollups_store.add_usage(tx, groups)


def _values(totals: Totals) -> dict[str, int]:
    return {name: getattr(totals, name) for name in _TOTALS}


_TOTALS = tuple(each.name for each in fields(Totals))

# The statements of the call path are built once: building one costs more than running it.


@prepared
def _lock() -> Executable:
    wanted = col(Job.id).in_(bindparam("jobs", expanding=True))
    return select(col(Job.id)).where(wanted).order_by(col(Job.id)).with_for_update()


@prepared
def _enter() -> Executable:
    return (
        update(Job)
        .where(
            tuple_(col(Job.id), col(Job.team_id)).in_(bindparam("jobs", expanding=True)),
            col(Job.status).in_(OPEN_JOB),
            col(Job.expires_at) > bindparam("now", type_=UtcDateTime),
        )
        .values(
            calls_open=Job.calls_open + bindparam("entering", type_=Integer),
            status=JobStatus.IN_PROGRESS.value,
            started_at=func.coalesce(col(Job.started_at), bindparam("now", type_=UtcDateTime)),
        )
        .returning(
            col(Job.id),
            col(Job.is_repetition),
            *reservation_columns(),
        )
    )


def reservation_columns() -> "list[ColumnElement[Any]]":
    """The columns that `reservation_of` reads."""
    return [getattr(Job, name) for name in RESERVATION_COLUMNS]


@prepared
def _reserve() -> Executable:
    return (
        update(Job)
        .where(col(Job.id) == bindparam("job"))
        .values(
            reserved_tokens=Job.reserved_tokens + bindparam("tokens"),
            reserved_cost_nano_usd=Job.reserved_cost_nano_usd + bindparam("cost"),
            reserved_price_nano_usd=Job.reserved_price_nano_usd + bindparam("price"),
            credits_held=Job.credits_held + bindparam("held"),
        )
    )


@prepared
def _add() -> Executable:
    return insert(Call)


@prepared
def _add_totals() -> Executable:
    return (
        update(Job)
        .where(col(Job.id) == bindparam("job"))
        .values(
            calls_open=Job.calls_open - bindparam("calls"),
            calls_total=Job.calls_total + bindparam("calls"),
            calls_succeeded=Job.calls_succeeded + bindparam("succeeded"),
            calls_failed=Job.calls_failed + bindparam("failed"),
            calls_delivered=Job.calls_delivered + bindparam("delivered"),
            prompt_tokens=Job.prompt_tokens + bindparam("prompt_tokens"),
            completion_tokens=Job.completion_tokens + bindparam("completion_tokens"),
            cost_nano_usd=Job.cost_nano_usd + bindparam("cost"),
            price_nano_usd=Job.price_nano_usd + bindparam("price"),
            unbilled_nano_usd=Job.unbilled_nano_usd + bindparam("unbilled"),
            reserved_tokens=Job.reserved_tokens - bindparam("reserved_tokens"),
            reserved_cost_nano_usd=Job.reserved_cost_nano_usd - bindparam("reserved_cost"),
            reserved_price_nano_usd=Job.reserved_price_nano_usd - bindparam("reserved_price"),
            latency_ms=Job.latency_ms + bindparam("latency_ms"),
        )
    )


_PROVIDER_COLUMNS = ("provider_status", "provider_code", "provider_type", "provider_param", "provider_text")


def _outcome(record: Record) -> dict[str, Any]:
    return {
        "status": record.status.value,
        "model": record.served.model if record.served else None,
        "deployment_id": record.served.deployment_id if record.served else None,
        "lane": record.served.lane if record.served else "litellm",
        "finish_reason": record.finish_reason,
        "error_code": record.error_code,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "is_estimated": record.usage.is_estimated,
        "is_cached": record.is_cached,
        "is_unpriced": record.is_unpriced,
        "cost_nano_usd": record.cost,
        "price_nano_usd": record.price,
        "latency_ms": record.latency_ms,
        "first_chunk_ms": record.first_chunk_ms,
        "ended_at": record.ended_at,
        **_provider_columns(record.fault),
        **usage_values(record.usage),
    }


def _provider_columns(fault: ProviderFault | None) -> dict[str, Any]:
    """Redacted once more, so that no column stores a secret of any record."""
    if fault is None:
        return dict.fromkeys(_PROVIDER_COLUMNS)
    known = shown(fault)
    return {
        "provider_status": known.status,
        "provider_code": known.code,
        "provider_type": known.type,
        "provider_param": known.param,
        "provider_text": known.text or None,
    }
