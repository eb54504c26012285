"""Short-lived tokens with which a web page uses one job of its team.

The customer's server creates one with its secret key and hands it to its page. It is a row with a hash, as keys are: it
ends with its time, its job, the key that made it and its team; its origins allow a preflight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from control_plane.clock import Clock
from control_plane.errors import Conflict, Forbidden, InvalidKey, JobClosed, Unprocessable
from control_plane.ids import JobId, KeyId, new_id
from control_plane.jobs import tokens_store as store
from control_plane.jobs.models import JobToken
from control_plane.jobs.rules import OPEN_JOB
from control_plane.jobs.service import JobService
from control_plane.lookups import Lookups
from control_plane.storage.database import Database
from control_plane.tenants.keys import JOB_TOKEN, hash_key, make_job_token
from control_plane.tenants.principal import JobGrant, Principal
from control_plane.tenants.service import KeyService

REMEMBERED_S = 4
"""As keys are. A job that is closed takes no call at once, whatever is remembered of its tokens."""
REMEMBERED = 100_000
MAX_TOKENS = 100
"""Of one job, that work at the same time."""
KEPT = timedelta(days=1)
"""How long an expired token's row is kept."""
MAX_KEPT = 1000
"""Of one job, with those that have expired."""
PURGED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """The terms of a token. No origins: those of the key that makes it. `model_groups`: the only ones it may use."""

    ttl: timedelta
    origins: Sequence[str] = ()
    model_groups: Sequence[str] | None = None
    may_complete: bool = False


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token just made; the only time it is seen."""

    secret: str
    token: JobToken


def is_job_token(secret: str) -> bool:
    """Whether a secret has the form of a job token."""
    return secret.startswith(f"{JOB_TOKEN}-")


class JobTokenService:
    """The tokens of all jobs."""

    def __init__(self, db: Database, keys: KeyService, jobs: JobService, *, clock: Clock, background: Database) -> None:
        """`background`: what customers do not wait for is done over it."""
        self._db = db
        self._background = background
        self._keys = keys
        self._jobs = jobs
        self._clock = clock
        self._tokens = Lookups(self._find, ttl_s=REMEMBERED_S, kept=REMEMBERED)
        self._origins = Lookups(self._find_origin, ttl_s=REMEMBERED_S, kept=REMEMBERED)

    async def create(self, principal: Principal, job_id: JobId, terms: TokenTerms) -> IssuedToken:
        """Makes a token for one of the team's open jobs. It does not outlive its job.

        Raises: Forbidden for what is no secret key of a team, JobNotFound, JobNotOwned, JobClosed, Unprocessable without an
        origin, Conflict for too many.
        """
        principal.active_team()
        if principal.key_id is None or principal.is_publishable:
            raise Forbidden("Tokens of a job are made with a secret key of its team.")
        job = await self._jobs.get(principal, job_id)
        if job.status not in OPEN_JOB:
            raise JobClosed(status=job.status)
        origins = sorted({*terms.origins} or principal.origins)
        if not origins:
            raise Unprocessable(
                "A token needs the origins of the pages that may use it: `origins`, or those registered for the key."
            )
        now = self._clock()
        made = make_job_token()
        token = JobToken(
            id=new_id(),
            job_id=job_id,
            key_id=principal.key_id,
            secret_hash=made.secret_hash,
            origins=origins,
            model_groups=None if terms.model_groups is None else sorted(set(terms.model_groups)),
            may_complete=terms.may_complete,
            created_at=now,
            expires_at=_end(now + terms.ttl, job.expires_at, principal.expires_at),
        )
        async with self._db.transaction() as tx:
            working, kept = await store.count(tx, job_id, now)
            if working >= MAX_TOKENS:
                raise Conflict(f"The job has {MAX_TOKENS} tokens that work; wait until some have expired.")
            if kept >= MAX_KEPT:
                raise Conflict(f"The job has had {MAX_KEPT} tokens within a day; make them for longer.")
            await store.add(tx, token)
        for origin in origins:
            self._origins.forget((job_id, origin))
        return IssuedToken(made.secret, token)

    async def authenticate(self, secret: str) -> Principal:
        """Authenticates a token. Raises: InvalidKey when it is unknown or expired, or its key has ended."""
        found = await self._tokens.get(hash_key(secret))
        if found is None:
            raise InvalidKey
        token, status = found
        principal = _narrowed(await self._keys.principal_of(KeyId(token.key_id)), token, status)
        principal.require_unexpired(self._clock())
        return principal

    async def is_registered(self, job_id: JobId, origin: str) -> bool:
        """Whether pages of this origin may use the job; cached, since any caller with a job's id may ask."""
        return await self._origins.get((job_id, origin))

    async def _find(self, secret_hash: str) -> tuple[JobToken, str] | None:
        async with self._db.reader() as reader:
            return await store.find(reader, secret_hash)

    async def _find_origin(self, asked: tuple[JobId, str]) -> bool:
        job_id, origin = asked
        async with self._db.reader() as reader:
            return await store.is_registered(reader, job_id, origin, self._clock())

    async def purge(self) -> None:
        """Removes the rows of tokens that expired long ago; a periodic task."""
        while True:
            async with self._background.transaction() as tx:
                if await store.purge(tx, self._clock() - KEPT, limit=PURGED_AT_ONCE) < PURGED_AT_ONCE:
                    return


def _narrowed(key: Principal, token: JobToken, job_status: str) -> Principal:
    """The key's permissions, narrowed to the token's."""
    groups = key.key_groups
    if token.model_groups is not None:
        groups = frozenset(token.model_groups) if groups is None else groups.intersection(token.model_groups)
    return replace(
        key,
        expires_at=_end(token.expires_at, key.expires_at),
        is_publishable=True,
        origins=frozenset(token.origins),
        key_groups=groups,
        grant=JobGrant(JobId(token.job_id), token.may_complete, None if job_status in OPEN_JOB else job_status),
    )


def _end(first: datetime, *others: datetime | None) -> datetime:
    return min([first, *(other for other in others if other is not None)])
