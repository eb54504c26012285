"""The words that doors, calls and the gateway share when they speak about one chat completion.

What a provider or LiteLLM says is put into these words in `gateway/`; what a client says, in `api/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from control_plane.ids import CallId, JobId, TeamId
from control_plane.units import NanoUsd, divide_up

MILLION = 1_000_000

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]

Message = Mapping[str, Any]
"""One message in OpenAI's shape, its fields already checked by a door."""

CHAT_PARAMETERS = frozenset(
    {
        "temperature",
        "max_tokens",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "seed",
    }
)
"""Every parameter a client may set on a chat call. LiteLLM trusts whatever it is given (an `api_base` would send our
provider key to the caller), so nothing outside this list ever reaches it."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the client asks of the model. `parameters` holds only names of CHAT_PARAMETERS."""

    messages: Sequence[Message]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = self.parameters.keys() - CHAT_PARAMETERS
        if strangers:
            raise ValueError(f"not chat parameters: {sorted(strangers)}")


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call on its way to the gateway: `models` are tried in order, each a `model_name` of the YAML's `model_list`."""

    call_id: CallId
    job_id: JobId
    team_id: TeamId
    models: Sequence[str]
    request: ChatRequest


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `is_estimated`: counted by us, because the provider did not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Rate:
    """What a model charges at most, in nano-USD for a million tokens each way, and how long its answers can get.

    `is_known`: false when nobody says what a token costs; the prices are 0 then.
    """

    input: int = 0
    output: int = 0
    max_output_tokens: int = 0
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call may use at most: what is held for it before it is made.

    `prompt_tokens` is counted generously, `likely_prompt_tokens` as prompts usually turn out. `max_tokens`: of the answer.
    """

    prompt_tokens: int = 0
    likely_prompt_tokens: int = 0
    max_tokens: int = 0
    rate: Rate = Rate()

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.max_tokens

    @property
    def cost(self) -> NanoUsd:
        """What all of it would cost."""
        return _cost(self.rate, self.prompt_tokens, self.max_tokens)

    @property
    def likely_prompt_cost(self) -> NanoUsd:
        """What the prompt alone usually costs: all that is known of a call that was lost."""
        return _cost(self.rate, self.likely_prompt_tokens, 0)


def _cost(rate: Rate, prompt_tokens: int, completion_tokens: int) -> NanoUsd:
    return NanoUsd(divide_up(prompt_tokens * rate.input + completion_tokens * rate.output, MILLION))


@dataclass(frozen=True, slots=True)
class Served:
    """Who answered: the deployment's id in the YAML and the provider's name of its model (`gpt-4-turbo`)."""

    deployment_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `cost` is what the provider charges, as LiteLLM prices it; a cached answer costs 0.

    None: nobody knows the price.
    """

    content: str | None
    tool_calls: Sequence[Mapping[str, Any]]
    finish_reason: FinishReason
    usage: Usage
    cost: NanoUsd | None
    served: Served
    is_cached: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer: `delta` in OpenAI's shape (role, content, tool_calls), never empty before the end.

    The chunk with a `finish_reason` is the last one and has an empty delta.
    """

    delta: Mapping[str, Any]
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What LiteLLM's callback said about one attempt at one deployment: a row of its spend log, in its words.

    `request_id` is the provider's response id on success, our call id on failure, and not unique by itself.
    """

    call_id: CallId
    request_id: str
    status: Literal["success", "failure"]
    model: str
    model_group: str
    deployment_id: str
    provider: str
    cost: NanoUsd
    prompt_tokens: int
    completion_tokens: int
    started_at: datetime
    ended_at: datetime
    is_cached: bool
    error_class: str | None
