"""Use cases of jobs: create, complete, read. Each opens and closes its own transaction."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from control_plane import failpoints, waiting
from control_plane.chat import UsageEstimate
from control_plane.clock import Clock
from control_plane.credits import store as credits_store
from control_plane.errors import (
    AlreadyExists,
    CallsInFlight,
    Conflict,
    ControlPlaneError,
    DatabaseUnavailable,
    InsufficientCredits,
    JobClosed,
    JobNotFound,
    JobNotOwned,
    OutcomeUnknown,
)
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs import calls_store, store, usage_rollups_store
from control_plane.jobs.closing import JobClosing, take_back
from control_plane.jobs.creating import Creation
from control_plane.jobs.idle import IdleJobs
from control_plane.jobs.models import Call, Job
from control_plane.jobs.plans import reservation_of
from control_plane.jobs.rules import OPEN_JOB, JobStatus, merged_metadata
from control_plane.jobs.values import ClosedJob, Closing, JobPage, JobWithCalls, NewJob
from control_plane.jobs.writing import JobWriter, OneByOne
from control_plane.metrics import Metrics
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database, retry_if_unknown
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Permission

DUE_PAGE = 100
DUE_AT_ONCE = 20

log = logging.getLogger(__name__)

UNANSWERED = "its creation was answered with 503, since the database went away"


class JobService:
    """The jobs of all teams."""

    def __init__(
        self,
        db: Database,
        groups: ModelGroupService,
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        writer: JobWriter | None = None,
        completion_wait_s: float = 5.0,
    ) -> None:
        """`writer`: creates and closes what clients wait for; without one each job has its own transaction."""
        self._alone = OneByOne(db, clock=clock)
        self._writer = writer or self._alone
        self._completion_wait_s = completion_wait_s
        self._idle = IdleJobs(self._is_idle)
        self._metrics = metrics or Metrics()
        self._db = db
        self._groups = groups
        self._clock = clock
        self._withdrawn: list[tuple[Principal, JobId]] = []

    async def create(self, principal: Principal, new: NewJob) -> Job:
        """Opens a job and holds what it needs, in one transaction. The second time with the same id, it is the first.

        A job that its client repeats makes the one before it free in that transaction: both happen, once, or neither.

        Raises: InsufficientCredits, JobCapReached, TeamSuspended; ModelGroupNotAllowed and ModelGroupNotFound for its default group.
        """
        creation = await self.creation(principal, new)
        try:
            return await self._create(creation)
        except OutcomeUnknown:
            return await self._create_again(principal, creation)
        except AlreadyExists:
            if new.id is None:
                raise
            return await self.get(principal, new.id)

    async def creation(self, principal: Principal, new: NewJob) -> Creation:
        """The job, still to be made. Raises: as `create`, of the key, the team and the model group."""
        team_id = principal.active_team()
        if new.model_group is not None:
            await self._groups.choose(principal, new.model_group, ())
        return Creation(team_id, new.id or JobId(new_id()), new, principal.actor)

    async def _create_again(self, principal: Principal, creation: Creation) -> Job:
        """Retries after a lost response to the commit: the job exists, or is created now, or (the database stays away)
        is closed when it is back. Raises: OutcomeUnknown; as `create`.
        """
        try:
            return await self._create(creation)
        except DatabaseUnavailable as error:
            if not creation.new.is_claimed:  # else a retry with the key finds it
                self.give_up(principal, creation.job_id)
            raise OutcomeUnknown(retry_after_s=error.retry_after_s) from error
        except ControlPlaneError:  # it exists, or its own hold left too little for it
            job = await self.find(creation.job_id)
            if job is None:
                raise
            return job

    def give_up(self, principal: Principal, job_id: JobId) -> None:
        """Gives up a job that may have been created without its client's knowledge: `withdraw` closes it."""
        self._withdrawn.append((principal, job_id))

    async def _create(self, creation: Creation) -> Job:
        writer = self._alone if creation.repeats else self._writer
        job = await writer.create(creation)
        waiting.work_has_begun()
        failpoints.reach("job_created")
        return job

    async def complete(self, principal: Principal, job_id: JobId, closing: Closing) -> JobWithCalls:
        """Closes the job and bills it, once: a repetition returns the stored bill and charges nothing.

        Waits `completion_wait_s` for running calls.
        Raises: JobNotFound, JobNotOwned, JobClosed (closed differently before), CallsInFlight.
        """
        deadline = asyncio.get_running_loop().time() + self._completion_wait_s
        while True:
            wanted = JobClosing(principal.team(), job_id, closing, principal.actor)
            closed = await retry_if_unknown(partial(self._writer.close, wanted))
            if closed is not None:
                return await self.bill_of(closed)
            job = await self.get(principal, job_id)
            if JobStatus(job.status) is closing.status:
                return JobWithCalls(job, await self._calls(job))
            if JobStatus(job.status) not in OPEN_JOB:
                raise JobClosed(status=job.status)
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise CallsInFlight(calls=job.calls_open)
            with waiting.off_the_clock():
                await self._idle.wait(job_id, left_s)

    async def bill_of(self, closed: ClosedJob) -> JobWithCalls:
        """The bill of a job that was closed just now. Raises: DatabaseUnavailable; it is closed all the same."""
        failpoints.reach("bill_committed")
        job, calls = closed.job, closed.calls
        self._metrics.job_closed(status=job.status, charged=job.credits_charged or 0)
        waiting.work_has_begun()  # its closer must get the bill
        return JobWithCalls(job, await self._calls(job) if calls is None else calls)

    async def withdraw(self) -> None:
        """Closes jobs whose creation was answered with 503 and happened all the same: their clients have no ids, and
        their holds would last until they expire.
        """
        for principal, job_id in list(self._withdrawn):
            try:
                async with self._db.transaction() as tx:
                    await credits_store.lock_balance(tx, principal.team())  # its creation may not be over
                await self.complete(principal, job_id, Closing(JobStatus.CANCELLED, error_message=UNANSWERED))
            except DatabaseUnavailable:
                return
            except CallsInFlight:  # its intent is still to be withdrawn
                continue
            except ControlPlaneError as error:  # as a rule: it was not made
                log.info("job_not_withdrawn", extra={"job_id": str(job_id), "reason": error.code})
            self._withdrawn.remove((principal, job_id))

    async def find_model_group(self, call_id: CallId) -> str | None:
        """The model group of a call of any team, or None."""
        async with self._db.reader() as reader:
            call = await calls_store.find(reader, call_id)
        return None if call is None else call.model_group

    async def find(self, job_id: JobId) -> Job | None:
        """One job of any team, or None."""
        return await self._db.look(partial(store.find, job_id=job_id))

    async def take_back_charge(self, job: Job, *, reason: str) -> None:
        """Refunds all that a job was charged, once. What it has cost is at risk then."""
        if not job.credits_charged:
            return
        try:
            async with self._db.transaction() as tx:
                await take_back(tx, job, reason, now=self._clock())
        except Conflict:
            return  # refunded before

    async def expire_due(self) -> int:
        """Closes expired jobs and releases their holds; returns how many. Costs them nothing.

        At most DUE_AT_ONCE pages of DUE_PAGE: the next sweep continues. A job that cannot be closed does not block
        others. Any number of servers may do it at once: each job goes to the one that claims it.
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
        closed = await self._alone.close(JobClosing(due.team_id, due.job_id, closing, "expiry"))
        if closed is not None:
            self._metrics.job_closed(status=closed.job.status, charged=0)
        return closed is not None

    async def get(self, principal: Principal, job_id: JobId) -> Job:
        """One job. Raises: JobNotFound, JobNotOwned."""
        job = await self.find(job_id)
        if job is None:
            raise JobNotFound
        if principal.team_id is not None:
            if job.team_id != principal.team_id:
                raise JobNotOwned
        elif principal.member is not None:
            async with self._db.reader() as reader:
                await require_in_team(reader, principal, Permission.JOBS_READ, TeamId(job.team_id))
        return job

    async def require_open(
        self, principal: Principal, job_id: JobId, demand: UsageEstimate, markup_bps: int | None
    ) -> None:
        """Before work is done for a call: the job is open, and its prompt and one token can be paid. Nothing is held.

        Raises: JobNotFound, JobNotOwned, JobClosed, InsufficientCredits.
        """
        job = await self.get(principal, job_id)
        if JobStatus(job.status) not in OPEN_JOB:
            raise JobClosed(status=job.status)
        reservation = reservation_of(job)
        if not reservation.is_reserving:
            return
        markup = reservation.plan.markup_bps if markup_bps is None else markup_bps
        missing = reservation.plus(replace(demand, max_tokens=1, answers=1, extra_tokens=0), markup).missing
        if missing <= 0:
            return
        async with self._db.reader() as reader:
            balance = await credits_store.find_balance(reader, TeamId(job.team_id))
        available = 0 if balance is None else balance.available
        if missing > available:
            raise InsufficientCredits(needed=missing, available=available)

    async def get_with_groups(self, principal: Principal, job_id: JobId) -> tuple[Job, AbstractSet[str]]:
        """One job and the model groups it has used. Raises: JobNotFound, JobNotOwned."""
        job = await self.get(principal, job_id)
        async with self._db.reader() as reader:
            groups = await calls_store.groups_used(reader, TeamId(job.team_id), [job_id])
        return job, groups.get(job_id, frozenset())

    async def get_with_calls(self, principal: Principal, job_id: JobId) -> JobWithCalls:
        """One job and its calls. Raises: JobNotFound, JobNotOwned."""
        job = await self.get(principal, job_id)
        return JobWithCalls(job, await self._calls(job))

    async def merge_metadata(self, principal: Principal, job_id: JobId, added: Mapping[str, Any]) -> Job:
        """Adds and replaces top-level keys of the job's metadata, also after it was closed."""
        job = await self.get(principal, job_id)
        async with self._db.transaction() as tx:
            await require_in_team(tx, principal, Permission.JOBS_WRITE, TeamId(job.team_id))
            locked = await store.lock(tx, TeamId(job.team_id), job_id)
            if locked is None:
                raise JobNotFound
            locked.metadata_ = merged_metadata(locked.metadata_, added)
            await store.save_metadata(tx, job_id, locked.metadata_)
        return locked

    async def list_jobs(
        self,
        principal: Principal,
        team_id: TeamId,
        wanted: store.JobFilter,
        *,
        limit: int,
        offset: int = 0,
        after: tuple[datetime, JobId] | None = None,
    ) -> JobPage:
        """A page of the team's jobs, newest first. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.JOBS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            jobs = await store.list_jobs(reader, team_id, wanted, limit=limit + 1, offset=offset, after=after)
            shown = jobs[:limit]
            groups = await calls_store.groups_used(reader, team_id, [JobId(job.id) for job in shown])
        return JobPage(shown, groups, has_more=len(jobs) > limit)

    async def usage(
        self, principal: Principal, team_ids: Sequence[TeamId], start: datetime, end: datetime
    ) -> Sequence[usage_rollups_store.UsageOfType]:
        """Usage of the jobs created in [start, end), whole days in UTC, by type. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            for team_id in team_ids:
                await require_in_team(reader, principal, Permission.USAGE_READ, team_id)
                await tenants_store.get_team(reader, team_id)
            return await usage_rollups_store.sum_usage(reader, team_ids, start.date(), end.date())

    async def usage_by(
        self,
        principal: Principal,
        team_id: TeamId,
        start: datetime,
        end: datetime,
        *,
        by: Literal["day", "model_group"],
    ) -> Sequence[usage_rollups_store.UsageOfPart]:
        """Usage of the jobs created in [start, end), by day or model group. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.USAGE_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            return await usage_rollups_store.sum_parts(reader, [team_id], start.date(), end.date(), by=by)

    async def _is_idle(self, job_id: JobId) -> bool:
        """Whether a completion need not wait: nothing runs in the job, or it was closed or never there."""
        job = await self.find(job_id)
        return job is None or not job.calls_open or JobStatus(job.status) not in OPEN_JOB

    async def _calls(self, job: Job) -> Sequence[Call]:
        return await self._db.look(partial(calls_store.list_calls, team_id=TeamId(job.team_id), job_id=JobId(job.id)))
