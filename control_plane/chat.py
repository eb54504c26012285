"""The words that doors, calls and the gateway share when they speak about one chat completion.

What a provider or LiteLLM says is put into these words in `gateway/`; what a client says, in `api/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from control_plane.ids import CallId, JobId, TeamId
from control_plane.units import NanoUsd

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
class Served:
    """Who answered: the deployment's id in the YAML and the provider's name of its model (`gpt-4-turbo`)."""

    deployment_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `cost` is what the provider charges, as LiteLLM prices it; a cached answer costs 0."""

    content: str | None
    tool_calls: Sequence[Mapping[str, Any]]
    finish_reason: FinishReason
    usage: Usage
    cost: NanoUsd
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
