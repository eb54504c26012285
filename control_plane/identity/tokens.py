"""Access tokens: created, authenticated, listed and revoked. `adm-…`, for people and programs that administer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from control_plane.audit import service as audit
from control_plane.audit.values import Actor, Change, Means
from control_plane.clock import Clock
from control_plane.errors import (
    InvalidKey,
    PermissionDenied,
    TokenNotFound,
    Unprocessable,
)
from control_plane.identity import store
from control_plane.identity.models import AccessToken
from control_plane.ids import OrganizationId, TeamId, new_id
from control_plane.lookups import Lookups
from control_plane.storage.database import Database, Reader
from control_plane.tenants import store as tenants_store
from control_plane.tenants.keys import ACCESS_TOKEN, hash_key, make_access_token
from control_plane.tenants.principal import Member, Principal
from control_plane.tenants.roles import Permission, Place, Role, RoleAt, may_give
from control_plane.tenants.uses import Uses

TTL_S = 4  # a revocation must hold on every replica within 5 s
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """The terms of a new token. `expires_at` None: it never expires."""

    name: str
    role: Role
    place: Place
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token just made; the only time its secret is seen."""

    token: AccessToken
    secret: str


class AccessTokens:
    """The access tokens of the platform. What a secret stands for is cached for a few seconds."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._tokens = Lookups(self._find, ttl_s=TTL_S, kept=KEPT)
        self._uses = Uses()

    async def authenticate(self, secret: str) -> Principal:
        """The member of a token. Raises: InvalidKey when it is unknown, expired or revoked."""
        token = await self._tokens.get(hash_key(secret))
        if token is None or has_ended(token, self._clock()):
            raise InvalidKey
        self._uses.note(token.id)
        actor = Actor(Means.TOKEN, token.name, str(token.id))
        return Principal(team_id=None, member=Member(actor, (RoleAt(Role(token.role), place_of(token)),)))

    async def create(self, principal: Principal, new: NewToken) -> IssuedToken:
        """Makes a token. Raises: PermissionDenied for a role above the principal's own; OrganizationNotFound,
        TeamNotFound; Unprocessable for one that would have expired.
        """
        principal.require_anywhere(Permission.TOKENS_WRITE)
        now = self._clock()
        if new.expires_at is not None and new.expires_at <= now:
            raise Unprocessable("expires_at must lie in the future.")
        made = make_access_token()
        async with self._db.transaction() as tx:
            place = await _known_place(tx, new.place)
            principal.require(Permission.TOKENS_WRITE, place)
            require_may_give(principal, RoleAt(new.role, place))
            token = AccessToken(
                id=new_id(),
                name=new.name,
                prefix=made.prefix,
                secret_hash=made.secret_hash,
                role=new.role.value,
                organization_id=None if place.team_id is not None else place.organization_id,
                team_id=place.team_id,
                created_at=now,
                created_by=principal.actor,
                expires_at=new.expires_at,
            )
            await store.add_token(tx, token)
            change = Change("token.created", str(token.id), None, _audited(token), place.team_id, place.organization_id)
            await audit.record(tx, principal.audited, change, clock=self._clock)
        return IssuedToken(token, made.secret)

    async def list(self, principal: Principal, *, limit: int, after: UUID | None = None) -> Sequence[AccessToken]:
        """The tokens for the places where the principal may read them, oldest first, ended ones too."""
        at = principal.places_with(Permission.TOKENS_READ)
        async with self._db.reader() as reader:
            return await store.list_tokens(reader, at, limit=limit, after=after)

    async def revoke(self, principal: Principal, token_id: UUID) -> AccessToken:
        """Ends a token now; one that has ended before stays as it is. Raises: TokenNotFound, also for one elsewhere."""
        principal.require_anywhere(Permission.TOKENS_WRITE)
        now = self._clock()
        async with self._db.transaction() as tx:
            token = await store.lock_token(tx, token_id)
            if token is None:
                raise TokenNotFound
            place = await _full_place(tx, place_of(token))
            if not principal.can(Permission.TOKENS_WRITE, place):
                raise TokenNotFound
            require_may_give(principal, RoleAt(Role(token.role), place))
            if token.revoked_at is None:
                await store.revoke(tx, token_id, now)
                change = Change(
                    "token.revoked",
                    str(token_id),
                    {"revoked_at": None},
                    {"revoked_at": now},
                    place.team_id,
                    place.organization_id,
                )
                await audit.record(tx, principal.audited, change, clock=self._clock)
                token.revoked_at = now
        self._tokens.forget_all()
        return token

    async def note_used(self) -> int:
        """Writes when tokens were last used, for those used since it ran before; returns how many. A periodic task."""
        return await self._uses.write(self._db, store.note_used, self._clock())

    async def _find(self, secret_hash: str) -> AccessToken | None:
        return await self._db.look(partial(store.find_by_secret, secret_hash=secret_hash))


def is_access_token(secret: str) -> bool:
    """Whether a secret is one of these, by its beginning."""
    return secret.startswith(f"{ACCESS_TOKEN}-")


def place_of(token: AccessToken) -> Place:
    """The place of a token's role."""
    return Place(
        None if token.team_id is None else TeamId(token.team_id),
        None if token.organization_id is None else OrganizationId(token.organization_id),
    )


def has_ended(token: AccessToken, now: datetime) -> bool:
    """Whether the token has expired or been revoked."""
    return any(moment is not None and moment <= now for moment in (token.expires_at, token.revoked_at))


def require_may_give(principal: Principal, given: RoleAt) -> None:
    """Raises: PermissionDenied for a role that permits more than the principal's own there."""
    if not may_give(principal.roles, given):
        raise PermissionDenied(
            f"You may not give or take the role '{given.role}' for {given.place}: it permits more than your own."
        )


async def _known_place(reader: Reader, place: Place) -> Place:
    """The place with its organization. Raises: OrganizationNotFound, TeamNotFound."""
    if place.team_id is not None:
        await tenants_store.get_team(reader, place.team_id)
    elif (organization := place.organization_id) is not None:
        await tenants_store.get_organization(reader, organization)
    return await _full_place(reader, place)


async def _full_place(reader: Reader, place: Place) -> Place:
    if place.team_id is None:
        return place
    return Place(place.team_id, await tenants_store.find_organization_of(reader, place.team_id))


def _audited(token: AccessToken) -> Mapping[str, Any]:
    return {"name": token.name, "prefix": token.prefix, "role": token.role, "expires_at": token.expires_at}
