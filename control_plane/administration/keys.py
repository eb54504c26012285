"""What the administrator does with a team's virtual keys: make, list, rotate, revoke."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from control_plane.administration import store
from control_plane.administration.access import check_default
from control_plane.administration.values import IssuedKey, KeyTerms
from control_plane.clock import Clock
from control_plane.errors import Conflict, KeyNotFound, TeamNotFound
from control_plane.ids import KeyId, TeamId, new_id
from control_plane.model_groups import store as groups_store
from control_plane.model_groups.service import ModelGroupService
from control_plane.names import is_name
from control_plane.storage.database import Database, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.keys import make_key
from control_plane.tenants.models import VirtualKey
from control_plane.tenants.principal import Principal
from control_plane.tenants.service import KeyService


class KeyAdministration:
    """The virtual keys of all teams. Every method raises AdminOnly for a team's key and TeamNotFound."""

    def __init__(self, db: Database, keys: KeyService, groups: ModelGroupService, *, clock: Clock) -> None:
        self._db = db
        self._principals = keys
        self._groups = groups
        self._clock = clock

    async def create(self, who: Principal, team_id: TeamId, terms: KeyTerms) -> IssuedKey:
        """Makes a key. Raises: ModelGroupNotFound, ModelGroupNotAllowed for a default the team could not use."""
        async with self._db.transaction() as tx:
            await _lock(tx, who, team_id)
            grants = await groups_store.list_grants(tx, team_id)
            check_default(self._groups.catalog, team_id, grants, terms.default_model_group)
            return await add_key(tx, team_id, terms, now=self._clock())

    async def list(self, who: Principal, team_id: TeamId) -> Sequence[VirtualKey]:
        """The team's keys, oldest first, those that ended too."""
        who.may_administer()
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            return await tenants_store.list_keys(reader, team_id)

    async def rotate(self, who: Principal, team_id: TeamId, key_id: KeyId, *, grace: timedelta) -> IssuedKey:
        """Makes a key like this one, which ends when the grace is over. Raises: KeyNotFound, Conflict if it has ended."""
        now = self._clock()
        async with self._db.transaction() as tx:
            await _lock(tx, who, team_id)
            known = {KeyId(key.id): key for key in await tenants_store.list_keys(tx, team_id)}
            old = known.get(key_id)
            if old is None:
                raise KeyNotFound
            if has_ended(old, now):
                raise Conflict("The key has ended; create a new one.")
            await tenants_store.end_key(tx, team_id, key_id, now + grace)
            terms = KeyTerms(old.name, old.default_model_group, old.expires_at)
            issued = await add_key(tx, team_id, terms, now=now)
        self._principals.forget()
        return issued

    async def revoke(self, who: Principal, team_id: TeamId, key_id: KeyId) -> VirtualKey:
        """Ends a key now; one that has ended before stays as it is. Raises: KeyNotFound."""
        async with self._db.transaction() as tx:
            await _lock(tx, who, team_id)
            key = await tenants_store.end_key(tx, team_id, key_id, self._clock())
            if key is None:
                raise KeyNotFound
        self._principals.forget()
        return key


async def add_key(tx: Tx, team_id: TeamId, terms: KeyTerms, *, now: datetime) -> IssuedKey:
    """Makes and stores a key of a team that exists."""
    made = make_key()
    key = VirtualKey(
        id=new_id(),
        team_id=team_id,
        name=terms.name,
        prefix=made.prefix,
        secret_hash=made.secret_hash,
        default_model_group=terms.default_model_group,
        created_at=now,
        expires_at=terms.expires_at,
        revoked_at=None,
    )
    await tenants_store.add(tx, key, taken="That key was made before; try again.")
    return IssuedKey(key, made.secret)


def has_ended(key: VirtualKey, now: datetime) -> bool:
    """Whether the key has expired or been revoked."""
    return any(moment is not None and moment <= now for moment in (key.expires_at, key.revoked_at))


async def _lock(tx: Tx, who: Principal, team_id: TeamId) -> None:
    who.may_administer()
    if not is_name(team_id) or await store.lock_team(tx, team_id) is None:
        raise TeamNotFound
