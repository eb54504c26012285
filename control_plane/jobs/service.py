"""What is done with jobs: create, complete, look. Each use case opens and closes its own transaction."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from control_plane import failpoints
from control_plane.chat import Demand
from control_plane.clock import Clock
from control_plane.credits import risk_store
from control_plane.credits import rules as billing
from control_plane.credits import store as credits_store
from control_plane.credits.reservations import Caps
from control_plane.credits.rules import EntryKind, Movement
from control_plane.errors import (
    AlreadyExists,
    CallsInFlight,
    Conflict,
    DatabaseUnavailable,
    InsufficientCredits,
    JobCapReached,
    JobClosed,
    JobNotFound,
    JobNotOwned,
)
from control_plane.ids import JobId, Subject, TeamId, new_id
from control_plane.jobs import calls_store, days_store, store
from control_plane.jobs.models import Call, Job
from control_plane.jobs.plans import plan_of, read_plan, standing_of, usage_of, write_plan
from control_plane.jobs.rules import OPEN_JOB, JobStatus, merged_metadata
from control_plane.metrics import Metrics
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.principal import Principal

COMPLETION_WAIT_S = 5.0
COMPLETION_POLL_S = 0.05
DUE_PAGE = 100
DUE_AT_ONCE = 20

log = logging.getLogger(__name__)

REPEATED_WITHIN = timedelta(minutes=20)
"""How long after a request its repetition may come: SDKs wait up to ten minutes for an answer before they repeat."""

UNHEARD = "its client asked again: the answer was not heard"


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a client says about the job it opens. `id`: what it will be called, or is already if it was made before.

    `is_retaken`: a request that failed or whose process died may have made it; `is_unheard`: its process died.
    `fingerprint`: of the request, when its client may repeat it by itself; `is_repeated`: it does, since it did not hear the
    answer of the job before.
    """

    job_type: str
    user_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    model_group: str | None = None
    ttl: timedelta = timedelta(hours=24)
    caps: Caps = field(default_factory=Caps)
    id: JobId | None = None
    is_retaken: bool = False
    is_unheard: bool = False
    fingerprint: str | None = None
    is_repeated: bool = False

    @property
    def subject(self) -> Subject | None:
        """What the request makes, where its id is known."""
        return None if self.id is None else Subject(self.id, self.is_retaken, self.is_unheard)


