"""Session settings of every connection to Postgres, so that neither side waits for one that is gone.

A replica that freezes or vanishes inside a transaction keeps its row locks until Postgres ends its session: without a
bound that takes until TCP gives up, two hours. Postgres ends a transaction that is idle for as long as a transaction
may take, and a wait for a lock after half of that. Both sides probe silent TCP connections.
"""

from typing import Any

from sqlalchemy import URL, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from control_plane.storage.tx import Tx

CONNECT_TIMEOUT_S = 5
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 10, 5, 3
UNACKNOWLEDGED_MS = 20_000
"""How long sent data may stay unacknowledged before the connection counts as broken (`tcp_user_timeout`)."""

LEAST_MS = 100
LONG_IDLE_MS = 60_000
"""The same bound for long work, which computes between its statements, but not for a minute."""

SET = """
SELECT set_config(wanted.name, wanted.value, false)
FROM (VALUES {rows}) AS wanted (name, value) JOIN pg_settings ON pg_settings.name = wanted.name
"""
"""Settings that the server does not have (`tcp_user_timeout` is of Postgres 12) are left out by the join."""


def connect_arguments(url: URL) -> dict[str, Any]:
    """Arguments for libpq. What the URL itself sets stays."""
    ours = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_S,
        "keepalives_interval": KEEPALIVE_INTERVAL_S,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
    }
    return {name: value for name, value in ours.items() if name not in url.query}


def bound_session(connection: DBAPIConnection, answer_timeout_s: float) -> None:
    """Sets the bounds of a new session.

    By a statement and not in the startup packet, which PgBouncer refuses.
    """
    answer_ms = max(LEAST_MS, round(answer_timeout_s * 1000))
    bounds = {
        "idle_in_transaction_session_timeout": answer_ms,
        "lock_timeout": answer_ms // 2,
        "statement_timeout": answer_ms,
        "tcp_keepalives_idle": KEEPALIVE_IDLE_S,
        "tcp_keepalives_interval": KEEPALIVE_INTERVAL_S,
        "tcp_keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
    }
    rows = ", ".join(f"('{name}', '{value}')" for name, value in bounds.items())
    cursor = connection.cursor()
    cursor.execute(SET.format(rows=rows))
    cursor.close()
    connection.commit()


async def lift_bounds(tx: Tx) -> None:
    """For this transaction, which takes long: statements may take their time. Waits for locks stay bounded."""
    await tx.execute(text("SET LOCAL statement_timeout = 0"))
    await tx.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {LONG_IDLE_MS}"))
