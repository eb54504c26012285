"""Tables of the credits: each team's balance, and the ledger it follows from."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import UtcDateTime


class CreditBalance(SQLModel, table=True):
    """Where a team stands; always the sum of its ledger entries. allocated − used = available + held.

    `available` may fall below zero only when a finished job cost more than was held for it (D6); then nothing more
    can be held. `entries` numbers the team's ledger without gaps.
    """

    __tablename__ = "credit_balances"
    __table_args__ = (
        CheckConstraint("allocated - used = available + held", name="ck_credit_balances_adds_up"),
        CheckConstraint("held >= 0", name="ck_credit_balances_held_not_negative"),
    )

    team_id: str = Field(primary_key=True)
    allocated: int = Field(sa_type=BigInteger)
    used: int = Field(sa_type=BigInteger)
    available: int = Field(sa_type=BigInteger)
    held: int = Field(sa_type=BigInteger)
    entries: int = Field(sa_type=BigInteger)


class LedgerEntry(SQLModel, table=True):
    """One movement of credits; never updated, never deleted.

    `ref` is what the movement is about (a job, a call, an administrator's request); the same kind never happens twice
    for it. The deltas say what changed, the `_after` columns where the balance stood then.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("kind", "ref", name="uq_ledger_entries_kind_ref"),
        UniqueConstraint("team_id", "number", name="uq_ledger_entries_team_number"),
    )

    id: UUID = Field(primary_key=True)
    team_id: str
    number: int = Field(sa_type=BigInteger)
    kind: str
    ref: str
    available_delta: int = Field(sa_type=BigInteger)
    held_delta: int = Field(sa_type=BigInteger)
    available_after: int = Field(sa_type=BigInteger)
    held_after: int = Field(sa_type=BigInteger)
    reason: str | None
    actor: str
    created_at: datetime = Field(sa_type=UtcDateTime)
