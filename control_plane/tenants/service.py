"""Authenticates keys. They are created and revoked in `administration/keys.py`."""

from functools import partial

from control_plane.clock import Clock
from control_plane.errors import InvalidKey
from control_plane.ids import KeyId, TeamId
from control_plane.lookups import Lookups
from control_plane.storage.database import Database
from control_plane.tenants import store
from control_plane.tenants.keys import hash_key, is_same
from control_plane.tenants.principal import Principal
from control_plane.tenants.uses import Uses

PRINCIPAL_TTL_S = 4  # a revocation must hold on every replica within 5 s
ORIGINS_KEPT = 10_000
PRINCIPALS_KEPT = 100_000  # unknown keys are kept too, so that guessing keys does not reach the database each time


class KeyService:
    """The keys of all teams. What a key stands for is remembered for a few seconds: the hot path runs no SQL for it."""

    def __init__(self, db: Database, *, master_key: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._master_hash = hash_key(master_key)
        self._uses = Uses()
        self._principals = Lookups(self._find, ttl_s=PRINCIPAL_TTL_S, kept=PRINCIPALS_KEPT)
        self._by_id = Lookups(self._find_by_id, ttl_s=PRINCIPAL_TTL_S, kept=PRINCIPALS_KEPT)
        self._origins = Lookups(self._find_origin, ttl_s=PRINCIPAL_TTL_S, kept=ORIGINS_KEPT)

    async def authenticate(self, secret: str) -> Principal:
        """Authenticates a key. Raises: InvalidKey when it is unknown, expired or revoked."""
        secret_hash = hash_key(secret)
        if is_same(secret_hash, self._master_hash):
            return Principal(team_id=None)
        return self._valid(await self._principals.get(secret_hash))

    async def note_used(self) -> int:
        """Writes when keys were last used, for those looked up since it ran before; returns how many. A periodic task.

        A key in use is looked up every few seconds, so that no call waits for this.
        """
        return await self._uses.write(self._db, store.note_used, self._clock())

    def is_master_key(self, secret: str) -> bool:
        """Whether this is the master key, however it begins."""
        return is_same(hash_key(secret), self._master_hash)

    def known_team(self, secret: str) -> TeamId | None:
        """The team of a recently used key; None also for an unknown key. Without a database query."""
        principal = self._principals.peek(hash_key(secret))
        return None if principal is None else principal.team_id

    async def principal_of(self, key_id: KeyId) -> Principal:
        """The principal of something created with this key. Raises: InvalidKey when the key is gone, expired or
        revoked.
        """
        return self._valid(await self._by_id.get(key_id))

    async def is_registered(self, origin: str) -> bool:
        """Whether pages of this origin may use some key; remembered as long as what a key stands for."""
        return await self._origins.get(origin)

    def forget(self) -> None:
        """Invalidates every cached key after a change of a key or its team in this process."""
        self._principals.forget_all()
        self._by_id.forget_all()
        self._origins.forget_all()

    def _valid(self, principal: Principal | None) -> Principal:
        if principal is None:
            raise InvalidKey
        principal.require_unexpired(self._clock())
        return principal

    async def _find(self, secret_hash: str) -> Principal | None:
        found = await self._db.look(partial(store.find_principal, secret_hash=secret_hash))
        if found is not None and found.key_id is not None:
            self._uses.note(found.key_id)
        return found

    async def _find_by_id(self, key_id: KeyId) -> Principal | None:
        return await self._db.look(partial(store.find_principal_of, key_id=key_id))

    async def _find_origin(self, origin: str) -> bool:
        return await self._db.look(partial(store.is_registered, origin=origin, at=self._clock()))
