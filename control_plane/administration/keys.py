"""What the administrator does with a team's virtual keys: make, list, rotate, revoke."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from control_plane.administration import store
from control_plane.administration.access import check_default, check_groups
from control_plane.administration.values import IssuedKey, KeyTerms, KeyView
from control_plane.clock import Clock
from control_plane.errors import Conflict, KeyNotFound, TeamNotFound, Unprocessable
from control_plane.ids import KeyId, TeamId, new_id
from control_plane.model_groups import store as groups_store
from control_plane.model_groups.service import ModelGroupService
from control_plane.names import is_valid_slug
from control_plane.rate_limits import RateLimits
from control_plane.storage.database import Database, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.keys import KeyKind, make_key
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

    async def create(self, principal: Principal, team_id: TeamId, terms: KeyTerms) -> IssuedKey:
        """Makes a key. Raises: ModelGroupNotFound, ModelGroupNotAllowed for a default the key could not use."""
        async with self._db.transaction() as tx:
            await _lock(tx, principal, team_id)
            grants = await groups_store.list_grants(tx, team_id)
            check_groups(self._groups.catalog, terms.model_groups or ())
            only = None if terms.model_groups is None else frozenset(terms.model_groups)
            check_default(self._groups.catalog, team_id, grants, terms.default_model_group, only)
            issued = await add_key(tx, team_id, terms, now=self._clock())
        self._principals.forget()  # its origins may have been asked for before
        return issued

    async def list(
        self, principal: Principal, team_id: TeamId, *, limit: int | None = None, after: UUID | None = None
    ) -> Sequence[KeyView]:
        """The team's keys, oldest first, those that ended too."""
        principal.require_admin()
        async with self._db.reader() as reader:
            await tenants_store.get_team(reader, team_id)
            origins = await tenants_store.list_origins(reader, team_id)
            keys = await tenants_store.list_keys(reader, team_id, limit=limit, after=after)
        return [KeyView(key, origins.get(KeyId(key.id), ())) for key in keys]

    async def set_origins(
        self, principal: Principal, team_id: TeamId, key_id: KeyId, origins: Sequence[str]
    ) -> KeyView:
        """Makes these the origins whose pages may use the key.

        Raises: KeyNotFound, Unprocessable for a publishable key without one.
        """
        async with self._db.transaction() as tx:
            await _lock(tx, principal, team_id)
            key = await _get(tx, team_id, key_id)
            check_origins(KeyKind(key.kind), origins)
            await tenants_store.set_origins(tx, key_id, origins)
        self._principals.forget()
        return KeyView(key, sorted(set(origins)))

    async def rotate(self, principal: Principal, team_id: TeamId, key_id: KeyId, *, grace: timedelta) -> IssuedKey:
        """Makes a key like this one, which ends when the grace is over. Raises: KeyNotFound, Conflict if it has ended."""
        now = self._clock()
        async with self._db.transaction() as tx:
            await _lock(tx, principal, team_id)
            old = await _get(tx, team_id, key_id)
            if has_ended(old, now):
                raise Conflict("The key has ended; create a new one.")
            await tenants_store.end_key(tx, team_id, key_id, now + grace)
            origins = (await tenants_store.list_origins(tx, team_id)).get(key_id, ())
            terms = KeyTerms(
                old.name,
                old.default_model_group,
                old.expires_at,
                kind=KeyKind(old.kind),
                origins=origins,
                model_groups=old.model_groups,
                allowance=RateLimits(old.rpm, old.tpm, old.max_parallel_calls, old.jobs_per_minute),
                job_type=old.job_type,
            )
            issued = await add_key(tx, team_id, terms, now=now)
        self._principals.forget()
        return issued

    async def revoke(self, principal: Principal, team_id: TeamId, key_id: KeyId) -> KeyView:
        """Ends a key now; one that has ended before stays as it is. Raises: KeyNotFound."""
        async with self._db.transaction() as tx:
            await _lock(tx, principal, team_id)
            key = await tenants_store.end_key(tx, team_id, key_id, self._clock())
            if key is None:
                raise KeyNotFound
            origins = await tenants_store.list_origins(tx, team_id)
        self._principals.forget()
        return KeyView(key, origins.get(key_id, ()))


async def add_key(tx: Tx, team_id: TeamId, terms: KeyTerms, *, now: datetime) -> IssuedKey:
    """Makes and stores a key of a team that exists.

    Raises: Unprocessable for a publishable key without an origin, and for a secret key with a job type.
    """
    check_origins(terms.kind, terms.origins)
    if terms.job_type is not None and terms.kind is not KeyKind.PUBLISHABLE:
        raise Unprocessable(
            "job_type is for publishable keys; requests with a secret key name their job type themselves."
        )
    made = make_key(terms.kind)
    key = VirtualKey(
        id=new_id(),
        team_id=team_id,
        name=terms.name,
        prefix=made.prefix,
        secret_hash=made.secret_hash,
        kind=terms.kind,
        default_model_group=terms.default_model_group,
        job_type=terms.job_type,
        model_groups=None if terms.model_groups is None else list(terms.model_groups),
        rpm=terms.allowance.rpm,
        tpm=terms.allowance.tpm,
        max_parallel_calls=terms.allowance.max_parallel_calls,
        jobs_per_minute=terms.allowance.jobs_per_minute,
        created_at=now,
        expires_at=terms.expires_at,
        revoked_at=None,
    )
    await tenants_store.add(tx, key, taken="That key was made before; try again.")
    await tenants_store.set_origins(tx, KeyId(key.id), terms.origins)
    return IssuedKey(key, made.secret, sorted(set(terms.origins)))


def check_origins(kind: KeyKind, origins: Sequence[str]) -> None:
    """Raises Unprocessable for a publishable key that no page could use."""
    if kind is KeyKind.PUBLISHABLE and not origins:
        raise Unprocessable("A publishable key needs at least one origin whose pages may use it.")


async def _get(tx: Tx, team_id: TeamId, key_id: KeyId) -> VirtualKey:
    for key in await tenants_store.list_keys(tx, team_id):
        if key.id == key_id:
            return key
    raise KeyNotFound


def has_ended(key: VirtualKey, now: datetime) -> bool:
    """Whether the key has expired or been revoked."""
    return any(moment is not None and moment <= now for moment in (key.expires_at, key.revoked_at))


async def _lock(tx: Tx, principal: Principal, team_id: TeamId) -> None:
    principal.require_admin()
    if not is_valid_slug(team_id) or await store.lock_team(tx, team_id) is None:
        raise TeamNotFound
