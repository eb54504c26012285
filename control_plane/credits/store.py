"""SQL of the credits. A movement changes the balance and the grants, and writes its ledger entry, in one transaction."""

import logging
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Executable,
    bindparam,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from control_plane.credits import events_store, grants_store
from control_plane.credits.chain import BEGINNING, entry_hash
from control_plane.credits.events_store import LOW_BALANCE
from control_plane.credits.grants import Terms, left
from control_plane.credits.models import CreditBalance, LedgerEntry
from control_plane.credits.rules import EntryKind, Limit, Movement
from control_plane.errors import AlreadyExists, Conflict, ControlPlaneError, InsufficientCredits, TeamNotFound
from control_plane.ids import TeamId, new_id
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, one_or_many
from control_plane.storage.upsert import upsert

MAX_CREDITS = 10**15  # what a team may be given in all: JSON clients count exactly up to 2^53, about 9 * 10^15

FOREVER = Terms()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Author:
    """Who moves credits, when and why. `ref` is what the movement is about; `entry_id` the id of its only entry, if known."""

    ref: str
    now: datetime
    actor: str
    reason: str | None
    entry_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Movements that happen together or not at all, and by whom."""

    movements: Sequence[Movement]
    author: Author


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a team stands, in credits. `remaining` is what it has not used: available and held."""

    allocated: int
    used: int
    available: int
    held: int

    @property
    def remaining(self) -> int:
        """allocated − used."""
        return self.available + self.held

    def moved(self, movements: Sequence[Movement]) -> "Balance":
        """Where the team stands after them."""
        return self._changed(movements, 1)

    def before(self, movements: Sequence[Movement]) -> "Balance":
        """Where the team stood before them."""
        return self._changed(movements, -1)

    def _changed(self, movements: Sequence[Movement], sign: int) -> "Balance":
        return Balance(
            self.allocated + sign * sum(movement.allocated for movement in movements),
            self.used + sign * sum(movement.used for movement in movements),
            self.available + sign * sum(movement.available for movement in movements),
            self.held + sign * sum(movement.held for movement in movements),
        )


async def create_balance(tx: Tx, team_id: TeamId) -> None:
    """A new team starts at zero; one whose id a deleted team had goes on where that one's ledger ended, at zero too."""
    row = {"team_id": team_id, "allocated": 0, "used": 0, "available": 0, "held": 0, "entries": 0}
    await tx.execute(upsert(tx.dialect.name, CreditBalance).values(row).on_conflict_do_nothing())


async def post(
    tx: Tx,
    team_id: TeamId,
    movement: Movement,
    *,
    ref: str,
    now: datetime,
    actor: str,
    reason: str | None = None,
    terms: Terms = FOREVER,
) -> Balance:
    """`post_all` of one movement. `terms`: those of the grant, if it gives credits."""
    return await post_by(tx, team_id, [movement], Author(ref, now, actor, reason), terms)


async def post_all(
    tx: Tx,
    team_id: TeamId,
    movements: Sequence[Movement],
    *,
    ref: str,
    now: datetime,
    actor: str,
    reason: str | None = None,
    terms: Terms = FOREVER,
) -> Balance:
    """Moves credits and writes the entries, if the balance allows it: one statement decides and moves.

    The movements happen together or not at all; there is at least one. What is given becomes a grant, what is charged
    or taken back is taken from the grants in their turn.
    Raises: InsufficientCredits, Conflict, TeamNotFound; AlreadyExists for a second movement of a kind for one `ref`.
    """
    return await post_by(tx, team_id, movements, Author(ref, now, actor, reason), terms)


async def post_by(
    tx: Tx, team_id: TeamId, movements: Sequence[Movement], author: Author, terms: Terms = FOREVER
) -> Balance:
    """`post_all`, for who knows the author whole."""
    (balance,) = await _move(tx, team_id, [Post(movements, author)])
    gained = left(balance.remaining) - left(balance.before(movements).remaining)
    given = sum(movement.available for movement in movements if movement.is_giving)
    if given:
        await grants_store.add(tx, team_id, given, max(0, gained), terms, author.now)
    elif gained < 0:
        await grants_store.take(tx, team_id, -gained)
    return balance


async def post_each(tx: Tx, team_id: TeamId, posts: Sequence[Post]) -> Sequence[Balance | ControlPlaneError]:
    """Several posts of a team, none of which gives it credits, in their order: where it stands after each, or why not.

    One statement moves the balance for all of them, if it allows that; else one after the other is decided on.
    Raises: TeamNotFound; AlreadyExists, and then none has happened.
    """
    try:
        balances = await _move(tx, team_id, posts)
    except InsufficientCredits as refusal:
        if len(posts) == 1:
            return [refusal]
        alone = [await post_each(tx, team_id, [post]) for post in posts]
        return [balance for (balance,) in alone]
    before = balances[0].before(posts[0].movements)
    gained = left(balances[-1].remaining) - left(before.remaining)
    if gained < 0:
        await grants_store.take(tx, team_id, -gained)
    return balances


