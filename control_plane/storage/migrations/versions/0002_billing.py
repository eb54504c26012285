"""Tamper-proof billing: grants, the ledger's chain, prices, caps, what is at risk, rollups, idempotency keys."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000
BILLABLE = "(c.status = 'succeeded' OR (c.status = 'cancelled' AND c.first_chunk_ms IS NOT NULL))"
ENDED = "c.status <> 'open'"
IS_LEFT = sa.text("remaining > 0")


def upgrade() -> None:
    _add_columns()
    _create_tables()
    _fill()
    _chain_ledger()
    _lock_ledger()


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _add_columns() -> None:
    columns_of: dict[str, list[sa.Column[Any]]] = {
        "teams": [
            sa.Column("markup_bps", sa.Integer(), server_default=sa.text("0"), nullable=False),
            sa.Column("job_type_prices", sa.JSON(none_as_null=True), nullable=True),
            sa.Column("at_risk_limit_nano_usd", sa.BigInteger(), nullable=True),
        ],
        "credit_balances": [
            _number("open_cost_nano_usd"),
            sa.Column("low_balance_threshold", sa.BigInteger(), nullable=True),
        ],
        "workers": [sa.Column("died_at", sa.DateTime(timezone=True), nullable=True)],
        "ledger_entries": [sa.Column("hash", sa.String(), server_default=sa.text("''"), nullable=False)],
        "jobs": [
            sa.Column("calls_delivered", sa.Integer(), server_default=sa.text("0"), nullable=False),
            _number("price_nano_usd"),
            _number("unbilled_nano_usd"),
            _number("reserved_tokens"),
            _number("reserved_cost_nano_usd"),
            _number("reserved_price_nano_usd"),
            sa.Column("max_credits", sa.BigInteger(), nullable=True),
            sa.Column("max_cost_nano_usd", sa.BigInteger(), nullable=True),
            sa.Column("is_clamped", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("day", sa.Date(), server_default="1970-01-01", nullable=False),
        ],
        "calls": [
            sa.Column("is_unpriced", sa.Boolean(), server_default=sa.false(), nullable=False),
            _number("price_nano_usd"),
            sa.Column("markup_bps", sa.Integer(), server_default=sa.text("0"), nullable=False),
            _number("reserved_tokens"),
            _number("reserved_cost_nano_usd"),
        ],
    }
    for table, columns in columns_of.items():
        for column in columns:
            op.add_column(table, column)


def _create_tables() -> None:
    op.create_table(
        "credit_grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("remaining >= 0 AND remaining <= amount", name="ck_credit_grants_remaining"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_credit_grants_team", "credit_grants", ["team_id"], sqlite_where=IS_LEFT, postgresql_where=IS_LEFT
    )
    op.create_index(
        "ix_credit_grants_expiry", "credit_grants", ["expires_at"], sqlite_where=IS_LEFT, postgresql_where=IS_LEFT
    )
    op.create_table(
        "credit_refills",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("is_rollover", sa.Boolean(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("next_on", sa.Date(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"]),
        sa.PrimaryKeyConstraint("team_id"),
    )
    op.create_index(op.f("ix_credit_refills_next_at"), "credit_refills", ["next_at"])
    op.create_table(
        "credit_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_credit_events_team", "credit_events", ["team_id", "id"])
    op.create_table(
        "unbilled_costs",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "hour"),
    )
    op.create_table(
        "job_days",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("job_type", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("jobs", "completed", "failed", "cancelled", "expired", "credits_charged")
        ),
        sa.PrimaryKeyConstraint("team_id", "day", "job_type"),
    )
    op.create_table(
        "usage_days",
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("job_type", sa.String(), nullable=False),
        sa.Column("model_group", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                "calls",
                "succeeded",
                "failed",
                "prompt_tokens",
                "completion_tokens",
                "cost_nano_usd",
                "price_nano_usd",
                "unbilled_nano_usd",
            )
        ),
        sa.PrimaryKeyConstraint("team_id", "day", "job_type", "model_group"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key"),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"])
    op.create_table(
        "proxy_spend_logs",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_group", sa.String(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("is_cached", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(op.f("ix_proxy_spend_logs_call_id"), "proxy_spend_logs", ["call_id"])
    op.create_index(op.f("ix_proxy_spend_logs_started_at"), "proxy_spend_logs", ["started_at"])
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("drift_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("unexplained", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _fill() -> None:
    """What the new columns and tables would hold, had they been there from the beginning. There were no markups."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    day = "(created_at AT TIME ZONE 'UTC')::date" if is_postgres else "substr(created_at, 1, 10)"
    hour = (
        "date_trunc('hour', completed_at, 'UTC')" if is_postgres else "substr(completed_at, 1, 13) || ':00:00.000000'"
    )
    for statement in (
        f"UPDATE jobs SET day = {day}, price_nano_usd = cost_nano_usd",
        "UPDATE calls SET price_nano_usd = cost_nano_usd",
        f"""UPDATE jobs SET unbilled_nano_usd = COALESCE((SELECT SUM(c.cost_nano_usd) FROM calls c
            WHERE c.job_id = jobs.id AND {ENDED} AND NOT {BILLABLE}), 0)""",
        f"""UPDATE jobs SET calls_delivered = (SELECT COUNT(*) FROM calls c WHERE c.job_id = jobs.id AND {BILLABLE})""",
        """UPDATE credit_balances SET open_cost_nano_usd = COALESCE((SELECT SUM(j.cost_nano_usd + j.unbilled_nano_usd)
            FROM jobs j WHERE j.team_id = credit_balances.team_id AND j.status IN ('pending', 'in_progress')), 0)""",
        f"""INSERT INTO unbilled_costs SELECT team_id, {hour}, SUM(cost_nano_usd + unbilled_nano_usd) FROM jobs
            WHERE completed_at IS NOT NULL AND credits_charged = 0 AND cost_nano_usd + unbilled_nano_usd > 0
            GROUP BY 1, 2""",
        """INSERT INTO job_days SELECT team_id, day, job_type, COUNT(*),
            SUM(CASE WHEN status = 'completed' THEN 1 ELSE 0 END), SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END),
            SUM(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END), SUM(CASE WHEN status = 'expired' THEN 1 ELSE 0 END),
            SUM(COALESCE(credits_charged, 0)) FROM jobs GROUP BY team_id, day, job_type""",
        f"""INSERT INTO usage_days SELECT j.team_id, j.day, j.job_type, c.model_group, COUNT(*),
            SUM(CASE WHEN c.status = 'succeeded' THEN 1 ELSE 0 END),
            SUM(CASE WHEN c.status = 'succeeded' THEN 0 ELSE 1 END),
            SUM(CASE WHEN {BILLABLE} THEN c.prompt_tokens ELSE 0 END),
            SUM(CASE WHEN {BILLABLE} THEN c.completion_tokens ELSE 0 END),
            SUM(CASE WHEN {BILLABLE} THEN c.cost_nano_usd ELSE 0 END),
            SUM(CASE WHEN {BILLABLE} THEN c.cost_nano_usd ELSE 0 END),
            SUM(CASE WHEN {BILLABLE} THEN 0 ELSE c.cost_nano_usd END)
            FROM calls c JOIN jobs j ON j.id = c.job_id WHERE {ENDED} GROUP BY j.team_id, j.day, j.job_type, c.model_group""",
    ):
        op.execute(statement)
    _grant_what_is_left()


