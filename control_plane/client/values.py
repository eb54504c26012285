"""The client's return values: the responses of the Job API, as far as the client uses them.

They are the client's own, not the server's schemas, so that the client can be installed without the server;
`tests/client/test_package.py` compares the two. Fields that not every server sends have defaults, others of a newer
server are ignored.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .errors import InvalidResponse

Json = dict[str, Any]


class Value(BaseModel):
    """A response, or a part of one; it does not change."""

    model_config = ConfigDict(frozen=True)


class ChunkChoice(Value):
    """A piece of the answer: `delta` holds what is new."""

    index: int = 0
    delta: Json = {}
    finish_reason: str | None = None


class ChunkUsage(Value):
    """Tokens, in the last chunk."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatChunk(Value):
    """A chunk of a stream, in OpenAI's shape."""

    id: str
    model: str
    choices: Sequence[ChunkChoice]
    usage: ChunkUsage | None = None

    @property
    def text(self) -> str:
        """The text that is new. Raises: InvalidResponse for content that is none."""
        texts = [choice.delta.get("content") or "" for choice in self.choices]
        if not all(isinstance(text, str) for text in texts):
            raise InvalidResponse("a piece of the answer is no text; `choices` has it as it came")
        return "".join(texts)


class CallAnswer(Value):
    """The model's message; fields other than the text only where present."""

    content: str | None
    role: str
    finish_reason: str
    tool_calls: Sequence[Json] | None = None
    native_finish_reason: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: Sequence[Json] | None = None
    reasoning_details: Sequence[Json] | None = None
    images: Sequence[Json] | None = None
    annotations: Sequence[Json] | None = None
    audio: Json | None = None


class UsageTotals(Value):
    """Tokens by kind. The output includes `reasoning_tokens`; audio and image tokens are among the others."""

    input_fresh_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    image_input_tokens: int
    image_output_tokens: int
    units: int


class UsageView(UsageTotals):
    """Usage of one call, by kind."""

    service_tier: str | None = None


class CallMetadata(Value):
    """The call's usage and cost. `cost_usd` is what the provider charges; with `unpriced` it is unknown."""

    tokens_used: int
    prompt_tokens: int
    completion_tokens: int
    usage: UsageView | None = None
    latency_ms: int
    model_group: str
    model: str
    cached: bool
    cost_usd: float
    unpriced: bool = False


class ChatAnswer(Value):
    """One whole answer."""

    call_id: str
    response: CallAnswer
    metadata: CallMetadata


class JobCosts(Value):
    """Usage, cost and charge of a job."""

    total_calls: int
    successful_calls: int
    failed_calls: int
    total_tokens: int
    usage: UsageTotals | None = None
    total_cost_usd: float
    avg_latency_ms: int
    credit_applied: bool
    credits_charged: int
    credits_remaining: int


class CallSummary(Value):
    """One call of a completed job."""

    call_id: str
    purpose: str | None
    model_group: str
    tokens: int
    latency_ms: int
    error: str | None


class CompletedJob(Value):
    """The bill of a job."""

    job_id: str
    status: str
    completed_at: AwareDatetime
    costs: JobCosts
    calls: Sequence[CallSummary]

    @property
    def credits_remaining(self) -> int:
        """The team's remaining credits."""
        return self.costs.credits_remaining

    @property
    def credits_charged(self) -> int:
        """The job's charge."""
        return self.costs.credits_charged


class JobCreated(Value):
    """A new job."""

    job_id: str
    status: str
    created_at: AwareDatetime
    team_id: str


class JobView(Value):
    """A job."""

    job_id: str
    team_id: str
    user_id: str | None
    job_type: str
    status: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    expires_at: AwareDatetime
    model_groups_used: Sequence[str]
    credit_applied: bool
    credits_charged: int
    credits_held: int
    max_credits: int | None = None
    max_cost_usd: float | None = None
    metadata: Json
    error_message: str | None
