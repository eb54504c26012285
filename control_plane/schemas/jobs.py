"""Request and response models of the Job API (documents S0 and S1)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from control_plane.schemas.base import Answer, Body, GivenMoment, Json, Label, Moment, Text, Usd
from control_plane.schemas.chat import MAX_MESSAGES, ChatMessage, ChatParameters
from control_plane.schemas.credits import MAX_CREDITS
from control_plane.schemas.metadata import Metadata

JobType = Annotated[Text, Field(min_length=1, max_length=200)]

MaxCredits = Annotated[int, Field(strict=True, gt=0, le=MAX_CREDITS)]
OnCap = Annotated[
    Literal["refuse", "clamp"],
    Field(description="for a call beyond a cap or the credits: reject it, or reduce its max_tokens"),
]


class CreateJob(Body):
    """Opens a job."""

    job_type: JobType = Field(description="kind of work, named by the app: usage and prices are by job type")
    team_id: str | None = Field(default=None, description="must be the key's team")
    user_id: Label | None = Field(default=None, description="the app's id of its end user, for usage by user")
    metadata: Metadata | None = Field(
        default=None, description="the app's JSON object, returned unchanged; at most 10 KB"
    )
    model_group: Label | None = Field(default=None, description="default model group of the job's calls")
    ttl_seconds: Annotated[int, Field(gt=0, le=31 * 86_400)] | None = Field(
        default=None,
        description="seconds after which the open job expires; default: the server's `CONTROL_PLANE_JOB_TTL_S`; at most 31 days",
    )
    max_credits: MaxCredits | None = Field(default=None, description="the most credits of the job")
    max_cost_usd: Usd | None = Field(default=None, description="the most provider cost of its calls")
    on_cap: OnCap = "refuse"


class JobCreated(Answer):
    """A new job."""

    job_id: str = Field(description="id of the job")
    status: str = Field(description="`pending`")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")
    team_id: str = Field(description="id of the team")


class CallBody(ChatParameters):
    """One LLM call. `model_group` or `model` or neither: then the job's, key's or team's default group."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    model_group: Label | None = Field(
        default=None,
        description="model group to call; default: `model`, else the default of the job, key or team, else the team's only group",
    )
    model: Label | None = Field(
        default=None, description="a model (or another name of a model group) instead of `model_group`"
    )
    purpose: Label | None = Field(
        default=None, description="purpose of the call, named by the app; shown in the job's bill and costs"
    )
    call_metadata: Metadata | None = Field(
        default=None, description="the app's JSON object, stored with the call; at most 10 KB"
    )


def _is_absent(value: object) -> bool:
    return value is None


class CallAnswer(Answer):
    """The model's answer."""

    content: str | None = Field(description="the text of the answer; null beside tool calls without text")
    role: Literal["assistant"] = Field(description="`assistant`")
    finish_reason: str = Field(
        description="why the answer ended: `stop`, `length` (the token limit), `content_filter`, `tool_calls`"
    )
    tool_calls: Sequence[Json] | None = Field(
        exclude_if=_is_absent,
        description="tools the model calls; run them and send the results back as `tool` messages",
    )
    native_finish_reason: str | None = Field(
        exclude_if=_is_absent, description="the provider's own reason, if different"
    )
    refusal: str | None = Field(exclude_if=_is_absent, description="the model's refusal")
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

    input_fresh_tokens: int = Field(
        description="input tokens that the provider read at the full price: neither read from nor written to its cache"
    )
    cache_read_tokens: int = Field(description="input tokens read from the provider's cache")
    cache_write_5m_tokens: int = Field(description="input tokens written to the provider's cache for 5 minutes")
    cache_write_1h_tokens: int = Field(description="input tokens written to the provider's cache for 1 hour")
    output_tokens: int = Field(description="output tokens, reasoning included")
    reasoning_tokens: int = Field(description="output tokens that are reasoning")
    audio_input_tokens: int = Field(description="input tokens that are sound")
    audio_output_tokens: int = Field(description="output tokens that are sound")
    image_input_tokens: int = Field(description="input tokens that are images")
    image_output_tokens: int = Field(description="output tokens that are images")
    units: int = Field(description="what is billed by number instead of by token: pages read or searches made")


class UsageView(UsageTotals):
    """Usage of one call, by kind."""

    service_tier: str | None = Field(description="the one served, where the provider names it")


