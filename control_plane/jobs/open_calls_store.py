"""SQL of the running calls: their intents, in a small table of their own.

A call is written to `calls` once, when it has ended. Servers of the version before wrote intents there, as `open`, and
may run beside this one for a while: such rows are found and ended, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, bindparam, delete, insert, inspect
from sqlmodel import SQLModel, col

from control_plane.ids import CallId, JobId
from control_plane.jobs.models import Call, OpenCall
from control_plane.jobs.rules import CallStatus, Intent
from control_plane.storage.database import Reader, Tx
from control_plane.storage.prepared import prepared
from control_plane.storage.rows import every, many, new_row, one_or_many
from control_plane.units import marked_up

_NOT_ENDED: Mapping[str, Any] = {
    "status": CallStatus.OPEN.value,
    "model": None,
    "deployment_id": None,
    "finish_reason": None,
    "error_code": None,
    "completion_tokens": 0,
    "is_estimated": True,
    "is_cached": False,
    "latency_ms": 0,
    "first_chunk_ms": None,
    "ended_at": None,
}
"""Values of a running call in the columns that its end fills in, and that have no default."""


async def add(tx: Tx, intents: Sequence[Intent], worker_id: UUID) -> None:
    """Writes the calls as running."""
    await tx.execute(_add(), one_or_many([_row(intent, worker_id) for intent in intents]))


async def take(tx: Tx, call_ids: Sequence[CallId]) -> Mapping[CallId, Mapping[str, Any]]:
    """Removes the running ones of the calls; returns the values of their columns. The caller that gets a call ends it."""
    rows = (await tx.execute(_take(), {"calls": list(call_ids)})).mappings()
    return {CallId(row["id"]): row for row in rows}


async def list_of_ids(reader: Reader, call_ids: Sequence[CallId]) -> Sequence[Call]:
    """Those of the calls that run."""
    return await _list(reader, "id", call_ids)


async def list_of_jobs(reader: Reader, job_ids: Sequence[JobId]) -> Sequence[Call]:
    """The calls of the jobs that run."""
    return await _list(reader, "job_id", job_ids)


async def list_of_workers(reader: Reader, worker_ids: Sequence[UUID]) -> Sequence[Call]:
    """The calls that run on these servers, or ran when they died."""
    return await _list(reader, "worker_id", worker_ids)


async def _list(reader: Reader, column: str, values: Sequence[UUID]) -> Sequence[Call]:
    if not values:
        return []
    rows = (await reader.execute(_find(column), {"values": list(values)})).mappings()
    before = await reader.execute(_find_before(column), {"values": list(values)})
    return [*map(_as_call, rows), *many(Call, before)]


def _as_call(row: Mapping[str, Any]) -> Call:
    """A running call as it is shown."""
    return new_row(Call, **_NOT_ENDED, **row)


def _row(intent: Intent, worker_id: UUID) -> dict[str, Any]:
    cost = intent.demand.expected_prompt_cost
    return {
        "id": intent.call_id,
        "job_id": intent.job_id,
        "team_id": intent.team_id,
        "worker_id": worker_id,
        "purpose": intent.purpose,
        "model_group": intent.model_group,
        "is_stream": intent.is_stream,
        "metadata": intent.metadata,
        "prompt_tokens": intent.demand.expected_prompt_tokens,
        "cost_nano_usd": cost,
        "price_nano_usd": marked_up(cost, intent.markup),
        "markup_bps": intent.markup,
        "reserved_tokens": intent.reserved.tokens,
        "reserved_cost_nano_usd": intent.reserved.cost,
        "worst_nano_usd": intent.worst,
        "created_at": intent.created_at,
    }


@prepared
def _add() -> Executable:
    return insert(OpenCall)


@prepared
def _take() -> Executable:
    wanted = col(OpenCall.id).in_(bindparam("calls", expanding=True))
    return delete(OpenCall).where(wanted).returning(*inspect(OpenCall).columns)


@prepared
def _find(column: str) -> Executable:
    return every(OpenCall).where(_column(OpenCall, column).in_(bindparam("values", expanding=True)))


@prepared
def _find_before(column: str) -> Executable:
    is_open = col(Call.status) == CallStatus.OPEN.value
    return every(Call).where(_column(Call, column).in_(bindparam("values", expanding=True)), is_open)


def _column(table: type[SQLModel], name: str) -> Any:
    return inspect(table).columns[name]
