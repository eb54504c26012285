"""What is done with a team's credits: look, add, refund, adjust. Jobs hold and settle them on their own."""

from collections.abc import Sequence

from control_plane.clock import Clock
from control_plane.credits import store
from control_plane.credits.models import LedgerEntry
from control_plane.credits.rules import EntryKind, Movement
from control_plane.credits.store import Balance
from control_plane.errors import TeamNotFound
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Database
from control_plane.tenants import store as tenants_store
from control_plane.tenants.principal import Principal


class CreditService:
    """The credits of all teams. Every movement says who made it and why; each happens once, in one transaction."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def balance(self, who: Principal, team_id: TeamId) -> Balance:
        """Where the team stands. Raises: TeamNotOwned, TeamNotFound."""
        who.may_read(team_id)
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            balance = await store.find_balance(reader, team_id)
        if balance is None:
            raise TeamNotFound
        return balance

    async def transactions(
        self, who: Principal, team_id: TeamId, *, limit: int, before: int | None
    ) -> Sequence[LedgerEntry]:
        """The team's ledger, newest first, from the entry numbered before `before` on.

        Raises: TeamNotOwned, TeamNotFound.
        """
        who.may_read(team_id)
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            return await store.list_entries(reader, team_id, limit=limit, before=before)

    async def add(self, who: Principal, team_id: TeamId, credits_: int, *, reason: str) -> Balance:
        """Gives the team credits (more than 0). Raises: AdminOnly, TeamNotFound, Conflict above MAX_CREDITS."""
        return await self._post(who, team_id, Movement(EntryKind.GRANT, available=credits_), reason)

    async def refund(self, who: Principal, team_id: TeamId, credits_: int, *, reason: str) -> Balance:
        """Gives back credits that were used. Raises: AdminOnly, TeamNotFound, Conflict when fewer were used.

        A refund of one job is the administration's: it looks at the job's bill.
        """
        return await self._post(who, team_id, Movement(EntryKind.REFUND, available=credits_), reason)

    async def adjust(self, who: Principal, team_id: TeamId, credits_: int, *, reason: str) -> Balance:
        """Corrects the allocation upwards or downwards; what is held or used cannot be taken.

        Raises: AdminOnly, TeamNotFound, InsufficientCredits when less is available, Conflict above MAX_CREDITS.
        """
        return await self._post(who, team_id, Movement(EntryKind.ADJUSTMENT, available=credits_), reason)

    async def _post(self, who: Principal, team_id: TeamId, movement: Movement, reason: str) -> Balance:
        who.may_administer()
        async with self._db.transaction() as tx:
            await tenants_store.get_team(tx, team_id)
            balance = await store.post(
                tx, team_id, movement, ref=str(new_id()), now=self._clock(), actor=who.actor, reason=reason
            )
            await tenants_store.get_team(
                tx, team_id
            )  # the balance of a team deleted a moment ago is still there, and is now ours
        return balance
