"""The model groups in force: the catalog read from the YAML, and the grants beside it."""

from collections.abc import Sequence
from functools import partial

from control_plane.ids import TeamId
from control_plane.lookups import Lookups
from control_plane.model_groups import access, store
from control_plane.model_groups.catalog import Catalog, Target
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal

GRANTS_TTL_S = 4  # a grant taken back must hold on every replica within 5 s
GRANTS_KEPT = 100_000


class ModelGroupService:
    """Holds the catalog; decides with `access` what a team's call runs on."""

    def __init__(self, db: Database, catalog: Catalog) -> None:
        self._db = db
        self.catalog = catalog
        self._grants = Lookups(self._find_grants, ttl_s=GRANTS_TTL_S, kept=GRANTS_KEPT)

    async def choose(self, principal: Principal, asked: str | None, defaults: Sequence[str | None]) -> Target:
        """What a call of this key runs on: see `access.choose`. Raises: Forbidden for the master key, TeamSuspended."""
        team_id = principal.active_team()
        grants = await self.grants(team_id)
        return access.choose(
            self.catalog, team=team_id, grants=grants, asked=asked, defaults=defaults, only=principal.key_groups
        )

    async def usable(self, principal: Principal) -> list[str]:
        """The groups the key may use, in the file's order. Raises: Forbidden for the master key."""
        return access.usable_groups(
            self.catalog, principal.team(), await self.grants(principal.team()), principal.key_groups
        )

    async def names(self, principal: Principal) -> list[str]:
        """Everything the key may ask for: its groups, then the models in them, each once. Raises: as `usable`."""
        return access.usable_names(
            self.catalog, principal.team(), await self.grants(principal.team()), principal.key_groups
        )

    async def grants(self, team_id: TeamId) -> frozenset[str]:
        """What was granted to the team through the API; remembered for a few seconds."""
        return await self._grants.get(team_id)

    def forget(self) -> None:
        """Looks grants up again: one has just changed in this process."""
        self._grants.forget_all()

    async def _find_grants(self, team_id: TeamId) -> frozenset[str]:
        return await self._db.look(partial(store.list_grants, team_id=team_id))
