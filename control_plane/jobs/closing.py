"""Closes and bills jobs: many, of many teams, in one transaction."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control_plane.credits import posting, risk_store
from control_plane.credits import rules as billing
from control_plane.credits import store as credits_store
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.values import EntryContext, Post
from control_plane.errors import ControlPlaneError
from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs import calls_store, store, usage_rollups_store
from control_plane.jobs.models import Job
from control_plane.jobs.plans import read_plan, usage_of
from control_plane.jobs.rules import JobStatus, merged_metadata
from control_plane.jobs.values import ClosedJob, Closing
from control_plane.storage.database import Tx

FEW_CALLS, MOST_CALLS = 20, 500
"""Of a job, and of all jobs of a transaction, to be read in the transaction that bills them."""

SUPERSEDED = "superseded by its client's retry: the response was not delivered"


@dataclass(frozen=True, slots=True)
class JobClosing:
    """A job of a team to close, the result, and the author. `after`: only if this call ends as its record states."""

    team_id: TeamId
    job_id: JobId
    closing: Closing
    actor: str
    after: CallId | None = None


async def close_jobs(tx: Tx, closings: Sequence[JobClosing], *, now: datetime) -> Sequence[ClosedJob | None]:
    """Closes and bills the jobs, in the given order; None where a job cannot be closed: closed before, calls running,
    no such job of the team. The jobs' rows and the balances are locked if they are several.
    """
    claimed = await _claim(tx, closings)
    closed: dict[JobId, JobClosing] = {}
    for each in closings:  # of several for one job the first closes it
        job = claimed.get(each.job_id)
        if job is not None and job.team_id == each.team_id:
            closed.setdefault(each.job_id, each)
    if not closed:
        return [None] * len(closings)
    await _settle(tx, [(claimed[job_id], each) for job_id, each in closed.items()], now)
    calls = await calls_store.list_calls_of(tx, _short(claimed[job_id] for job_id in closed))
    return [
        ClosedJob(claimed[each.job_id], calls.get(each.job_id)) if each is closed.get(each.job_id) else None
        for each in closings
    ]


def _short(jobs: Iterable[Job]) -> Sequence[JobId]:
    """The jobs whose calls are few, as long as they are few together."""
    short, total = [], 0
    for job in jobs:
        if job.calls_total <= FEW_CALLS and total + job.calls_total <= MOST_CALLS:
            short.append(JobId(job.id))
            total += job.calls_total
    return short


async def take_back(tx: Tx, job: Job, reason: str, *, now: datetime) -> None:
    """Refunds all that a job was charged; what it has cost is at risk then.

    Raises: Conflict when the team has used less; AlreadyExists for a job that was refunded.
    """
    refund = Movement(EntryKind.REFUND, available=job.credits_charged or 0)
    team_id = TeamId(job.team_id)
    await posting.post(tx, team_id, [refund], EntryContext(str(job.id), now, "server", reason))
    await risk_store.add_unbilled_cost(tx, team_id, job.cost_nano_usd, at=now)


async def _claim(tx: Tx, closings: Sequence[JobClosing]) -> Mapping[JobId, Job]:
    wanted = {(each.job_id, each.team_id): None for each in closings}  # in their order
    return {JobId(job.id): job for job in await store.lock_to_close(tx, list(wanted))}


async def _settle(tx: Tx, closed: Sequence[tuple[Job, JobClosing]], now: datetime) -> None:
    """Bills jobs just claimed: the ledger's movements, what is at risk, the days' sums, and the bills kept on the jobs."""
    posts: defaultdict[TeamId, list[Post]] = defaultdict(list)
    costs: Counter[TeamId] = Counter()
    unbilled: Counter[TeamId] = Counter()
    for job, each in closed:
        if movements := _bill(job, each, now):
            posts[each.team_id].append(Post(movements, EntryContext(str(job.id), now, each.actor, None)))
        costs[each.team_id] -= job.cost_nano_usd + job.unbilled_nano_usd
        unbilled[each.team_id] += job.unbilled_nano_usd + (0 if job.credits_charged else job.cost_nano_usd)
    await _pay(tx, closed, posts)
    await risk_store.close_costs(tx, costs, unbilled, at=now)
    await usage_rollups_store.count_closed(tx, [job for job, _ in closed])
    await store.save_bills(tx, [job for job, _ in closed])


def _bill(job: Job, each: JobClosing, now: datetime) -> Sequence[Movement]:
    """Fills in a job's bill but for what its team is left with; returns the movements of credits that pay it."""
    is_paid = each.closing.status is JobStatus.COMPLETED and not job.is_superseded
    charged = billing.bill(read_plan(job.plan), is_completed=is_paid, usage=usage_of(job))
    movements = billing.settle(charged, job.credits_held)
    job.status = each.closing.status.value
    job.completed_at = now
    job.credits_charged = charged
    job.credits_held = 0
    job.metadata_ = merged_metadata(job.metadata_, each.closing.metadata or {})
    job.error_message = _error_message(job, each.closing)
    return movements


async def _pay(tx: Tx, closed: Sequence[tuple[Job, JobClosing]], posts: Mapping[TeamId, Sequence[Post]]) -> None:
    """Moves the teams' credits, and notes on each job what its team was left with."""
    paid = {
        post.context.ref: balance
        for team_id, balances in (await posting.post_each(tx, posts)).items()
        for post, balance in zip(posts[team_id], balances, strict=True)
    }
    free = {each.team_id for job, each in closed if str(job.id) not in paid}  # a job of a free type holds nothing
    balances = await credits_store.find_balances(tx, free) if free else {}
    for job, each in closed:
        balance = paid.get(str(job.id)) or balances[each.team_id]
        if isinstance(balance, ControlPlaneError):
            raise balance
        job.credits_remaining = balance.remaining


def _error_message(job: Job, closing: Closing) -> str | None:
    """Clients of the older document give the reason of a failed job in its metadata; both ways mean the same."""
    return closing.error_message or _said_error(closing.metadata) or (SUPERSEDED if job.is_superseded else None)


def _said_error(metadata: Mapping[str, Any] | None) -> str | None:
    said = (metadata or {}).get("error")
    return said if isinstance(said, str) else None
