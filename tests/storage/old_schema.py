"""A database as the first schema left it, with something of every kind in it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, column, insert, table
from sqlmodel import SQLModel

from control_plane.storage.database import Database
from control_plane.storage.migrate import MIGRATIONS

NOW = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
PLAN = {"budget_mode": "job_based", "credits_per_dollar": 10, "tokens_per_credit": 10_000} | {
    "charge_rule": "any_call_succeeded"
}

BILLED, LOST, FAILED, EXPIRED, OPEN = (UUID(int=number) for number in range(1, 6))
"""Jobs of acme: completed and charged 3; completed, but its only call was lost; failed; expired; in progress."""

LEDGER = {
    "acme": [
        ("grant", "g1", 100, 0),
        ("hold", str(BILLED), -1, 1),
        ("hold", "a call", -4, 4),
        ("deduction", str(BILLED), 0, -3),
        ("release", str(BILLED), 2, -2),
        ("hold", str(FAILED), -1, 1),
        ("release", str(FAILED), 1, -1),
        ("refund", str(BILLED), 1, 0),
        ("adjustment", "a1", -8, 0),
        ("hold", str(OPEN), -1, 1),
    ],
    "broke": [("grant", "g2", 5, 0), ("hold", str(UUID(int=9)), -5, 5), ("deduction", str(UUID(int=9)), -7, -5)],
    "large": [("grant", f"l{number}", 1, 0) for number in range(2100)],
    "zero": [],
}
"""Every team's movements: kind, ref, and how available and held change. One is overdrawn, one is read in pages."""


async def make_first_schema(db: Database) -> None:
    """The schema of migration 0001, with LEDGER and the jobs, calls and balances it belongs to."""
    async with db.transaction(is_long=True) as tx:
        await tx.run_sync(_upgrade)
        await tx.run_sync(_fill)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


def _add(connection: Connection, name: str, row: Mapping[str, Any]) -> None:
    """Types as today's tables have them, and no column that the row does not name."""
    today = SQLModel.metadata.tables[name]
    old = table(name, *(column(each, today.c[each].type) for each in row))
    connection.execute(insert(old), dict(row))


def _fill(connection: Connection) -> None:
    for number, (team_id, moves) in enumerate(LEDGER.items()):
        _add(connection, "teams", _team(team_id))
        available = held = allocated = 0
        for entry, (kind, ref, available_delta, held_delta) in enumerate(moves, start=1):
            available, held = available + available_delta, held + held_delta
            allocated += available_delta if kind in ("grant", "adjustment") else 0
            row = {
                "id": UUID(int=number * 100_000 + entry),
                "team_id": team_id,
                "number": entry,
                "kind": kind,
                "ref": ref,
                "available_delta": available_delta,
                "held_delta": held_delta,
                "available_after": available,
                "held_after": held,
                "reason": "Grüße ✓" if entry == 1 else None,
                "actor": "admin",
                "created_at": NOW + timedelta(microseconds=entry if entry % 2 else 0),
            }
            _add(connection, "ledger_entries", row)
        stands = {
            "team_id": team_id,
            "allocated": allocated,
            "used": allocated - available - held,
            "available": available,
            "held": held,
            "entries": len(moves),
        }
        _add(connection, "credit_balances", stands)
    _fill_jobs(connection)


def _fill_jobs(connection: Connection) -> None:
    later = NOW + timedelta(hours=1)  # the next day, and the next month
    _job(connection, BILLED, "completed", charged=3, cost=700, closed_at=later)
    add_call(connection, BILLED, "succeeded", cost=500, tokens=10)
    add_call(connection, BILLED, "cancelled", cost=200, tokens=4, first_chunk_ms=9)
    add_call(connection, BILLED, "cancelled", cost=30, tokens=3)  # left before its first piece
    add_call(connection, BILLED, "failed", group="Other")
    _job(connection, LOST, "completed", charged=0, cost=0, closed_at=later)
    add_call(connection, LOST, "lost", cost=60, tokens=6)
    _job(connection, FAILED, "failed", charged=0, cost=800, closed_at=later)
    add_call(connection, FAILED, "succeeded", cost=800, tokens=8)
    _job(connection, EXPIRED, "expired", charged=0, cost=0, closed_at=later, job_type="chat")
    _job(connection, OPEN, "in_progress", charged=None, cost=90, held=1, created_at=later)
    add_call(connection, OPEN, "succeeded", cost=90, tokens=9)
    add_call(connection, OPEN, "open", cost=5, tokens=5)
    _job(connection, UUID(int=9), "completed", charged=12, cost=1200, closed_at=later, team_id="broke")
    add_call(connection, UUID(int=9), "succeeded", cost=1200, tokens=12)


def _team(team_id: str) -> dict[str, Any]:
    return {
        "id": team_id,
        "organization_id": None,
        "alias": None,
        "default_model_group": None,
        "rpm": 60,
        "tpm": 60_000,
        "metadata": {"tier": 1},
        "suspended_at": None,
        "created_at": NOW,
        **PLAN,
    }


def _job(
    connection: Connection,
    job_id: UUID,
    status: str,
    *,
    charged: int | None,
    cost: int,
    held: int = 0,
    job_type: str = "report",
    team_id: str = "acme",
    created_at: datetime = NOW,
    closed_at: datetime | None = None,
) -> None:
    row: dict[str, Any] = {
        "id": job_id,
        "team_id": team_id,
        "job_type": job_type,
        "user_id": None,
        "status": status,
        "plan": PLAN,
        "default_model_group": None,
        "metadata": {},
        "error_message": None,
        "credits_held": held,
        "calls_open": int(status == "in_progress"),
        "calls_total": 1,
        "calls_succeeded": 1,
        "calls_failed": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_nano_usd": cost,
        "latency_ms": 0,
        "credits_charged": charged,
        "credits_remaining": None,
        "created_at": created_at,
        "started_at": created_at,
        "completed_at": closed_at,
        "expires_at": created_at + timedelta(days=1),
    }
    _add(connection, "jobs", row)


def add_call(
    connection: Connection,
    job_id: UUID,
    status: str,
    *,
    cost: int = 0,
    tokens: int = 0,
    group: str = "ChatAgent",
    first_chunk_ms: int | None = None,
) -> None:
    calls = SQLModel.metadata.tables["calls"]
    number = len(connection.execute(calls.select().with_only_columns(calls.c.id)).all())
    row: dict[str, Any] = {
        "id": UUID(int=1000 + number),
        "job_id": job_id,
        "team_id": "broke" if job_id == UUID(int=9) else "acme",
        "worker_id": UUID(int=77),
        "status": status,
        "purpose": None,
        "model_group": group,
        "is_stream": first_chunk_ms is not None,
        "metadata": {},
        "model": None,
        "deployment_id": None,
        "finish_reason": None,
        "error_code": None,
        "prompt_tokens": tokens,
        "completion_tokens": tokens * 10,
        "is_estimated": False,
        "is_cached": False,
        "cost_nano_usd": cost,
        "latency_ms": 1,
        "first_chunk_ms": first_chunk_ms,
        "created_at": NOW,
        "ended_at": None if status == "open" else NOW,
    }
    _add(connection, "calls", row)
