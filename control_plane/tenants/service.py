"""What a key stands for. Keys are made and ended in `administration/keys.py`."""

from cachetools import TTLCache

from control_plane.clock import Clock
from control_plane.errors import InvalidKey
from control_plane.ids import KeyId
from control_plane.storage.database import Database
from control_plane.tenants import store
from control_plane.tenants.keys import hash_key, is_same
from control_plane.tenants.principal import Principal

PRINCIPAL_TTL_S = 4  # a revocation must hold on every replica within 5 s
ORIGINS_KEPT = 10_000
PRINCIPALS_KEPT = 100_000  # unknown keys are kept too, so that guessing keys does not reach the database each time


class KeyService:
    """The keys of all teams. What a key stands for is remembered for a few seconds: the hot path runs no SQL for it."""

    def __init__(self, db: Database, *, master_key: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._master_hash = hash_key(master_key)
        self._principals: TTLCache[str, Principal | None] = TTLCache(PRINCIPALS_KEPT, PRINCIPAL_TTL_S)
        self._by_id: TTLCache[KeyId, Principal | None] = TTLCache(PRINCIPALS_KEPT, PRINCIPAL_TTL_S)
        self._origins: TTLCache[str, bool] = TTLCache(ORIGINS_KEPT, PRINCIPAL_TTL_S)

    async def principal(self, secret: str) -> Principal:
        """Who asks with this key. Raises: InvalidKey when it is unknown, expired or revoked."""
        secret_hash = hash_key(secret)
        if is_same(secret_hash, self._master_hash):
            return Principal(team_id=None)
        try:
            principal = self._principals[secret_hash]
        except KeyError:
            async with self._db.reader() as reader:
                principal = await store.find_principal(reader, secret_hash)
            self._principals[secret_hash] = principal
        if principal is None:
            raise InvalidKey
        principal.is_valid(self._clock())
        return principal

    async def principal_of(self, key_id: KeyId) -> Principal:
        """Who asks with what was made with this key. Raises: InvalidKey when the key is gone, expired or revoked."""
        try:
            principal = self._by_id[key_id]
        except KeyError:
            async with self._db.reader() as reader:
                principal = await store.find_principal_of(reader, key_id)
            self._by_id[key_id] = principal
        if principal is None:
            raise InvalidKey
        principal.is_valid(self._clock())
        return principal

    async def is_registered(self, origin: str) -> bool:
        """Whether pages of this origin may use some key; remembered as long as what a key stands for."""
        try:
            return self._origins[origin]
        except KeyError:
            async with self._db.reader() as reader:
                found = await store.is_registered(reader, origin, self._clock())
            self._origins[origin] = found
            return found

    def forget(self) -> None:
        """Looks every key up again: something about a key or its team has just changed in this process."""
        self._principals.clear()
        self._by_id.clear()
        self._origins.clear()
