"""The states of jobs and calls, and what follows from a call's outcome. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from control_plane.chat import FinishReason, Served, Usage
from control_plane.errors import DatabaseUnavailable, Unprocessable
from control_plane.ids import CallId, JobId, TeamId
from control_plane.schemas.metadata import MAX_METADATA_BYTES
from control_plane.units import NanoUsd


class JobStatus(StrEnum):
    """`pending` → `in_progress` (first call) → one of the others, for good."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN_JOB = frozenset({JobStatus.PENDING, JobStatus.IN_PROGRESS})
"""Jobs that take calls and can be completed; all others refuse both."""


class CallStatus(StrEnum):
    """`open` → one of the others, for good."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """The client left or the server stopped; billed on what was delivered (D12)."""
    LOST = "lost"
    """The process died after the provider may have been reached; always listed, never hidden."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be made. Durable before the provider hears of it (D4)."""

    call_id: CallId
    job_id: JobId
    team_id: TeamId
    model_group: str
    is_stream: bool
    purpose: str | None
    metadata: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """How a call ended: what we saw and keep, and what is billed (D3). `cost` is what the provider charges."""

    intent: Intent
    status: CallStatus
    usage: Usage
    cost: NanoUsd
    latency_ms: int
    ended_at: datetime
    served: Served | None = None
    first_chunk_ms: int | None = None
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    is_cached: bool = False

    @property
    def is_billable(self) -> bool:
        """Whether its tokens and cost count towards the bill: not when it failed, or ended before its first piece.

        Who got nothing pays nothing, so that asking again is always safe; the cost stays visible on the call (D12).
        """
        is_begun = self.status is CallStatus.CANCELLED and self.first_chunk_ms is not None
        return self.status is CallStatus.SUCCEEDED or is_begun

    def to_be_kept(self) -> Self:
        """The record of a call whose client is told 503 because the database is away, to be written later.

        A buffered answer was never delivered, so the call failed and costs nothing: the client will ask again. The
        pieces of a stream were delivered.
        """
        if self.intent.is_stream or self.status is not CallStatus.SUCCEEDED:
            return self
        return replace(self, status=CallStatus.FAILED, error_code=DatabaseUnavailable.code)


@dataclass(frozen=True, slots=True)
class Totals:
    """What finished calls add to their job."""

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    latency_ms: int = 0

    def plus(self, record: Record) -> "Totals":
        """These totals and one more call."""
        billable = record.usage if record.is_billable else Usage()
        return Totals(
            calls=self.calls + 1,
            succeeded=self.succeeded + (record.status is CallStatus.SUCCEEDED),
            failed=self.failed + (record.status is not CallStatus.SUCCEEDED),
            prompt_tokens=self.prompt_tokens + billable.prompt_tokens,
            completion_tokens=self.completion_tokens + billable.completion_tokens,
            cost=self.cost + (record.cost if record.is_billable else 0),
            latency_ms=self.latency_ms + record.latency_ms,
        )


def merged_metadata(kept: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The job's metadata with top-level keys added or replaced. Raises: Unprocessable over 10 KB of JSON."""
    merged = {**kept, **added}
    if len(json.dumps(merged, ensure_ascii=False).encode("utf-8", "replace")) > MAX_METADATA_BYTES:
        raise Unprocessable(f"metadata is larger than {MAX_METADATA_BYTES} bytes of JSON.")
    return merged
