"""Rewritten records, whose first commit had no response: decides which of the two counts."""

from collections.abc import Sequence
from datetime import datetime

from control_plane.credits import posting, risk_store
from control_plane.credits import rules as billing
from control_plane.credits import store as credits_store
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.values import EntryContext
from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs import calls_store, store
from control_plane.jobs.models import Call, Job
from control_plane.jobs.plans import read_plan, usage_of
from control_plane.jobs.rules import OPEN_JOB, CallStatus, JobStatus, Record, Totals, change_of
from control_plane.jobs.undelivered import record_of
from control_plane.storage.database import Tx

UNDELIVERED = "the answer of a call was never delivered"


async def settle(tx: Tx, records: Sequence[Record], *, now: datetime) -> set[CallId]:
    """The calls that ended as these records state, now or the first time they were written; others had ended
    differently.

    A record that was written as a success, while its client got an error, is corrected: it costs nothing, even if its
    job was billed in between. The jobs are locked.
    """
    remaining: set[CallId] = set()
    for record in records:
        call = await calls_store.find(tx, record.intent.call_id)
        if call is None or not _is_own(call, record):
            continue
        if call.status != record.status:
            await _correct(tx, call, record, now)
        remaining.add(record.intent.call_id)
    return remaining


def _is_own(call: Call, record: Record) -> bool:
    """Whether the row was written by this record, as it is or as the success that it was: they share the moment."""
    return call.ended_at == record.ended_at and call.status in (record.status, CallStatus.SUCCEEDED)


async def _correct(tx: Tx, call: Call, record: Record, now: datetime) -> None:
    job = await store.lock(tx, TeamId(call.team_id), JobId(call.job_id))
    assert job is not None, "a call has a job"
    before = record_of(call)
    if job.status in OPEN_JOB:
        await calls_store.correct(tx, before, record)
    elif job.credits_charged:
        await _refund(tx, job, change_of(before, record), record, now)


async def _refund(tx: Tx, job: Job, change: Totals, record: Record, now: datetime) -> None:
    """Gives back what the call added to the bill of its job."""
    usage = usage_of(job)
    without = billing.JobUsage(
        calls=usage.calls,
        succeeded=usage.succeeded + change.succeeded,
        delivered=usage.delivered + change.delivered,
        tokens=usage.tokens + change.prompt_tokens + change.completion_tokens,
        price=usage.price + change.price,
    )
    charged = job.credits_charged or 0
    too_much = charged - billing.bill(
        read_plan(job.plan), is_completed=job.status == JobStatus.COMPLETED, usage=without
    )
    team_id, ref = TeamId(job.team_id), f"{job.id}:{record.intent.call_id}"
    await credits_store.lock_balance(tx, team_id)
    if too_much <= 0 or await credits_store.has_entry(tx, EntryKind.REFUND, ref):
        return
    left = charged - sum(await credits_store.list_refunds(tx, str(job.id)))
    if left > 0:
        refund = Movement(EntryKind.REFUND, available=min(too_much, left))
        await posting.post(tx, team_id, [refund], EntryContext(ref, now, "server", UNDELIVERED))
        await risk_store.add_unbilled_cost(tx, team_id, record.cost, at=now)
