"""Refunds of jobs, which read the job's bill and move its team's credits in one transaction."""

from uuid import UUID

from control_plane.audit import service as audit
from control_plane.audit.values import Change
from control_plane.clock import Clock
from control_plane.credits import posting
from control_plane.credits import store as credits_store
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.values import Balance, EntryContext
from control_plane.errors import (
    AlreadyExists,
    Conflict,
    JobNotFound,
)
from control_plane.ids import JobId, TeamId, new_id
from control_plane.jobs import store as jobs_store
from control_plane.storage.database import Database, retry_if_unknown
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Permission


class JobRefunds:
    """Refunds what jobs were charged."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def refund(
        self,
        principal: Principal,
        team_id: TeamId,
        job_id: JobId,
        credits_: int | None,
        *,
        reason: str,
        force: bool = False,
        ref: UUID | None = None,
    ) -> Balance:
        """Refunds a job's charge (None: all that is left), or part of it: once, or with `force` again, never more than
        it was charged. The same `ref` refunds once, also when the response to its commit is lost.

        Raises: JobNotFound (also another team's job), Conflict above what is left of the charge, AlreadyExists.
        """
        principal.require_anywhere(Permission.CREDITS_WRITE)
        known = ref or new_id()
        return await retry_if_unknown(
            lambda: self._refund(principal, team_id, job_id, credits_, reason=reason, force=force, ref=known)
        )

    async def _refund(
        self,
        principal: Principal,
        team_id: TeamId,
        job_id: JobId,
        credits_: int | None,
        *,
        reason: str,
        force: bool,
        ref: UUID,
    ) -> Balance:
        async with self._db.transaction() as tx:
            place = await require_in_team(tx, principal, Permission.CREDITS_WRITE, team_id)
            job = await jobs_store.find(tx, job_id)
            if job is None or job.team_id != team_id:
                raise JobNotFound
            balance = await credits_store.lock_balance(tx, team_id)
            if balance is not None and await credits_store.has_entry_with_id(tx, ref):
                return balance
            before = await credits_store.list_refunds(tx, str(job_id))
            if before and not force:
                raise AlreadyExists(
                    "This job was refunded before. With `force` the rest of its charge can be refunded."
                )
            charged, refunded = job.credits_charged or 0, sum(before)
            left = charged - refunded
            if left <= 0 or (credits_ or 0) > left:
                said = f", and {refunded} were refunded" if refunded else ""
                raise Conflict(
                    f"The job was charged {charged} credits{said}; more cannot be refunded.",
                    credits_charged=charged,
                    credits_refunded=refunded,
                )
            about = f"{job_id}:{len(before) + 1}" if before else str(job_id)
            movement = Movement(EntryKind.REFUND, available=credits_ or left)
            context = EntryContext(about, self._clock(), principal.actor, reason, entry_id=ref)
            after = await posting.post(tx, team_id, [movement], context)
            change = Change(
                "credits.refund",
                str(job_id),
                None,
                {"credits": movement.available, "available": after.available},
                place.team_id,
                place.organization_id,
                reason,
            )
            await audit.record(tx, principal.audited, change, clock=self._clock)
            return after