async def expire(tx: Tx, team_id: TeamId, balance: Balance, now: datetime) -> Balance:
    """Takes back what is left of the team's expired grants, as far as it is available; what is held stays until its job
    is closed. The balance is locked. Returns where the team stands then.
    """
    for grant in await grants_store.list_expired(tx, team_id, now):
        lost = min(grant.remaining, balance.available)
        if lost <= 0:
            break
        author = Author(f"{grant.id}:{grant.remaining}", now, "expiry", None)
        (balance,) = await _move(tx, team_id, [Post([Movement(EntryKind.EXPIRY, available=-lost)], author)])
        await grants_store.set_remaining(tx, {grant.id: grant.remaining - lost})
    return balance


async def _move(tx: Tx, team_id: TeamId, posts: Sequence[Post]) -> Sequence[Balance]:
    """Balance, entries and the event of a low balance; not the grants. Returns where the team stands after each post."""
    movements = [movement for post in posts for movement in post.movements]
    change: dict[str, Any] = {
        "team": team_id,
        "allocated": sum(movement.allocated for movement in movements),
        "used": sum(movement.used for movement in movements),
        "available": sum(movement.available for movement in movements),
        "held": sum(movement.held for movement in movements),
        "entries": len(movements),
    }
    limits = frozenset(movement.limit for movement in movements)
    row = (await tx.execute(_change_balance(limits), change)).one_or_none()
    if row is None:
        found = await find_balance(tx, team_id)
        raise TeamNotFound if found is None else _refusal(limits, change, found)
    balance = Balance(row.allocated, row.used, row.available, row.held).before(movements)
    await _write(tx, team_id, posts, before=balance, number=row.entries - len(movements))
    balances = []
    for post in posts:
        before, balance = balance, balance.moved(post.movements)
        balances.append(balance)
        await _note_low(tx, team_id, before, balance, row.low_balance_threshold, post.author.now)
    return balances


async def _note_low(
    tx: Tx, team_id: TeamId, before: Balance, balance: Balance, threshold: int | None, now: datetime
) -> None:
    if threshold is not None and balance.remaining < threshold <= before.remaining:
        await events_store.add(tx, team_id, LOW_BALANCE, balance.remaining, threshold, now)
        log.warning(LOW_BALANCE, extra={"team": team_id, "remaining": balance.remaining, "threshold": threshold})


async def _write(tx: Tx, team_id: TeamId, posts: Sequence[Post], *, before: Balance, number: int) -> None:
    """Writes the entries after the one numbered `number`, each chained to the one before."""
    previous = BEGINNING if number == 0 else await _hash_of(tx, team_id, number)
    balance = before
    entries = []
    for author, movement in ((post.author, movement) for post in posts for movement in post.movements):
        number, balance = number + 1, balance.moved([movement])
        entry = {
            "id": author.entry_id or new_id(),
            "team_id": team_id,
            "number": number,
            "kind": movement.kind.value,
            "ref": author.ref,
            "available_delta": movement.available,
            "held_delta": movement.held,
            "available_after": balance.available,
            "held_after": balance.held,
            "reason": author.reason,
            "actor": author.actor,
            "created_at": author.now,
        }
        previous = entry_hash(previous, entry)
        entries.append(entry | {"hash": previous})
    try:
        await tx.execute(_insert_entries(), one_or_many(entries))
    except IntegrityError as error:
        kinds = " and ".join(movement.kind for post in posts for movement in post.movements)
        refs = ", ".join(post.author.ref for post in posts)
        raise AlreadyExists(f"There is a {kinds} for {refs} already.") from error


async def _hash_of(tx: Tx, team_id: TeamId, number: int) -> str:
    """The hash of an entry. A statement of its own: in the one that locked the balance, Postgres would still see the
    ledger as it was before it waited for the lock.
    """
    found: str | None = await tx.scalar(_find_hash(), {"team": team_id, "number": number})
    return BEGINNING if found is None else found


async def lock_balance(tx: Tx, team_id: TeamId) -> Balance | None:
    """The balance, kept from other movements until the transaction ends. None: there never was such a team."""
    locked = select(col(CreditBalance.team_id)).where(col(CreditBalance.team_id) == team_id).with_for_update()
    await tx.execute(locked)
    return await find_balance(tx, team_id)


async def set_low_balance(tx: Tx, team_id: TeamId, threshold: int | None) -> Balance:
    """Sets below which balance an event is written. Raises: TeamNotFound."""
    statement = update(CreditBalance).where(col(CreditBalance.team_id) == team_id)
    await tx.execute(statement.values(low_balance_threshold=threshold))
    balance = await find_balance(tx, team_id)
    if balance is None:
        raise TeamNotFound
    return balance


async def find_balance(reader: Reader, team_id: TeamId) -> Balance | None:
    """The team's balance, or None when there is no such team."""
    return (await find_balances(reader, [team_id])).get(team_id)


async def credits_held(reader: Reader) -> int:
    """What open jobs of all teams hold."""
    return int((await reader.execute(select(func.coalesce(func.sum(col(CreditBalance.held)), 0)))).scalar_one())


