"""A team's virtual keys, for the administrator: create, list, rotate, revoke."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from control_plane.administration import store
from control_plane.administration.access import check_default, check_groups
from control_plane.administration.values import IssuedKey, KeyTerms, KeyView
from control_plane.audit import service as audit
from control_plane.audit.values import Change
from control_plane.clock import Clock
from control_plane.errors import Conflict, KeyNotFound, TeamNotFound, Unprocessable
from control_plane.ids import KeyId, OrganizationId, TeamId, new_id
from control_plane.model_groups import store as groups_store
from control_plane.model_groups.service import ModelGroupService
from control_plane.names import is_valid_slug
from control_plane.rate_limits import RateLimits
from control_plane.storage.database import Database, Tx
from control_plane.tenants import store as tenants_store
from control_plane.tenants.authorization import require_in_team
from control_plane.tenants.keys import KeyKind, make_key
from control_plane.tenants.models import VirtualKey
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import Permission, Place
from control_plane.tenants.service import KeyService


class KeyAdministration:
    """The virtual keys of all teams. Every method raises AdminOnly for a team's key, PermissionDenied, and
    TeamNotFound. Each change is in the audit log.
    """

    def __init__(self, db: Database, keys: KeyService, groups: ModelGroupService, *, clock: Clock) -> None:
        self._db = db
        self._principals = keys
        self._groups = groups
        self._clock = clock

    async def create(self, principal: Principal, team_id: TeamId, terms: KeyTerms) -> IssuedKey:
        """Makes a key. Raises: ModelGroupNotFound, ModelGroupNotAllowed for a default the key could not use."""
        async with self._db.transaction() as tx:
            place = await _lock(tx, principal, team_id)
            grants = await groups_store.list_grants(tx, team_id)
            check_groups(self._groups.catalog, terms.model_groups or ())
            only = None if terms.model_groups is None else frozenset(terms.model_groups)
            check_default(self._groups.catalog, team_id, grants, terms.default_model_group, only)
            issued = await add_key(tx, team_id, terms, now=self._clock(), created_by=principal.actor)
            await self._record(
                tx, principal, place, "key.created", issued.key.id, None, _audited(issued.key, issued.origins)
            )
        self._principals.forget()  # its origins may be cached
        return issued

    async def list(
        self, principal: Principal, team_id: TeamId, *, limit: int | None = None, after: UUID | None = None
    ) -> Sequence[KeyView]:
        """The team's keys, oldest first, those that ended too."""
        async with self._db.reader() as reader:
            await require_in_team(reader, principal, Permission.KEYS_READ, team_id)
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
            place = await _lock(tx, principal, team_id)
            key = await _get(tx, team_id, key_id)
            check_origins(KeyKind(key.kind), origins)
            before = (await tenants_store.list_origins(tx, team_id)).get(key_id, ())
            await tenants_store.set_origins(tx, key_id, origins)
            was, became = list(before), sorted(set(origins))
            if was != became:
                changed = {"origins": was}, {"origins": became}
                await self._record(tx, principal, place, "key.origins_set", key_id, *changed)
        self._principals.forget()
        return KeyView(key, sorted(set(origins)))

    async def rotate(self, principal: Principal, team_id: TeamId, key_id: KeyId, *, grace: timedelta) -> IssuedKey:
        """Makes a key like this one, which ends when the grace is over. Raises: KeyNotFound, Conflict if it has ended."""
        now = self._clock()
        async with self._db.transaction() as tx:
            place = await _lock(tx, principal, team_id)
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
                rate_limits=RateLimits(old.rpm, old.tpm, old.max_parallel_calls, old.jobs_per_minute),
                job_type=old.job_type,
            )
            issued = await add_key(tx, team_id, terms, now=now, created_by=principal.actor)
            replaced = {"key": str(key_id), "works_until": now + grace}
            made = {**_audited(issued.key, issued.origins), "replaces": replaced}
            await self._record(tx, principal, place, "key.rotated", issued.key.id, None, made)
        self._principals.forget()
        return issued

    async def revoke(self, principal: Principal, team_id: TeamId, key_id: KeyId) -> KeyView:
        """Ends a key now; one that has ended before stays as it is. Raises: KeyNotFound."""
        async with self._db.transaction() as tx:
            place = await _lock(tx, principal, team_id)
            now = self._clock()
            before = await _get(tx, team_id, key_id)
            key = await tenants_store.end_key(tx, team_id, key_id, now)
            assert key is not None, "found above, and its team is locked"
            origins = await tenants_store.list_origins(tx, team_id)
            if before.revoked_at != key.revoked_at:
                ended = {"revoked_at": before.revoked_at}, {"revoked_at": key.revoked_at}
                await self._record(tx, principal, place, "key.revoked", key_id, *ended)
        self._principals.forget()
        return KeyView(key, origins.get(key_id, ()))

    async def _record(
        self,
        tx: Tx,
        principal: Principal,
        place: Place,
        action: str,
        key_id: UUID,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        change = Change(action, str(key_id), before, after, place.team_id, place.organization_id)
        await audit.record(tx, principal.audited, change, clock=self._clock)


async def add_key(
    tx: Tx, team_id: TeamId, terms: KeyTerms, *, now: datetime, created_by: str | None = None
) -> IssuedKey:
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
        rpm=terms.rate_limits.rpm,
        tpm=terms.rate_limits.tpm,
        max_parallel_calls=terms.rate_limits.max_parallel_calls,
        jobs_per_minute=terms.rate_limits.jobs_per_minute,
        created_at=now,
        expires_at=terms.expires_at,
        revoked_at=None,
        created_by=created_by,
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


def _audited(key: VirtualKey, origins: Sequence[str]) -> Mapping[str, Any]:
    """A key's fields as the audit log has them: never its secret, nor the hash of it."""
    return {**key.model_dump(exclude={"id", "secret_hash", "created_at", "team_id"}), "origins": list(origins)}


async def _lock(tx: Tx, principal: Principal, team_id: TeamId) -> Place:
    await require_in_team(tx, principal, Permission.KEYS_WRITE, team_id)
    if not is_valid_slug(team_id):
        raise TeamNotFound
    team = await store.lock_team(tx, team_id)
    if team is None:
        raise TeamNotFound
    return Place(team_id, None if team.organization_id is None else OrganizationId(team.organization_id))
