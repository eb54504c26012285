"""SQL of a LiteLLM proxy's own database: its table of spend logs, read and never written.

The table is LiteLLM's (`LiteLLM_SpendLogs`): times without a zone are UTC, money is a float of dollars, metadata JSON.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, DateTime, Float, Integer, String, column, select, table
from sqlalchemy.exc import ProgrammingError

from control_plane.errors import Unavailable
from control_plane.ids import parse_id
from control_plane.reconciliation.models import ProxySpendLog
from control_plane.storage.database import Reader
from control_plane.units import nano_usd

MAX_INT = 2**31 - 1

LOGS = table(
    "LiteLLM_SpendLogs",
    column("request_id", String),
    column("litellm_call_id", String),
    column("status", String),
    column("model", String),
    column("model_group", String),
    column("spend", Float),
    column("prompt_tokens", Integer),
    column("completion_tokens", Integer),
    column("cache_hit", String),
    column("metadata", JSON),
    column("startTime", DateTime),
    column("endTime", DateTime),
)


class ProxyUnreachable(Unavailable):
    """The LiteLLM proxy did not give its spend logs."""

    code = "proxy_unreachable"


async def list_logs(
    reader: Reader, *, since: datetime, after: tuple[datetime, str] | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """The next rows from a time on, in the order of their start; `after` is the start and id of the last one seen.

    Raises: ProxyUnreachable for a database that has no such table.
    """
    naive = since.astimezone(UTC).replace(tzinfo=None)
    start, request_id = LOGS.c.startTime, LOGS.c.request_id
    statement = select(LOGS).where(start >= naive).order_by(start, request_id).limit(limit)
    if after is not None:
        statement = statement.where((start > after[0]) | ((start == after[0]) & (request_id > after[1])))
    try:
        return [dict(row) for row in (await reader.execute(statement)).mappings()]
    except ProgrammingError as error:
        raise ProxyUnreachable("The database of the LiteLLM proxy has no spend logs, or of another version.") from error


def log_of(row: Mapping[str, Any]) -> ProxySpendLog:
    """A row of the table, or of the API, which uses the same names, as we keep it.

    Raises: KeyError, TypeError, ValueError for what LiteLLM does not write.
    """
    metadata = row.get("metadata") or {}
    ours = metadata.get("spend_logs_metadata") or {} if isinstance(metadata, Mapping) else {}
    is_cached = str(row.get("cache_hit")) == "True"
    return ProxySpendLog(
        request_id=row["request_id"],
        call_id=_id(ours.get("call_id")) or _id(row.get("litellm_call_id")),
        job_id=_id(ours.get("job_id")),
        status="failure" if row.get("status") == "failure" else "success",
        model=row["model"],
        model_group=row.get("model_group") or "",
        cost_nano_usd=0 if is_cached else nano_usd(round(float(row["spend"]), 12)),
        prompt_tokens=min(int(row["prompt_tokens"]), MAX_INT),
        completion_tokens=min(int(row["completion_tokens"]), MAX_INT),
        is_cached=is_cached,
        started_at=_moment(row["startTime"]),
        ended_at=_moment(row["endTime"]),
    )


def _id(text: object) -> UUID | None:
    return parse_id(text) if isinstance(text, str) else None


def _moment(given: datetime | str) -> datetime:
    moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