@dataclass(frozen=True, slots=True)
class Closing:
    """How a client closes a job. `metadata` is merged into the job's."""

    status: JobStatus
    metadata: Mapping[str, Any] | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class JobWithCalls:
    """A job and its calls, in the order they were made."""

    job: Job
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs of a team, the model groups each has used, and whether more follow."""

    jobs: Sequence[Job]
    groups: Mapping[JobId, AbstractSet[str]]
    has_more: bool


class JobService:
    """The jobs of all teams."""

    def __init__(
        self, db: Database, groups: ModelGroupService, *, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        self._metrics = metrics or Metrics()
        self._db = db
        self._groups = groups
        self._clock = clock

    async def create(self, who: Principal, new: NewJob) -> Job:
        """Opens a job and holds what it needs, in one transaction. The second time with the same id, it is the first.

        Raises: InsufficientCredits, JobCapReached, TeamSuspended; ModelGroupNotAllowed and ModelGroupNotFound for its default group.
        """
        team_id = who.active_team()
        if new.model_group is not None:
            await self._groups.choose(who, new.model_group, ())
        try:
            return await self._create(who, team_id, new)
        except AlreadyExists:
            if new.id is None:
                raise
            return await self.get(who, new.id)

    async def _create(self, who: Principal, team_id: TeamId, new: NewJob) -> Job:
        now = self._clock()

        async def create(tx: Tx) -> Job:
            plan = plan_of(await tenants_store.get_team(tx, team_id), new.job_type)
            job = _new_job(new, team_id, plan, now=now, held=billing.needed_hold(plan, billing.JobUsage()))
            if new.caps.max_credits is not None and job.credits_held > new.caps.max_credits:
                raise JobCapReached(affordable_max_tokens=0, credits_needed=job.credits_held)
            if job.credits_held:
                hold = billing.hold(job.credits_held)
                await credits_store.post(tx, team_id, hold, ref=str(job.id), now=now, actor=who.actor)
            await store.add(tx, job)
            await days_store.count_created(tx, job)
            return job

        job = await self._db.at_once(create)
        failpoints.reach("job_created")
        return job

    async def complete(self, who: Principal, job_id: JobId, closing: Closing) -> JobWithCalls:
        """Closes the job and bills it, once: a repetition returns the stored bill and charges nothing.

        Waits up to 5 s for running calls.
        Raises: JobNotFound, JobNotOwned, JobClosed (closed differently before), CallsInFlight.
        """
        deadline = asyncio.get_running_loop().time() + COMPLETION_WAIT_S
        while True:
            job = await self._db.at_once(lambda tx: self._close(tx, who.team(), job_id, closing, actor=who.actor))
            failpoints.reach("bill_committed")
            if job is not None:
                self._metrics.job_closed(status=job.status, charged=job.credits_charged or 0)
            else:
                job = await self.get(who, job_id)
            if JobStatus(job.status) is closing.status:
                return JobWithCalls(job, await self._calls(job))
            if JobStatus(job.status) not in OPEN_JOB:
                raise JobClosed(status=job.status)
            if asyncio.get_running_loop().time() >= deadline:
                raise CallsInFlight(calls=job.calls_open)
            await asyncio.sleep(COMPLETION_POLL_S)

    async def find(self, job_id: JobId) -> Job | None:
        """One job, whoever's it is, or None."""
        async with self._db.reader() as reader:
            return await store.find(reader, job_id)

    async def give_up_unheard(self, who: Principal, fingerprint: str) -> None:
        """Makes the latest job of a request free, whose client repeats it because it did not hear the answer.

        What was charged is refunded; a job whose call still runs will be charged nothing. Its cost counts as at risk.
        """
        team_id, now = who.team(), self._clock()
        try:
            async with self._db.transaction() as tx:
                job = await store.claim_unheard(tx, team_id, fingerprint, since=now - REPEATED_WITHIN)
                if job is None or not job.credits_charged:
                    return
                refund = Movement(EntryKind.REFUND, available=job.credits_charged)
                await credits_store.post(tx, team_id, refund, ref=str(job.id), now=now, actor="server", reason=UNHEARD)
                await risk_store.add_unbilled_cost(tx, team_id, job.cost_nano_usd + job.unbilled_nano_usd, at=now)
        except Conflict:
            return  # an administrator has refunded it

    async def take_back_charge(self, job: Job, *, reason: str) -> None:
        """Refunds all that a job was charged, once."""
        if not job.credits_charged:
            return
        movement = Movement(EntryKind.REFUND, available=job.credits_charged)
        try:
            async with self._db.transaction() as tx:
                team_id = TeamId(job.team_id)
                await credits_store.post(
                    tx, team_id, movement, ref=str(job.id), now=self._clock(), actor="server", reason=reason
                )
        except AlreadyExists:
            return

    async def expire_due(self) -> int:
        """Closes jobs that nobody closed in time and releases their holds; returns how many. Costs them nothing.

        At most DUE_AT_ONCE pages of DUE_PAGE: the next sweep goes on. A job that cannot be closed keeps no other from it.
        Any number of servers may do it at once: each job goes to the one that claims it.
        """
        now = self._clock()
        expired = 0
        after: store.Due | None = None
        for _ in range(DUE_AT_ONCE):
            async with self._db.reader() as reader:
                page = await store.list_due(reader, now, limit=DUE_PAGE, after=after)
            for due in page:
                try:
                    expired += await self._expire(due)
                except DatabaseUnavailable:
                    raise
                except Exception:  # one job's trouble is not the others'
                    log.exception("job_not_expired", extra={"job_id": str(due.job_id)})
            if len(page) < DUE_PAGE:
                break
            after = page[-1]
        return expired

    async def _expire(self, due: store.Due) -> bool:
        closing = Closing(JobStatus.EXPIRED, error_message="The job was not completed in time.")
        job = await self._db.at_once(
            partial(self._close, team_id=due.team_id, job_id=due.job_id, closing=closing, actor="expiry")
        )
        if job is not None:
            self._metrics.job_closed(status=job.status, charged=0)
        return job is not None

    async def get(self, who: Principal, job_id: JobId) -> Job:
        """One job. Raises: JobNotFound, JobNotOwned."""
        async with self._db.reader() as reader:
            job = await store.find(reader, job_id)
        if job is None:
            raise JobNotFound
        if not who.is_admin and job.team_id != who.team_id:
            raise JobNotOwned
        return job

    async def require_open(self, who: Principal, job_id: JobId, demand: Demand, markup_bps: int | None) -> None:
        """Before work is done for a call: the job is open, and its prompt and one token can be paid. Nothing is held.

        Raises: JobNotFound, JobNotOwned, JobClosed, InsufficientCredits.
        """
        job = await self.get(who, job_id)
        if JobStatus(job.status) not in OPEN_JOB:
            raise JobClosed(status=job.status)
        standing = standing_of(job)
        if not standing.is_reserving:
            return
        markup = standing.plan.markup_bps if markup_bps is None else markup_bps
        missing = standing.plus(replace(demand, max_tokens=1, answers=1, extra_tokens=0), markup).missing
        if missing <= 0:
            return
        async with self._db.reader() as reader:
            balance = await credits_store.find_balance(reader, TeamId(job.team_id))
        available = 0 if balance is None else balance.available
        if missing > available:
            raise InsufficientCredits(needed=missing, available=available)

    async def get_with_groups(self, who: Principal, job_id: JobId) -> tuple[Job, AbstractSet[str]]:
        """One job and the model groups it has used. Raises: JobNotFound, JobNotOwned."""
        job = await self.get(who, job_id)
        async with self._db.reader() as reader:
            groups = await calls_store.groups_used(reader, TeamId(job.team_id), [job_id])
        return job, groups.get(job_id, frozenset())

    async def get_with_calls(self, who: Principal, job_id: JobId) -> JobWithCalls:
        """One job and its calls. Raises: JobNotFound, JobNotOwned."""
        job = await self.get(who, job_id)
        return JobWithCalls(job, await self._calls(job))

    async def merge_metadata(self, who: Principal, job_id: JobId, added: Mapping[str, Any]) -> Job:
        """Adds and replaces top-level keys of the job's metadata, also after it was closed."""
        job = await self.get(who, job_id)
        async with self._db.transaction() as tx:
            locked = await store.lock(tx, TeamId(job.team_id), job_id)
            if locked is None:
                raise JobNotFound
            locked.metadata_ = merged_metadata(locked.metadata_, added)
            await store.save_metadata(tx, job_id, locked.metadata_)
        return locked

    async def list_jobs(
        self,
        who: Principal,
        team_id: TeamId,
        wanted: store.JobFilter,
        *,
        limit: int,
        offset: int = 0,
        after: tuple[datetime, JobId] | None = None,
    ) -> JobPage:
        """A page of the team's jobs, newest first. Raises: TeamNotOwned, TeamNotFound."""
        who.may_read(team_id)
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            jobs = await store.list_jobs(reader, team_id, wanted, limit=limit + 1, offset=offset, after=after)
            shown = jobs[:limit]
            groups = await calls_store.groups_used(reader, team_id, [JobId(job.id) for job in shown])
        return JobPage(shown, groups, has_more=len(jobs) > limit)

    async def usage(
        self, who: Principal, team_ids: Sequence[TeamId], start: datetime, end: datetime
    ) -> Sequence[days_store.UsageOfType]:
        """What the jobs created in [start, end), whole days in UTC, used, by type. Raises: TeamNotOwned, TeamNotFound."""
        for team_id in team_ids:
            who.may_read(team_id)
        async with self._db.reader() as reader:
            for team_id in team_ids:
                await tenants_store.get_team(reader, team_id)
            return await days_store.sum_usage(reader, team_ids, start.date(), end.date())

    async def usage_by(
        self, who: Principal, team_id: TeamId, start: datetime, end: datetime, *, by: Literal["day", "model_group"]
    ) -> Sequence[days_store.UsageOfPart]:
        """What the jobs created in [start, end) used, by day or model group. Raises: TeamNotOwned, TeamNotFound."""
        who.may_read(team_id)
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            return await days_store.sum_parts(reader, [team_id], start.date(), end.date(), by=by)

    async def _calls(self, job: Job) -> Sequence[Call]:
        async with self._db.reader() as reader:
            return await calls_store.list_calls(reader, TeamId(job.team_id), JobId(job.id))

    async def _close(self, tx: Tx, team_id: TeamId, job_id: JobId, closing: Closing, *, actor: str) -> Job | None:
        """The job, closed and billed now; None when it is not ours to close: closed before, calls running, no such job."""
        job = await store.claim(tx, team_id, job_id, closing.status, self._clock())
        if job is not None:
            await self._settle(tx, job, closing, actor=actor)
        return job

    async def _settle(self, tx: Tx, job: Job, closing: Closing, *, actor: str) -> None:
        """Bills a job just claimed: the ledger movements, and the bill kept on the job."""
        now = self._clock()
        team_id = TeamId(job.team_id)
        is_paid = closing.status is JobStatus.COMPLETED and not job.is_unheard
        charged = billing.bill(read_plan(job.plan), is_completed=is_paid, usage=usage_of(job))
        movements = billing.settle(charged, job.credits_held)
        balance = (
            await credits_store.post_all(tx, team_id, movements, ref=str(job.id), now=now, actor=actor)
            if movements
            else await credits_store.find_balance(tx, team_id)  # a job of a free type holds nothing
        )
        assert balance is not None, "a team with jobs has a balance"
        total_cost = job.cost_nano_usd + job.unbilled_nano_usd
        await risk_store.close_costs(tx, team_id, total_cost, unbilled_at=None if charged else now)
        await days_store.count_closed(tx, job, closing.status, charged)
        job.credits_charged = charged
        job.credits_remaining = balance.remaining
        job.credits_held = 0
        job.metadata_ = merged_metadata(job.metadata_, closing.metadata or {})
        job.error_message = (
            closing.error_message or _said_error(closing.metadata) or (UNHEARD if job.is_unheard else None)
        )
        await store.save_bill(tx, job)


def _new_job(new: NewJob, team_id: TeamId, plan: billing.Plan, *, now: datetime, held: int) -> Job:
    return Job(
        id=new.id or new_id(),
        team_id=team_id,
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
        day=now.astimezone(UTC).date(),
        created_at=now,
        expires_at=now + new.ttl,
    )


def _said_error(metadata: Mapping[str, Any] | None) -> str | None:
    """Clients of the older document say why a job failed in its metadata; both ways mean the same."""
    said = (metadata or {}).get("error")
    return said if isinstance(said, str) else None
