"""The wire of the Job API (documents S0 and S1): what clients send and get."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from control_plane.schemas.base import Answer, Body, GivenMoment, Json, Moment, Text, Usd
from control_plane.schemas.chat import MAX_MESSAGES, ChatMessage, ChatParameters
from control_plane.schemas.credits import MAX_CREDITS
from control_plane.schemas.metadata import Metadata

JobType = Annotated[Text, Field(min_length=1, max_length=200)]
Label = Annotated[Text, Field(max_length=200)]


MaxCredits = Annotated[int, Field(strict=True, gt=0, le=MAX_CREDITS)]
OnCap = Annotated[
    Literal["refuse", "clamp"],
    Field(
        description="a call that does not fit into a cap or the credits: refuse it, or cut its max_tokens to what fits"
    ),
]


class CreateJob(Body):
    """Opens a job."""

    job_type: JobType
    team_id: str | None = Field(default=None, description="must be the key's team")
    user_id: Label | None = None
    metadata: Metadata | None = None
    model_group: Label | None = Field(default=None, description="what the job's calls use when they name none")
    ttl_seconds: Annotated[int, Field(gt=0, le=31 * 86_400)] | None = None
    max_credits: MaxCredits | None = Field(default=None, description="the most the job may be charged")
    max_cost_usd: Usd | None = Field(default=None, description="the most its calls may cost at the providers")
    on_cap: OnCap = "refuse"


class JobCreated(Answer):
    """A new job."""

    job_id: str
    status: str
    created_at: Moment
    team_id: str


class CallBody(ChatParameters):
    """One LLM call. `model_group` or `model` or neither: then the job's, key's or team's default group."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    model_group: Label | None = None
    model: Label | None = None
    purpose: Label | None = None
    call_metadata: Metadata | None = None


def _is_absent(value: object) -> bool:
    return value is None


class CallAnswer(Answer):
    """What the model said."""

    content: str | None
    role: Literal["assistant"]
    finish_reason: str
    tool_calls: Sequence[Json] | None = Field(exclude_if=_is_absent)
    native_finish_reason: str | None = Field(
        exclude_if=_is_absent, description="the provider's own word, where it is another"
    )
    refusal: str | None = Field(exclude_if=_is_absent, description="what the model says when it refuses")
    reasoning_content: str | None = Field(exclude_if=_is_absent, description="the model's reasoning")
    thinking_blocks: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="signed reasoning (Claude); send it back unchanged"
    )
    reasoning_details: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="OpenRouter's reasoning; send it back unchanged"
    )
    images: Sequence[Json] | None = Field(exclude_if=_is_absent, description="pictures, as `image_url` parts")
    annotations: Sequence[Json] | None = Field(exclude_if=_is_absent, description="sources, as `url_citation`")
    audio: Json | None = Field(exclude_if=_is_absent, description="sound in base64, and its transcript")


class UsageTotals(Answer):
    """Tokens by kind. The input is what is fresh, read from and written to the provider's cache, together; the output
    includes `reasoning_tokens`. Audio and image tokens are among them. `units`: pages or searches.
    """

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
    """What one call used, by kind."""

    service_tier: str | None = Field(description="the one served, where the provider names it")


class CallMetadata(Answer):
    """What the call took. `cost_usd` is what the provider charges."""

    tokens_used: int
    prompt_tokens: int
    completion_tokens: int
    usage: UsageView
    latency_ms: int
    model_group: str
    model: str
    cached: bool
    cost_usd: float
    unpriced: bool = Field(exclude_if=lambda unpriced: not unpriced, description="nobody knows the cost; it is not 0")


class CallResult(Answer):
    """A buffered call."""

    call_id: str
    response: CallAnswer
    metadata: CallMetadata


def _lower(given: object) -> object:
    return given.lower() if isinstance(given, str) else given  # older clients shout


class CompleteJob(Body):
    """Closes a job."""

    status: Annotated[Literal["completed", "failed", "cancelled"], BeforeValidator(_lower)]
    metadata: Metadata | None = None
    error_message: Annotated[Text, Field(max_length=10_000)] | None = None


class JobCosts(Answer):
    """What a job took, and what it was charged."""

    total_calls: int
    successful_calls: int
    failed_calls: int
    total_tokens: int
    usage: UsageTotals = Field(description="of the calls that are billed")
    total_cost_usd: float
    avg_latency_ms: int
    credit_applied: bool
    credits_charged: int
    credits_remaining: int