class CallMetadata(Answer):
    """The call's usage and cost. `cost_usd` is what the provider charges."""

    tokens_used: int = Field(description="input and output tokens together")
    prompt_tokens: int = Field(description="tokens of the input")
    completion_tokens: int = Field(description="tokens of the output")
    usage: UsageView = Field(description="tokens by kind")
    latency_ms: int = Field(description="from the request to the end of the answer, in milliseconds")
    model_group: str = Field(description="model group that was called")
    model: str = Field(description="model that answered")
    cached: bool = Field(description="whether the answer came from the response cache")
    cost_usd: float = Field(description="what the provider charges, in US dollars")
    unpriced: bool = Field(
        exclude_if=lambda unpriced: not unpriced, description="whether the cost is unknown; it is not 0"
    )


class CallResult(Answer):
    """A buffered call."""

    call_id: str = Field(description="id of the call")
    response: CallAnswer = Field(description="the model's answer")
    metadata: CallMetadata = Field(description="the call's usage and cost")


def _lower(given: object) -> object:
    return given.lower() if isinstance(given, str) else given  # older clients shout


class CompleteJob(Body):
    """Closes a job."""

    status: Annotated[Literal["completed", "failed", "cancelled"], BeforeValidator(_lower)] = Field(
        description="how the job ended: only `completed` costs credits"
    )
    metadata: Metadata | None = Field(
        default=None, description="keys to add to or replace in the job's metadata; at most 10 KB altogether"
    )
    error_message: Annotated[Text, Field(max_length=10_000)] | None = Field(
        default=None, description="the app's reason for the failure; at most 10,000 characters"
    )


class JobCosts(Answer):
    """Usage, cost and charge of a job."""

    total_calls: int = Field(description="calls of the job")
    successful_calls: int = Field(description="calls that were answered")
    failed_calls: int = Field(description="calls that failed; they cost nothing")
    total_tokens: int = Field(description="tokens of all calls of the job")
    usage: UsageTotals = Field(description="of the calls that are billed")
    total_cost_usd: float = Field(description="what the providers charge for all calls that are billed, in US dollars")
    avg_latency_ms: int = Field(description="average latency of the job's calls, in milliseconds")
    credit_applied: bool = Field(description="whether the job was charged credits")
    credits_charged: int = Field(description="credits the job was charged")
    credits_remaining: int = Field(description="credits the team has left: available and held")


class CallSummary(Answer):
    """One call of a completed job."""

    call_id: str = Field(description="id of the call")
    purpose: str | None = Field(description="purpose of the call, named by the app; shown in the job's bill and costs")
    model_group: str = Field(description="model group that was called")
    tokens: int = Field(description="input and output tokens together")
    latency_ms: int = Field(description="from the request to the end of the answer, in milliseconds")
    error: str | None = Field(description="code of the error that the call ended with; null: it succeeded")


class JobCompleted(Answer):
    """The bill. A repetition returns the same."""

    job_id: str = Field(description="id of the job")
    status: str = Field(description="how the job ended: `completed`, `failed`, `cancelled` or `expired`")
    completed_at: Moment = Field(description="when the job was completed (RFC 3339, UTC)")
    costs: JobCosts = Field(description="usage, cost and charge of the job")
    calls: Sequence[CallSummary] = Field(description="the job's calls, oldest first")


class JobView(Answer):
    """A job."""

    job_id: str = Field(description="id of the job")
    team_id: str = Field(description="id of the team")
    user_id: str | None = Field(description="the app's own id of its end user")
    job_type: str = Field(description="kind of work, named by the app: usage and prices are by job type")
    status: str = Field(description="`pending`, `in_progress`, `completed`, `failed`, `cancelled` or `expired`")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")
    started_at: Moment | None = Field(description="when the job's first call began (RFC 3339, UTC); null before")
    completed_at: Moment | None = Field(description="when the job ended (RFC 3339, UTC); null: it is open")
    expires_at: Moment = Field(description="when the job expires if it is not completed (RFC 3339, UTC)")
    model_groups_used: Sequence[str] = Field(description="model groups that the job's calls used")
    credit_applied: bool = Field(description="whether the job was charged credits")
    credits_charged: int = Field(description="credits the job was charged; 0 while it is open")
    credits_held: int = Field(description="credits held for the job while it is open")
    max_credits: int | None = Field(description="the most credits of the job; null: no cap")
    max_cost_usd: float | None = Field(
        description="the most provider cost of the job's calls, in US dollars; null: no cap"
    )
    metadata: Json = Field(description="the app's JSON object, returned unchanged; at most 10 KB")
    error_message: str | None = Field(description="why the job failed; null: no reason was given")