async def find_balances(reader: Reader, team_ids: Collection[TeamId]) -> dict[TeamId, Balance]:
    """The balances of several teams in one look."""
    rows = await reader.execute(_find_balances(), {"teams": list(team_ids)})
    return {TeamId(row.team_id): Balance(row.allocated, row.used, row.available, row.held) for row in rows}


async def list_entries(reader: Reader, team_id: TeamId, *, limit: int, before: int | None) -> Sequence[LedgerEntry]:
    """The team's ledger, newest first; `before` is the number of the last entry already seen."""
    statement = (
        every(LedgerEntry)
        .where(col(LedgerEntry.team_id) == team_id)
        .order_by(col(LedgerEntry.number).desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(col(LedgerEntry.number) < before)
    return many(LedgerEntry, await reader.execute(statement))


async def has_entry(reader: Reader, kind: EntryKind, ref: str) -> bool:
    """Whether this kind of movement has happened for `ref`."""
    statement = select(col(LedgerEntry.id)).where(col(LedgerEntry.kind) == kind.value, col(LedgerEntry.ref) == ref)
    return (await reader.execute(statement)).first() is not None


async def has_entry_with_id(reader: Reader, entry_id: UUID) -> bool:
    """Whether an entry was written under this id."""
    return (
        await reader.execute(select(col(LedgerEntry.id)).where(col(LedgerEntry.id) == entry_id))
    ).first() is not None


async def list_refunds(reader: Reader, job_ref: str) -> Sequence[int]:
    """The refunds of a job, in credits: the first has the job as its `ref`, those after it are numbered."""
    ref = col(LedgerEntry.ref)
    statement = select(col(LedgerEntry.available_delta)).where(
        col(LedgerEntry.kind) == EntryKind.REFUND.value,
        or_(ref == job_ref, ref.startswith(f"{job_ref}:", autoescape=True)),
    )
    return [row.available_delta for row in await reader.execute(statement)]


async def has_other_entries(reader: Reader, team_id: TeamId, prefix: str) -> bool:
    """Whether credits ever moved for anything whose `ref` does not begin with `prefix`."""
    statement = (
        select(col(LedgerEntry.id))
        .where(col(LedgerEntry.team_id) == team_id, ~col(LedgerEntry.ref).startswith(prefix, autoescape=True))
        .limit(1)
    )
    return (await reader.execute(statement)).first() is not None


@prepared
def _find_balances() -> Executable:
    return select(
        col(CreditBalance.team_id),
        col(CreditBalance.allocated),
        col(CreditBalance.used),
        col(CreditBalance.available),
        col(CreditBalance.held),
    ).where(col(CreditBalance.team_id).in_(bindparam("teams", expanding=True)))


@prepared
def _change_balance(limits: frozenset[Limit]) -> Executable:
    """Moves the balance as the parameters say, if every limit allows it. Locks the row until the transaction ends."""
    return (
        update(CreditBalance)
        .where(col(CreditBalance.team_id) == bindparam("team"), *(_allows(limit) for limit in sorted(limits)))
        .values(
            allocated=CreditBalance.allocated + _number("allocated"),
            used=CreditBalance.used + _number("used"),
            available=CreditBalance.available + _number("available"),
            held=CreditBalance.held + _number("held"),
            entries=CreditBalance.entries + _number("entries"),
        )
        .returning(
            col(CreditBalance.allocated),
            col(CreditBalance.used),
            col(CreditBalance.available),
            col(CreditBalance.held),
            col(CreditBalance.entries),
            col(CreditBalance.low_balance_threshold),
        )
    )


def _allows(limit: Limit) -> ColumnElement[bool]:
    match limit:
        case Limit.MAX_CREDITS:
            return col(CreditBalance.allocated) + _number("allocated") <= MAX_CREDITS
        case Limit.AVAILABLE:
            return col(CreditBalance.available) + _number("available") >= 0
        case Limit.USED:
            return col(CreditBalance.used) + _number("used") >= 0
        case Limit.NONE:
            return true()
        case _:
            assert_never(limit)


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


@prepared
def _find_hash() -> Executable:
    return select(col(LedgerEntry.hash)).where(
        col(LedgerEntry.team_id) == bindparam("team"), col(LedgerEntry.number) == bindparam("number")
    )


@prepared
def _insert_entries() -> Executable:
    return insert(LedgerEntry)


def _refusal(limits: AbstractSet[Limit], change: Mapping[str, Any], balance: Balance) -> ControlPlaneError:
    """Why the balance did not allow the movements."""
    if Limit.AVAILABLE in limits:
        return InsufficientCredits(needed=-change["available"], available=balance.available)
    if Limit.USED in limits:
        return Conflict(
            f"The team has used {balance.used} credits; more cannot be refunded.", credits_used=balance.used
        )
    return Conflict(
        f"A team can be given {MAX_CREDITS} credits in all; it has been given {balance.allocated}.",
        credits_allocated=balance.allocated,
    )
