"""Use cases of a team's credits: read, add, refund, adjust, expire. Jobs hold and settle them on their own."""

import logging
from collections.abc import Sequence
from uuid import UUID

from control_plane.audit import service as audit
from control_plane.audit.values import Change
from control_plane.clock import Clock
from control_plane.credits import events_store, grants_store, posting, store
from control_plane.credits.auto_refill import AutoRefill
from control_plane.credits.grants import Terms
from control_plane.credits.models import CreditEvent, CreditGrant, LedgerEntry
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.values import Balance, EntryContext
from control_plane.errors import DatabaseUnavailable, TeamNotFound, Unprocessable
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Database, retry_if_unknown
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Permission

TEAMS_AT_ONCE = 100

log = logging.getLogger(__name__)


class CreditService:
    """The credits of all teams. Every movement has an author and a reason; each happens once, in one transaction."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self.refills = AutoRefill(db, clock=clock)

    async def balance(self, principal: Principal, team_id: TeamId) -> Balance:
        """The team's balance. Raises: TeamNotOwned, TeamNotFound."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.CREDITS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            balance = await store.find_balance(reader, team_id)
        if balance is None:
            raise TeamNotFound
        return balance

    async def transactions(
        self, principal: Principal, team_id: TeamId, *, limit: int, before: int | None
    ) -> Sequence[LedgerEntry]:
        """The team's ledger, newest first, from the entry numbered before `before` on.

        Raises: TeamNotOwned, TeamNotFound.
        """
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.CREDITS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            return await store.list_entries(reader, team_id, limit=limit, before=before)

    async def grants(
        self, principal: Principal, team_id: TeamId, *, limit: int, after: UUID | None = None
    ) -> Sequence[CreditGrant]:
        """The team's grants with credits left, in the order of their use, after the grant `after`.

        Raises: TeamNotOwned, TeamNotFound; Unprocessable when the team has no grant `after`.
        """
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.CREDITS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            last = None if after is None else await grants_store.find(reader, team_id, after)
            if after is not None and last is None:
                raise Unprocessable("The cursor is not one of ours; begin again without one.")
            return await grants_store.list_left(reader, team_id, limit=limit, after=last)

    async def events(
        self, principal: Principal, team_id: TeamId, *, limit: int, before: UUID | None = None
    ) -> Sequence[CreditEvent]:
        """The team's credit events, newest first.

        Raises: TeamNotOwned, TeamNotFound.
        """
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.CREDITS_READ, team_id)
            await tenants_store.get_team(reader, team_id)
            return await events_store.list_events(reader, team_id, limit=limit, before=before)

    async def set_low_balance(self, principal: Principal, team_id: TeamId, threshold: int | None) -> Balance:
        """From now on an event is written when what the team has not used falls below the threshold; None: never.

        What is held counts as not used, so that jobs that come and go do not repeat the event.
        Raises: AdminOnly, PermissionDenied, TeamNotFound.
        """
        principal.require_anywhere(Permission.TEAMS_WRITE)
        async with self._db.transaction() as tx:
            place = await require_in_team(tx, principal, Permission.TEAMS_WRITE, team_id)
            await tenants_store.get_team(tx, team_id)
            balance = await store.set_low_balance(tx, team_id, threshold)
            await tenants_store.get_team(tx, team_id)  # that of a team deleted a moment ago is still there
            change = Change(
                "credits.low_balance_set",
                team_id,
                None,
                {"threshold": threshold},
                place.team_id,
                place.organization_id,
            )
            await audit.record(tx, principal.audited, change, clock=self._clock)
        return balance

    async def expire_grants(self) -> int:
        """Removes the rest of expired grants, as far as no job holds it; returns of how many teams.

        Any number of servers may do it at once. A team whose credits cannot be taken does not block others.
        """
        now = self._clock()
        expired = 0
        after = TeamId("")
        while True:
            async with self._db.reader() as reader:
                team_ids = await grants_store.list_teams_with_expired(reader, now, after=after, limit=TEAMS_AT_ONCE)
            if not team_ids:
                return expired
            for team_id in team_ids:
                try:
                    async with self._db.transaction() as tx:
                        balance = await store.lock_balance(tx, team_id)
                        if balance is not None:
                            await posting.expire(tx, team_id, balance, now)
                    expired += 1
                except DatabaseUnavailable:
                    raise
                except Exception:  # one team's trouble is not the others'
                    log.exception("credits_not_expired", extra={"team": team_id})
            after = team_ids[-1]

    async def add(
        self,
        principal: Principal,
        team_id: TeamId,
        credits_: int,
        *,
        reason: str,
        terms: Terms = posting.FOREVER,
        ref: UUID | None = None,
    ) -> Balance:
        """Gives the team credits (more than 0). `ref`: the same one gives them once.

        Raises: AdminOnly, PermissionDenied, TeamNotFound, Unprocessable when they would have expired, Conflict above MAX_CREDITS.
        """
        principal.require_anywhere(Permission.CREDITS_WRITE)
        if terms.expires_at is not None and terms.expires_at <= self._clock():
            raise Unprocessable("expires_at must lie in the future.")
        movement = Movement(EntryKind.GRANT, available=credits_)
        return await self._post(principal, team_id, movement, reason, ref, terms)

    async def refund(
        self, principal: Principal, team_id: TeamId, credits_: int, *, reason: str, ref: UUID | None = None
    ) -> Balance:
        """Refunds used credits; once for the same `ref`.

        `administration` refunds single jobs, since it reads the job's bill. Raises: AdminOnly, PermissionDenied, TeamNotFound, Conflict
        when fewer were used.
        """
        return await self._post(principal, team_id, Movement(EntryKind.REFUND, available=credits_), reason, ref)

    async def adjust(
        self, principal: Principal, team_id: TeamId, credits_: int, *, reason: str, ref: UUID | None = None
    ) -> Balance:
        """Corrects the allocation upwards or downwards, once for the same `ref`; what is held or used cannot be taken.

        Raises: AdminOnly, PermissionDenied, TeamNotFound, InsufficientCredits when less is available, Conflict above MAX_CREDITS.
        """
        return await self._post(principal, team_id, Movement(EntryKind.ADJUSTMENT, available=credits_), reason, ref)

    async def _post(
        self,
        principal: Principal,
        team_id: TeamId,
        movement: Movement,
        reason: str,
        ref: UUID | None,
        terms: Terms = posting.FOREVER,
    ) -> Balance:
        """Once, also when the answer to its commit is lost: the movement has its id before the first try."""
        principal.require_anywhere(Permission.CREDITS_WRITE)
        known = str(ref or new_id())

        async def write() -> Balance:
            async with self._db.transaction() as tx:
                place = await require_in_team(tx, principal, Permission.CREDITS_WRITE, team_id)
                await tenants_store.get_team(tx, team_id)
                balance = await store.lock_balance(tx, team_id)
                await tenants_store.get_team(tx, team_id)  # that of a team deleted a moment ago is still there
                if balance is not None and await store.has_entry(tx, movement.kind, known):
                    return balance
                context = EntryContext(known, self._clock(), principal.actor, reason)
                after = await posting.post(tx, team_id, [movement], context, terms)
                change = Change(
                    f"credits.{movement.kind}",
                    team_id,
                    None,
                    {"credits": movement.available, "available": after.available, "ref": known},
                    place.team_id,
                    place.organization_id,
                    reason,
                )
                await audit.record(tx, principal.audited, change, clock=self._clock)
                return after

        return await retry_if_unknown(write)