class MetadataPatch(Body):
    """Keys to add to or replace in the job's metadata."""

    metadata: Metadata = Field(
        description="keys to add or replace; a null value is kept as null; at most 10 KB altogether"
    )


class MetadataView(Answer):
    """The job's metadata as it is now."""

    job_id: str = Field(description="id of the job")
    metadata: Json = Field(description="the job's whole metadata")
    updated_at: Moment = Field(description="when this change was made (RFC 3339, UTC)")


class SpendLogView(Answer):
    """LiteLLM's report of one attempt."""

    status: str = Field(description="`success` or `failure`")
    deployment: str = Field(description="id of the deployment that was tried")
    model: str = Field(description="model that was tried")
    prompt_tokens: int = Field(description="tokens of the input")
    completion_tokens: int = Field(description="tokens of the output")
    usage: UsageView = Field(description="tokens by kind")
    cost_usd: float = Field(description="what the provider charges, in US dollars")
    error: str | None = Field(description="code of the error that the attempt ended with; null: it succeeded")


class ProviderErrorView(Answer):
    """The error that the provider reported, redacted. `text`, its message, is present only for administrators, and only
    with `CONTROL_PLANE_KEEP_PROVIDER_ERROR_TEXT`.
    """

    status: int = Field(description="HTTP status of the provider's answer")
    code: str | None = Field(description="the provider's code of the error")
    type: str | None = Field(description="the provider's type of the error")
    param: str | None = Field(description="the request's field that the provider rejected")
    text: str | None = Field(exclude_if=lambda text: text is None, description="the provider's message, redacted")


class CallCost(Answer):
    """One call: our record, and beside it what LiteLLM reported, one entry per attempt."""

    call_id: str = Field(description="id of the call")
    status: str = Field(
        description="`open`, `succeeded`, `failed`, `cancelled` (the client left) or `lost` (the server died)"
    )
    purpose: str | None = Field(description="purpose of the call, named by the app; shown in the job's bill and costs")
    model_group: str = Field(description="model group that was called")
    model: str | None = Field(description="model that answered; null: none did")
    prompt_tokens: int = Field(description="tokens of the input")
    completion_tokens: int = Field(description="tokens of the output")
    usage: UsageView = Field(description="tokens by kind")
    estimated: bool = Field(description="whether the tokens were estimated, since the provider did not report them")
    cached: bool = Field(description="whether the answer came from the response cache")
    unpriced: bool = Field(description="whether the cost is unknown, since the model has no price")
    cost_usd: float = Field(description="what the provider charges, in US dollars")
    price_usd: float = Field(description="the cost with the team's markup, in US dollars")
    latency_ms: int = Field(description="from the request to the end of the answer, in milliseconds")
    error: str | None = Field(description="code of the error that the call ended with; null: it succeeded")
    provider_error: ProviderErrorView | None = Field(description="the error that the provider reported; null: none")
    created_at: Moment = Field(description="when the call began (RFC 3339, UTC)")
    spend_logs: Sequence[SpendLogView] = Field(description="what LiteLLM reported, one entry for each attempt")


class CostBreakdown(Answer):
    """Costs of a job, call by call. A failed call's cost is shown but not part of the total."""

    total_cost_usd: float = Field(description="what the providers charge for all calls that are billed, in US dollars")
    total_price_usd: float = Field(description="the total cost with the team's markup, in US dollars")
    unbilled_cost_usd: float = Field(
        description="what the providers charge for calls that are not billed (failed ones), in US dollars"
    )
    breakdown: Sequence[CallCost] = Field(description="the job's calls, oldest first")


class JobCostsView(Answer):
    """Costs of a job."""

    job_id: str = Field(description="id of the job")
    costs: CostBreakdown = Field(description="the costs, in sum and by call")