class CallSummary(Answer):
    """One call of a completed job."""

    call_id: str
    purpose: str | None
    model_group: str
    tokens: int
    latency_ms: int
    error: str | None


class JobCompleted(Answer):
    """The bill. A repetition gives the same."""

    job_id: str
    status: str
    completed_at: Moment
    costs: JobCosts
    calls: Sequence[CallSummary]


class JobView(Answer):
    """A job."""

    job_id: str
    team_id: str
    user_id: str | None
    job_type: str
    status: str
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    expires_at: Moment
    model_groups_used: Sequence[str]
    credit_applied: bool
    credits_charged: int
    credits_held: int
    max_credits: int | None
    max_cost_usd: float | None
    metadata: Json
    error_message: str | None


class MetadataPatch(Body):
    """Keys to add to or replace in the job's metadata."""

    metadata: Metadata


class MetadataView(Answer):
    """The job's metadata as it is now."""

    job_id: str
    metadata: Json
    updated_at: Moment


class SpendLogView(Answer):
    """What LiteLLM reported of one attempt."""

    status: str
    deployment: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    usage: UsageView
    cost_usd: float
    error: str | None


class ProviderErrorView(Answer):
    """What the provider reported as wrong, redacted. `text`, its message, is there only for administrators, and only
    with `CONTROL_PLANE_KEEP_PROVIDER_ERROR_TEXT`.
    """

    status: int
    code: str | None
    type: str | None
    param: str | None
    text: str | None = Field(exclude_if=lambda text: text is None)


class CallCost(Answer):
    """One call: our record, and beside it what LiteLLM reported, one entry per attempt."""

    call_id: str
    status: str
    purpose: str | None
    model_group: str
    model: str | None
    prompt_tokens: int
    completion_tokens: int
    usage: UsageView
    estimated: bool
    cached: bool
    unpriced: bool
    cost_usd: float
    price_usd: float
    latency_ms: int
    error: str | None
    provider_error: ProviderErrorView | None
    created_at: Moment
    spend_logs: Sequence[SpendLogView]


class CostBreakdown(Answer):
    """Costs of a job, call by call. A failed call's cost is shown but not part of the total."""

    total_cost_usd: float
    total_price_usd: float
    unbilled_cost_usd: float
    breakdown: Sequence[CallCost]


class JobCostsView(Answer):
    """Costs of a job."""

    job_id: str
    costs: CostBreakdown


class CreateAndCall(CallBody):
    """A job of one call: opened, called and completed in one request."""

    job_type: JobType
    team_id: str | None = None
    user_id: Label | None = None
    job_metadata: Metadata | None = None
    max_credits: MaxCredits | None = None
    max_cost_usd: Usd | None = None
    on_cap: OnCap = "refuse"


class CreateAndCallResult(Answer):
    """The answer and the bill of a one-call job."""

    job_id: str
    status: str
    response: CallAnswer
    metadata: CallMetadata
    costs: JobCosts
    completed_at: Moment


class JobQuery(BaseModel):
    """Which jobs to list."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before; better than a large offset")
    status: str | None = Field(default=None, description="a job status, in any case")
    job_type: Text | None = None
    user_id: Text | None = None
    created_from: GivenMoment | None = Field(default=None, description="inclusive")
    created_to: GivenMoment | None = Field(default=None, description="exclusive")


class JobList(Answer):
    """Jobs, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str
    jobs: Sequence[JobView]
    limit: int
    next_cursor: str | None


class UsageSummary(Answer):
    """What jobs of a month used."""

    total_jobs: int
    successful_jobs: int
    failed_jobs: int
    total_cost_usd: float
    total_price_usd: float
    total_tokens: int
    avg_cost_per_job: float


class TypeUsage(Answer):
    """What jobs of one type used."""

    jobs: int
    successful_jobs: int
    failed_jobs: int
    cost_usd: float
    price_usd: float
    tokens: int
    credits_charged: int


class PartUsage(Answer):
    """What the calls of a day, or of a model group, used; a call counts on the day its job was created."""

    calls: int
    tokens: int
    cost_usd: float
    price_usd: float


class TeamUsage(Answer):
    """Usage of a month."""

    team_id: str
    period: str
    summary: UsageSummary
    job_types: dict[str, TypeUsage]
    model_groups: dict[str, PartUsage]
    days: dict[str, PartUsage]
