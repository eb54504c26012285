"""Calls whose answer no client heard, since the server died with it. Asked for again, they are not paid twice. Pure."""

from dataclasses import replace

from control_plane.chat import ServedBy
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import CallLost
from control_plane.jobs.calls_store import fault_in, intent_of
from control_plane.jobs.models import Call
from control_plane.jobs.rules import CallStatus, Record
from control_plane.storage.usage_columns import usage_from
from control_plane.units import NanoUsd


def record_of(call: Call) -> Record:
    """How an ended call stands."""
    assert call.ended_at is not None, "an ended call says when"
    reason: FinishReason | None = call.finish_reason  # type: ignore[assignment]  # the column's values are these
    return Record(
        intent_of(call),
        CallStatus(call.status),
        usage_from(call, is_estimated=call.is_estimated),
        NanoUsd(call.cost_nano_usd),
        call.latency_ms,
        call.ended_at,
        served=None if call.deployment_id is None or call.model is None else ServedBy(call.deployment_id, call.model),
        first_chunk_ms=call.first_chunk_ms,
        finish_reason=reason,
        error_code=call.error_code,
        is_cached=call.is_cached,
        is_unpriced=call.is_unpriced,
        fault=fault_in(call),
    )


def taken_back(record: Record) -> Record | None:
    """How the call stands when it is asked for again; None: as before, since it counts nothing, or its client left it.

    One that succeeded has failed: its cost stays visible and is not billed. A lost one stays listed and counts nothing.
    """
    if record.status is CallStatus.SUCCEEDED:
        return replace(record, status=CallStatus.FAILED, error_code=CallLost.code)
    if record.status is CallStatus.LOST:
        return replace(record, usage=Usage(), cost=NanoUsd(0))
    return None