class CreateAndCall(CallBody):
    """A job of one call: opened, called and completed in one request."""

    job_type: JobType = Field(description="kind of work, named by the app: usage and prices are by job type")
    team_id: str | None = Field(default=None, description="id of the team; must be the key's own")
    user_id: Label | None = Field(default=None, description="the app's id of its end user, for usage by user")
    job_metadata: Metadata | None = Field(
        default=None, description="the app's JSON object, stored with the job; at most 10 KB"
    )
    max_credits: MaxCredits | None = Field(default=None, description="the most credits of the job; null: no cap")
    max_cost_usd: Usd | None = Field(
        default=None, description="the most provider cost of the job's calls, in US dollars; null: no cap"
    )
    on_cap: OnCap = "refuse"


class CreateAndCallResult(Answer):
    """The answer and the bill of a one-call job."""

    job_id: str = Field(description="id of the job")
    status: str = Field(description="`completed`")
    response: CallAnswer = Field(description="the model's answer")
    metadata: CallMetadata = Field(description="the call's usage and cost")
    costs: JobCosts = Field(description="usage, cost and charge of the job")
    completed_at: Moment = Field(description="when the job was completed (RFC 3339, UTC)")


class JobQuery(BaseModel):
    """Which jobs to list."""

    limit: Annotated[int, Field(ge=1, le=1000)] = Field(default=50, description="jobs per page, 1 to 1,000")
    offset: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0, description="jobs to skip; prefer `cursor` for more than a few pages"
    )
    cursor: str | None = Field(
        default=None, description="`next_cursor` of the previous page; faster than a large offset"
    )
    status: str | None = Field(
        default=None,
        description="only jobs in this state: `pending`, `in_progress`, `completed`, `failed`, `cancelled`, `expired`",
    )
    job_type: Text | None = Field(default=None, description="only jobs of this type")
    user_id: Text | None = Field(default=None, description="only jobs of this end user")
    created_from: GivenMoment | None = Field(
        default=None, description="only jobs created at or after this time (RFC 3339, with a time zone)"
    )
    created_to: GivenMoment | None = Field(
        default=None, description="only jobs created before this time (RFC 3339, with a time zone)"
    )


class JobList(Answer):
    """Jobs, newest first. `next_cursor` leads to the next page; null on the last."""

    team_id: str = Field(description="id of the team")
    jobs: Sequence[JobView] = Field(description="the jobs, newest first")
    limit: int = Field(description="entries per page at most")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class UsageSummary(Answer):
    """Usage of a month's jobs."""

    total_jobs: int = Field(description="jobs created in the month")
    successful_jobs: int = Field(description="jobs completed as `completed`")
    failed_jobs: int = Field(description="jobs completed as `failed`")
    total_cost_usd: float = Field(description="what the providers charge for all calls that are billed, in US dollars")
    total_price_usd: float = Field(description="the total cost with the team's markup, in US dollars")
    total_tokens: int = Field(description="tokens of all calls")
    avg_cost_per_job: float = Field(description="`total_cost_usd` divided by `total_jobs`, in US dollars")


class TypeUsage(Answer):
    """Usage of jobs of one type."""

    jobs: int = Field(description="jobs of this type that were created in the month")
    successful_jobs: int = Field(description="jobs completed as `completed`")
    failed_jobs: int = Field(description="jobs completed as `failed`")
    cost_usd: float = Field(description="what the provider charges, in US dollars")
    price_usd: float = Field(description="the cost with the team's markup, in US dollars")
    tokens: int = Field(description="input and output tokens together")
    credits_charged: int = Field(description="credits that jobs of this type were charged")


class PartUsage(Answer):
    """Usage of the calls of a day, or of a model group; a call counts on the day its job was created."""

    calls: int = Field(description="calls made")
    tokens: int = Field(description="input and output tokens together")
    cost_usd: float = Field(description="what the provider charges, in US dollars")
    price_usd: float = Field(description="the cost with the team's markup, in US dollars")


class TeamUsage(Answer):
    """Usage of a month."""

    team_id: str = Field(description="id of the team")
    period: str = Field(description="the month, in UTC (YYYY-MM)")
    summary: UsageSummary = Field(description="usage of all job types together")
    job_types: dict[str, TypeUsage] = Field(description="usage by job type")
    model_groups: dict[str, PartUsage] = Field(description="usage by model group")
    days: dict[str, PartUsage] = Field(description="usage by day (YYYY-MM-DD, UTC) that the call's job was created on")
