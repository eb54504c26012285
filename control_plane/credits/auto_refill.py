"""Automatic refills: configuration, and execution of due ones. Each period of a team is refilled once."""

import logging
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from control_plane.audit import service as audit
from control_plane.audit.values import Change
from control_plane.clock import Clock
from control_plane.credits import posting, refills_store, store
from control_plane.credits.grants import Terms
from control_plane.credits.models import CreditRefill
from control_plane.credits.refills import Period, Schedule, timezones
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.values import EntryContext
from control_plane.errors import Conflict, DatabaseUnavailable, TeamNotFound, Unprocessable
from control_plane.ids import TeamId
from control_plane.storage.database import Database, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Permission

TEAMS_AT_ONCE = 1000
PERIODS_AT_ONCE = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewRefill:
    """The settings of a refill. `starts_on` None: today, in `timezone`."""

    credits: int
    period: Period
    timezone: str = "UTC"
    starts_on: date | None = None
    is_rollover: bool = True


class AutoRefill:
    """Automatic refills of teams, and their periodic task."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def find(self, principal: Principal, team_id: TeamId) -> CreditRefill | None:
        """The team's refill; None: none. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.CREDITS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            return await refills_store.find(reader, team_id)

    async def configure(self, principal: Principal, team_id: TeamId, new: NewRefill | None) -> CreditRefill | None:
        """Sets how the team is refilled from the next period on, or (None) that it is not.

        What was due until now is given first. A period that has begun is not refilled, however it is called now.
        Raises: AdminOnly, TeamNotFound, Unprocessable for an unknown timezone.
        """
        principal.require_anywhere(Permission.CREDITS_WRITE)
        if new is not None and new.timezone not in timezones():
            raise Unprocessable(f"There is no timezone '{new.timezone}'; give an IANA name such as Europe/Berlin.")
        async with self._db.transaction() as tx:
            place = await require_in_team(tx, principal, Permission.CREDITS_WRITE, team_id)
            await tenants_store.get_team(tx, team_id)
            await store.lock_balance(tx, team_id)
            while await self._refill_next(tx, team_id):
                pass
            before = await refills_store.find(tx, team_id)
            await refills_store.remove(tx, team_id)
            refill = None if new is None else self._refill(team_id, new)
            if refill is not None:
                if await tenants_store.find_team(tx, team_id) is None:  # deleted while we waited for its balance
                    raise TeamNotFound
                await refills_store.add(tx, refill)
            if before is not None or refill is not None:
                change = Change(
                    "credits.auto_refill_set",
                    team_id,
                    None if before is None else before.model_dump(),
                    None if refill is None else refill.model_dump(),
                    place.team_id,
                    place.organization_id,
                )
                await audit.record(tx, principal.audited, change, clock=self._clock)
        return refill

    async def refill_due(self) -> int:
        """Adds every refill that is due, for each period that has begun since the last one; returns how many.

        Any number of servers may do it at once: the first to lock a team's balance adds them, the others find nothing
        due.
        """
        async with self._db.reader() as reader:
            due = await refills_store.list_due(reader, self._clock(), limit=TEAMS_AT_ONCE)
        given = 0
        for team_id in due:
            try:
                given += await self._catch_up(team_id)
            except DatabaseUnavailable:
                raise
            except Exception:  # one team's trouble is not the others'
                log.exception("refill_failed", extra={"team": team_id})
        return given

    async def _catch_up(self, team_id: TeamId) -> int:
        for periods in range(PERIODS_AT_ONCE):
            async with self._db.transaction() as tx:
                await store.lock_balance(tx, team_id)
                if not await self._refill_next(tx, team_id):
                    return periods
        return PERIODS_AT_ONCE

    async def _refill_next(self, tx: Tx, team_id: TeamId) -> bool:
        """Refills the next period of a team whose balance is locked, if it has begun: then True.

        The rest of the period before expires in the same moment, so that the team never has both, or neither.
        """
        refill = await refills_store.find(tx, team_id)
        now = self._clock()
        if refill is None or refill.next_at > now:
            return False
        schedule = _schedule(refill)
        following = schedule.after(refill.next_at)
        following_at = schedule.begins_at(following)
        balance = await store.find_balance(tx, team_id)
        assert balance is not None, "it is locked"
        await posting.expire(tx, team_id, balance, now)
        ref = f"{team_id}:{refill.next_on}"
        if not await store.has_entry(tx, EntryKind.REFILL, ref):
            terms = Terms(expires_at=None if refill.is_rollover else following_at)
            try:
                movement = Movement(EntryKind.REFILL, available=refill.credits)
                context = EntryContext(ref, now, "refill", f"{refill.period} refill of {refill.next_on}")
                await posting.post(tx, team_id, [movement], context, terms)
            except Conflict as refusal:
                log.warning("refill_skipped", extra={"team": team_id, "why": refusal.message})
        await refills_store.set_next(tx, team_id, following, following_at)
        return True

    def _refill(self, team_id: TeamId, new: NewRefill) -> CreditRefill:
        now = self._clock()
        starts_on = new.starts_on or now.astimezone(ZoneInfo(new.timezone)).date()
        schedule = Schedule(new.period, new.timezone, starts_on)
        next_on = schedule.after(now)
        return CreditRefill(
            team_id=team_id,
            credits=new.credits,
            period=new.period.value,
            timezone=new.timezone,
            is_rollover=new.is_rollover,
            starts_on=starts_on,
            next_on=next_on,
            next_at=schedule.begins_at(next_on),
        )


def _schedule(refill: CreditRefill) -> Schedule:
    return Schedule(Period(refill.period), refill.timezone, refill.starts_on)
