"""Tables of the credits: each team's balance, the ledger it follows from, and the grants with their expiry."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from control_plane.storage.columns import ZERO, UtcDateTime

IS_LEFT = text("remaining > 0")


class CreditBalance(SQLModel, table=True):
    """A team's balance; always the sum of its ledger entries. allocated − used = available + held.

    `available` may fall below zero only when a finished job cost more than was held for it (D6); then nothing more can
    be held. `entries` numbers the team's ledger without gaps. `open_cost_nano_usd` is what the calls of open jobs have
    cost so far and `open_worst_nano_usd` what running calls may cost at most: parts of what is at risk. Crossing
    `low_balance_threshold` downwards writes an event.
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
    open_cost_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    open_worst_nano_usd: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    low_balance_threshold: int | None = Field(default=None, sa_type=BigInteger)


class LedgerEntry(SQLModel, table=True):
    """One movement of credits; never updated, never deleted.

    `ref` is the movement's cause (a job, a call, an administrator's request); the same kind never happens twice for it.
    The deltas are the changes, the `_after` columns the balance afterwards. `hash` covers the entry and the hash of the
    one before (`chain.py`); triggers of the database reject updates and deletes.
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
    hash: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class CreditGrant(SQLModel, table=True):
    """Credits given at once, and how many of them are left. What is charged is taken from grants in the order of
    priority (low first), expiry (soonest first), age. The sum of `remaining` is what the team has not used, and 0 when
    it has used more than it was given.
    """

    __tablename__ = "credit_grants"
    __table_args__ = (
        CheckConstraint("remaining >= 0 AND remaining <= amount", name="ck_credit_grants_remaining"),
        Index("ix_credit_grants_team", "team_id", sqlite_where=IS_LEFT, postgresql_where=IS_LEFT),
        Index("ix_credit_grants_expiry", "expires_at", sqlite_where=IS_LEFT, postgresql_where=IS_LEFT),
    )

    id: UUID = Field(primary_key=True)
    team_id: str
    amount: int = Field(sa_type=BigInteger)
    remaining: int = Field(sa_type=BigInteger)
    priority: int
    expires_at: datetime | None = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class CreditRefill(SQLModel, table=True):
    """A team's automatic refill: `credits` at the beginning of every period, counted from the local date `starts_on`.

    `next_at` is when `next_on`, the first day of the next period in `timezone`, begins. Without `is_rollover` what is
    left of a refill expires with the next.
    """

    __tablename__ = "credit_refills"

    team_id: str = Field(primary_key=True, foreign_key="teams.id")
    credits: int = Field(sa_type=BigInteger)
    period: str
    timezone: str
    is_rollover: bool
    starts_on: date
    next_on: date
    next_at: datetime = Field(sa_type=UtcDateTime, index=True)


class CreditEvent(SQLModel, table=True):
    """An event about a team's credits, such as `low_balance`. Written with the movement."""

    __tablename__ = "credit_events"
    __table_args__ = (Index("ix_credit_events_team", "team_id", "id"),)

    id: UUID = Field(primary_key=True)
    team_id: str
    kind: str
    remaining: int = Field(sa_type=BigInteger)
    threshold: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(sa_type=UtcDateTime)


class UnbilledCost(SQLModel, table=True):
    """The cost of jobs that were closed within an hour without a charge: the other part of what is at risk."""

    __tablename__ = "unbilled_costs"

    team_id: str = Field(primary_key=True)
    hour: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    cost_nano_usd: int = Field(sa_type=BigInteger)
