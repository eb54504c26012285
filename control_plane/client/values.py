"""What the client returns beside the answers of the wire."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from control_plane.schemas.base import Json
from control_plane.schemas.jobs import (
    CallAnswer,
    CallMetadata,
    CallResult,
    JobCompleted,
    JobCosts,
    UsageTotals,
    UsageView,
)


class ChunkChoice(BaseModel):
    """A piece of the answer: `delta` holds what is new."""

    index: int = 0
    delta: dict[str, Any] = {}
    finish_reason: str | None = None


class ChunkUsage(BaseModel):
    """Tokens, in the last chunk."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatChunk(BaseModel):
    """A chunk of a stream, in OpenAI's shape."""

    id: str
    model: str
    choices: list[ChunkChoice]
    usage: ChunkUsage | None = None

    @property
    def text(self) -> str:
        """The text that is new."""
        return "".join(choice.delta.get("content") or "" for choice in self.choices)


class SaidAnswer(CallAnswer):
    """What the model said; all but the text only where it is there."""

    tool_calls: Sequence[Json] | None = None
    native_finish_reason: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: Sequence[Json] | None = None
    reasoning_details: Sequence[Json] | None = None
    images: Sequence[Json] | None = None
    annotations: Sequence[Json] | None = None
    audio: Json | None = None


class SaidMetadata(CallMetadata):
    """What the call took."""

    unpriced: bool = False
    usage: UsageView | None = None  # type: ignore[assignment]  # servers of before name no kinds


class BillOfJob(JobCosts):
    """What a job took, and what it was charged."""

    usage: UsageTotals | None = None  # type: ignore[assignment]  # as above


class ChatAnswer(CallResult):
    """One whole answer."""

    response: SaidAnswer
    metadata: SaidMetadata


class CompletedJob(JobCompleted):
    """The bill of a job."""

    costs: BillOfJob

    @property
    def credits_remaining(self) -> int:
        """What the team has left."""
        return self.costs.credits_remaining

    @property
    def credits_charged(self) -> int:
        """What the job was charged."""
        return self.costs.credits_charged