def _grant_what_is_left() -> None:
    """What each team has not used becomes one grant that never expires, as all credits were."""
    bind = op.get_bind()
    now = datetime.now(UTC)
    rows = bind.execute(
        sa.text("SELECT team_id, allocated, available + held AS remaining FROM credit_balances WHERE allocated > 0")
    ).all()
    grants = sa.table(
        "credit_grants",
        sa.column("id", sa.Uuid()),
        sa.column("team_id"),
        sa.column("amount"),
        sa.column("remaining"),
        sa.column("priority"),
        sa.column("expires_at"),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    for row in rows:
        remaining = max(0, row.remaining)
        grant = {
            "id": UUID(bytes=hashlib.sha256(f"grant of {row.team_id}".encode()).digest()[:16], version=5),
            "team_id": row.team_id,
            "amount": max(row.allocated, remaining),
            "remaining": remaining,
            "priority": 100,
            "expires_at": None,
            "created_at": now,
        }
        bind.execute(sa.insert(grants), grant)


def _chain_ledger() -> None:
    """Gives every entry its hash, as `credits/chain.py` did when this migration was written."""
    bind = op.get_bind()
    entries = sa.table(
        "ledger_entries",
        sa.column("id", sa.Uuid()),
        sa.column("team_id", sa.String()),
        sa.column("number", sa.BigInteger()),
        *(sa.column(name) for name in ("kind", "ref", "available_delta", "held_delta")),
        *(sa.column(name) for name in ("available_after", "held_after", "reason", "actor")),
        sa.column("created_at", sa.DateTime(timezone=True)),
        sa.column("hash"),
    )
    team, number, previous = "", 0, ""
    while True:
        following = sa.or_(entries.c.team_id > team, sa.and_(entries.c.team_id == team, entries.c.number > number))
        page = bind.execute(
            sa.select(entries).where(following).order_by(entries.c.team_id, entries.c.number).limit(ROWS_AT_ONCE)
        ).all()
        if not page:
            return
        hashes = []
        for entry in page:
            previous = _hash(previous if entry.team_id == team else "", entry)
            team, number = entry.team_id, entry.number
            hashes.append({"entry": entry.id, "hash": previous})
        bind.execute(
            sa.update(entries).where(entries.c.id == sa.bindparam("entry")).values(hash=sa.bindparam("hash")), hashes
        )


def _hash(previous: str, entry: Any) -> str:
    moment = entry.created_at if entry.created_at.tzinfo else entry.created_at.replace(tzinfo=UTC)
    values = [
        previous,
        entry.team_id,
        entry.number,
        entry.kind,
        entry.ref,
        entry.available_delta,
        entry.held_delta,
        entry.available_after,
        entry.held_after,
        entry.reason,
        entry.actor,
        str(entry.id),
        moment.astimezone(UTC).isoformat(timespec="microseconds"),
    ]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def _lock_ledger() -> None:
    """From now on the database itself refuses to change or remove an entry."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'ledger_entries is append-only'; END $$"""
        )
        op.execute(
            """CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"""
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"""CREATE TRIGGER ledger_entries_no_{change.lower()} BEFORE {change} ON ledger_entries
            BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END"""
        )


def downgrade() -> None:
    raise NotImplementedError("a ledger that was locked is not unlocked again; restore a backup instead")
