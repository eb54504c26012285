"""SQL of the balances and of the ledger; `posting` composes a movement from it."""

from collections.abc import Collection, Mapping, Sequence
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
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from control_plane.credits.chain import BEGINNING
from control_plane.credits.models import CreditBalance, LedgerEntry
from control_plane.credits.rules import EntryKind, Limit
from control_plane.credits.values import Balance
from control_plane.errors import AlreadyExists, TeamNotFound
from control_plane.ids import TeamId
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, one_or_many
from control_plane.storage.upsert import upsert

MAX_CREDITS = 10**15  # what a team may be given in all: JSON clients count exactly up to 2^53, about 9 * 10^15


async def create_balance(tx: Tx, team_id: TeamId) -> None:
    """A new team starts at zero; one with the id of a deleted team continues its ledger, at zero too."""
    row = {"team_id": team_id, "allocated": 0, "used": 0, "available": 0, "held": 0, "entries": 0}
    await tx.execute(upsert(tx.dialect.name, CreditBalance).values(row).on_conflict_do_nothing())


async def change_balances(
    tx: Tx, limits: frozenset[Limit], changes: Sequence[Mapping[str, Any]]
) -> Mapping[TeamId, Any]:
    """Applies the changes to the balances of teams, of those where every limit allows it: one statement decides and
    moves. Returns the changed rows; they are locked until the transaction ends.
    """
    rows = await tx.execute(_change_balance(limits), one_or_many([dict(change) for change in changes]))
    return {TeamId(row.team_id): row for row in rows}


async def last_hashes(tx: Tx, entries: Mapping[TeamId, int]) -> Mapping[TeamId, str]:
    """The hashes of the teams' entries with these numbers. A separate statement: in the one that locked the balances,
    Postgres would still see the ledger as it was before it waited for the locks.
    """
    numbered = [(team_id, number) for team_id, number in entries.items() if number]
    found = await tx.execute(_find_hashes(), {"entries": numbered}) if numbered else ()
    return dict.fromkeys(entries, BEGINNING) | {TeamId(row.team_id): row.hash for row in found}


async def add_entries(tx: Tx, entries: Sequence[dict[str, Any]]) -> None:
    """Writes ledger entries. Raises: AlreadyExists for a second one of a kind for one `ref`, and then none is written."""
    try:
        await tx.execute(_insert_entries(), one_or_many(list(entries)))
    except IntegrityError as error:
        about = ", ".join(f"{entry['kind']} for {entry['ref']}" for entry in entries)
        raise AlreadyExists(f"There is one of these already: {about}.") from error


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
    """The credits held by open jobs of all teams."""
    return int((await reader.execute(select(func.coalesce(func.sum(col(CreditBalance.held)), 0)))).scalar_one())


async def find_balances(reader: Reader, team_ids: Collection[TeamId]) -> dict[TeamId, Balance]:
    """The balances of several teams in one query."""
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
    """Applies the parameters to the balance, if every limit allows it. Locks the row until the transaction ends."""
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
            col(CreditBalance.team_id),
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
def _find_hashes() -> Executable:
    wanted = tuple_(col(LedgerEntry.team_id), col(LedgerEntry.number)).in_(bindparam("entries", expanding=True))
    return select(col(LedgerEntry.team_id), col(LedgerEntry.hash)).where(wanted)


@prepared
def _insert_entries() -> Executable:
    return insert(LedgerEntry)
