"""The states of jobs and calls, and the consequences of a call's outcome. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from control_plane.chat import ServedBy, UsageEstimate
from control_plane.completion.events import ProviderFault
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import DatabaseUnavailable, Unprocessable
from control_plane.ids import CallId, JobId, TeamId
from control_plane.schemas.metadata import MAX_METADATA_BYTES
from control_plane.units import NanoUsd, marked_up


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


def is_delivered(status: CallStatus, first_chunk_ms: int | None) -> bool:
    """Whether a call delivered content to the client: it ended, or was broken off after its first chunk."""
    return status is CallStatus.SUCCEEDED or (status is CallStatus.CANCELLED and first_chunk_ms is not None)


def is_billable(status: CallStatus, first_chunk_ms: int | None) -> bool:
    """Whether an ended call counts towards the bill: not when it failed, or ended before its first chunk.

    A client without a response pays nothing, so that a retry is always safe; the cost stays visible on the call (D12).
    A lost call counts with what the policy for lost calls left of it (D24).
    """
    return is_delivered(status, first_chunk_ms) or status is CallStatus.LOST


@dataclass(frozen=True, slots=True)
class Reserved:
    """A job's reserve for an open call: its worst case. Cost in nano-USD, without the markup."""

    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be made. Durable before the provider is called (D4).

    `markup_bps` is the model group's, or None: then the job's plan decides. The job that admits the call fills in what
    is left open: the markup, a demand cut to what fits, what is reserved, and what is at risk while it runs (`worst`,
    nano-USD). `is_resumed`: its id follows from the request, which another server may be serving, too.
    """

    call_id: CallId
    job_id: JobId
    team_id: TeamId
    model_group: str
    is_stream: bool
    purpose: str | None
    metadata: dict[str, Any]
    created_at: datetime
    demand: UsageEstimate = UsageEstimate()  # noqa: RUF009 - frozen, so sharing it is safe
    markup_bps: int | None = None
    reserved: Reserved = Reserved()
    worst: int = 0
    is_resumed: bool = False

    @property
    def markup(self) -> int:
        """In basis points, once the job has let the call in."""
        return self.markup_bps or 0


@dataclass(frozen=True, slots=True)
class Record:
    """How a call ended: what was observed and stored, and what is billed (D3). `cost` is what the provider charges.

    `is_unpriced`: the cost is unknown; it is 0 then. `fault`: the provider's error report. `may_be_written`: a rewrite,
    because the outcome of the first write is unknown.
    """

    intent: Intent
    status: CallStatus
    usage: Usage
    cost: NanoUsd
    latency_ms: int
    ended_at: datetime
    served: ServedBy | None = None
    first_chunk_ms: int | None = None
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    is_cached: bool = False
    is_unpriced: bool = False
    fault: ProviderFault | None = None
    may_be_written: bool = False

    @property
    def price(self) -> NanoUsd:
        """The cost with the markup."""
        return marked_up(self.cost, self.intent.markup)

    @property
    def is_delivered(self) -> bool:
        """Whether it delivered content to the client."""
        return is_delivered(self.status, self.first_chunk_ms)

    @property
    def is_billable(self) -> bool:
        """Whether its tokens and cost count towards the bill."""
        return is_billable(self.status, self.first_chunk_ms)

    def to_be_kept(self) -> Self:
        """The record of a call whose client gets 503 because the database is away, to be written later.

        A buffered answer was never delivered, so the call failed and costs nothing: the client will retry. The chunks
        of a stream were delivered.
        """
        if self.intent.is_stream or self.status is not CallStatus.SUCCEEDED:
            return self
        return replace(self, status=CallStatus.FAILED, error_code=DatabaseUnavailable.code)


def counted(record: Record) -> dict[str, Any]:
    """An ended call's numbers for the metrics."""
    return {
        "status": record.status.value,
        "model_group": record.intent.model_group,
        "cost": record.cost,
        "price": record.price,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "is_billable": record.is_billable,
        "is_unpriced": record.is_unpriced,
    }


def not_made(intent: Intent, now: datetime) -> Record:
    """The record of a call that was not made, because the database broke off while its intent was written."""
    return Record(intent, CallStatus.FAILED, Usage(), NanoUsd(0), 0, now, error_code=DatabaseUnavailable.code)


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of finished calls for their job and its day's usage. `cost` and `price` of what is billable,
    `unbilled` the cost of the rest; `reserved_*` is free again.
    """

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    delivered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    price: int = 0
    unbilled: int = 0
    latency_ms: int = 0
    reserved_tokens: int = 0
    reserved_cost: int = 0
    reserved_price: int = 0

    def plus(self, record: Record) -> "Totals":
        """These totals and one more call."""
        billable = record.usage if record.is_billable else Usage()
        reserved = record.intent.reserved
        return Totals(
            calls=self.calls + 1,
            succeeded=self.succeeded + (record.status is CallStatus.SUCCEEDED),
            failed=self.failed + (record.status is not CallStatus.SUCCEEDED),
            delivered=self.delivered + record.is_delivered,
            prompt_tokens=self.prompt_tokens + billable.prompt_tokens,
            completion_tokens=self.completion_tokens + billable.completion_tokens,
            cost=self.cost + (record.cost if record.is_billable else 0),
            price=self.price + (record.price if record.is_billable else 0),
            unbilled=self.unbilled + (0 if record.is_billable else record.cost),
            latency_ms=self.latency_ms + record.latency_ms,
            reserved_tokens=self.reserved_tokens + reserved.tokens,
            reserved_cost=self.reserved_cost + reserved.cost,
            reserved_price=self.reserved_price + marked_up(reserved.cost, record.intent.markup),
        )


def change_of(before: Record, after: Record) -> Totals:
    """The change of totals when an ended call changes."""
    was, stands = Totals().plus(before), Totals().plus(after)
    return Totals(**{each.name: getattr(stands, each.name) - getattr(was, each.name) for each in fields(Totals)})


def merged_metadata(stored: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The job's metadata with top-level keys added or replaced. Raises: Unprocessable over 10 KB of JSON."""
    merged = {**stored, **added}
    if len(json.dumps(merged, ensure_ascii=False).encode("utf-8", "replace")) > MAX_METADATA_BYTES:
        raise Unprocessable(f"metadata is larger than {MAX_METADATA_BYTES} bytes of JSON.")
    return merged
