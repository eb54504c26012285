"""Creates jobs: many, of many teams, in one transaction. Each is held for and counted, or rejected."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control_plane.credits import posting
from control_plane.credits import rules as billing
from control_plane.credits import store as credits_store
from control_plane.credits.rules import EntryKind
from control_plane.credits.values import EntryContext, Post
from control_plane.errors import Conflict, ControlPlaneError, JobCapReached, TeamNotFound
from control_plane.ids import JobId, TeamId
from control_plane.jobs import store, usage_rollups_store
from control_plane.jobs.closing import SUPERSEDED, take_back
from control_plane.jobs.models import Job
from control_plane.jobs.plans import plan_of, write_plan
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.values import NewJob
from control_plane.storage.database import Tx
from control_plane.storage.rows import new_row
from control_plane.tenants import store as tenants_store
from control_plane.tenants.models import Team

REPEATED_WITHIN = timedelta(minutes=20)
"""The longest time between a request and its retry: SDKs wait up to ten minutes for a response before they retry."""


@dataclass(frozen=True, slots=True)
class Creation:
    """A job to create, and its author."""

    team_id: TeamId
    job_id: JobId
    new: NewJob
    actor: str

    @property
    def repeats(self) -> str | None:
        """The fingerprint of the request whose job before this one becomes free with it: both happen, or neither."""
        return self.new.fingerprint if self.new.is_repeated else None


async def create_job(tx: Tx, creation: Creation, *, now: datetime) -> Job:
    """One job; the one of the same request before it becomes free. Raises: what `create_jobs` gives; AlreadyExists."""
    is_repetition = creation.new.is_repetition
    if creation.repeats is not None:
        is_repetition = await _give_up_superseded(tx, creation.team_id, creation.repeats, now) or is_repetition
    (made,) = await create_jobs(tx, [creation], now=now, is_repetition=is_repetition)
    if isinstance(made, ControlPlaneError):
        raise made
    return made


async def create_jobs(
    tx: Tx, creations: Sequence[Creation], *, now: datetime, is_repetition: bool = False
) -> Sequence[Job | ControlPlaneError]:
    """The created jobs, in the given order, or why not: TeamNotFound, JobCapReached, InsufficientCredits.

    The balances are locked if they are several. Raises: AlreadyExists for an id that is taken; then none is created.
    """
    teams = await tenants_store.find_teams(tx, {creation.team_id for creation in creations})
    results: list[Job | ControlPlaneError] = [
        _new_job(creation, teams.get(creation.team_id), now=now, is_repetition=is_repetition) for creation in creations
    ]
    holding: defaultdict[TeamId, list[int]] = defaultdict(list)
    for position, made in enumerate(results):
        if isinstance(made, Job) and made.credits_held:
            holding[creations[position].team_id].append(position)
    posts = {
        team_id: [
            _hold(made, creations[position].actor, now)
            for position in positions
            if isinstance(made := results[position], Job)
        ]
        for team_id, positions in holding.items()
    }
    for team_id, balances in (await posting.post_each(tx, posts)).items():
        for position, balance in zip(holding[team_id], balances, strict=True):
            if isinstance(balance, ControlPlaneError):
                results[position] = balance
    jobs = [made for made in results if isinstance(made, Job)]
    if jobs:
        await store.add(tx, jobs)
        await usage_rollups_store.count_created(tx, jobs)
    return results


def _hold(job: Job, actor: str, now: datetime) -> Post:
    return Post([billing.hold(job.credits_held)], EntryContext(str(job.id), now, actor, None))


async def _give_up_superseded(tx: Tx, team_id: TeamId, fingerprint: str, now: datetime) -> bool:
    """Makes the latest job of a request free, whose client retries because it got no response.

    Its charge is refunded; a job whose call still runs will be charged nothing. Its cost counts as at risk. Returns
    whether any job of the request was made free that cost something, or may still.
    """
    since = now - REPEATED_WITHIN
    job = await store.claim_superseded(tx, team_id, fingerprint, since=since)
    if job is not None and job.credits_charged:
        await credits_store.lock_balance(tx, team_id)
        if not await credits_store.has_entry(tx, EntryKind.REFUND, str(job.id)):  # else an administrator refunded it
            with suppress(Conflict):
                await take_back(tx, job, SUPERSEDED, now=now)
    return await store.has_superseded(tx, team_id, fingerprint, since=since)


def _new_job(creation: Creation, team: Team | None, *, now: datetime, is_repetition: bool) -> Job | ControlPlaneError:
    if team is None:
        return TeamNotFound()
    new = creation.new
    plan = plan_of(team, new.job_type)
    held = billing.needed_hold(plan, billing.JobUsage())
    if new.caps.max_credits is not None and held > new.caps.max_credits:
        return JobCapReached(affordable_max_tokens=0, credits_needed=held)
    return new_row(
        Job,
        id=creation.job_id,
        team_id=creation.team_id,
        job_type=new.job_type,
        user_id=new.user_id,
        status=JobStatus.PENDING.value,
        plan=write_plan(plan),
        default_model_group=new.model_group,
        metadata_=dict(new.metadata or {}),
        credits_held=held,
        max_credits=new.caps.max_credits,
        max_cost_nano_usd=new.caps.max_cost,
        is_clamped=new.caps.is_clamped,
        fingerprint=new.fingerprint,
        is_repetition=is_repetition or new.is_repetition,
        day=now.astimezone(UTC).date(),
        created_at=now,
        expires_at=now + new.ttl,
    )
