"""Types of one call that entry points, calls and the gateway share: a chat completion, or one of the endpoints with a
single response.

`gateway/` converts what a provider or LiteLLM sends to these types; `api/` what a client sends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from control_plane.completion.events import Content
from control_plane.completion.finish import Finish
from control_plane.completion.fold import Message as CompletionMessage
from control_plane.completion.fold import fold
from control_plane.completion.usage import Usage
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.units import NanoUsd, divide_up

MILLION = 1_000_000

Lane = Literal["litellm", "relay"]
"""A deployment's lane: through LiteLLM's own code, or relayed."""

Message = Mapping[str, Any]
"""One message in OpenAI's shape, its fields already checked by an entry point."""

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
        "parallel_tool_calls",
        "response_format",
        "seed",
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "reasoning_effort",
        "verbosity",
        "modalities",
        "audio",
        "prediction",
        "thinking",
        "service_tier",
    }
)
"""Every parameter a client may set on a chat call. LiteLLM trusts whatever it is given (an `api_base` would send our
provider key to the caller), so nothing outside this list ever reaches it."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The client's request to the model. `parameters` holds only names of CHAT_PARAMETERS."""

    messages: Sequence[Message]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = self.parameters.keys() - CHAT_PARAMETERS
        if strangers:
            raise ValueError(f"not chat parameters: {sorted(strangers)}")


Endpoint = Literal["embeddings", "rerank", "moderations", "ocr"]
"""Endpoints with a single response, beside chat completions."""


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """The client's request to an endpoint with a single response. `arguments` are LiteLLM's, each checked by an entry
    point.

    `texts`: the parts that cost tokens. `units`: what is priced besides tokens: pages, searches.
    """

    endpoint: Endpoint
    arguments: Mapping[str, Any]
    texts: Sequence[str] = ()
    units: int = 0


ModelRequest = ChatRequest | EndpointRequest


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call on its way to the gateway: `models` are tried in order, each a `model_name` of the YAML's `model_list`."""

    call_id: CallId
    job_id: JobId
    team_id: TeamId
    models: Sequence[str]
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class Rate:
    """What a model charges at most, in nano-USD: for a million tokens each way, of the dearest kind, and for a unit of
    anything else it counts (a page, a search); and how long its answers can get.

    `is_known`: false without a known token price; the prices are 0 then. `expected_input`: for a million tokens of plain
    text; None: as `input`. `call`, `file`: for a call and for each file in it, in addition to tokens. `answers`: the
    number of answers where the request sets none. `tiers`: the prices at service tiers that are priced apart.
    """

    input: int = 0
    output: int = 0
    unit: int = 0
    max_output_tokens: int = 0
    is_known: bool = True
    expected_input: int | None = None
    call: int = 0
    file: int = 0
    answers: int = 1
    tiers: Mapping[str, "Rate"] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class UsageEstimate:
    """The most that a call may use, which is held before it is made.

    `prompt_tokens` is counted generously, `expected_prompt_tokens` as prompts usually turn out. `max_tokens`: of each of
    the requested `answers`. `extra_tokens`: of output that each answer may be charged for beyond them. `units`: pages
    or searches. `files`: pictures, sounds and documents. `text_bytes`: of everything that is sent but the files' data.
    """

    prompt_tokens: int = 0
    expected_prompt_tokens: int = 0
    max_tokens: int = 0
    rate: Rate = Rate()
    answers: int = 1
    units: int = 0
    extra_tokens: int = 0
    files: int = 0
    text_bytes: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and answers together."""
        return self.prompt_tokens + self._answer_tokens

    @property
    def cost(self) -> NanoUsd:
        """The cost of all of it."""
        tokens = self.prompt_tokens * self.rate.input + self._answer_tokens * self.rate.output
        beside = self.units * self.rate.unit + self.rate.call + self.files * self.rate.file
        return NanoUsd(divide_up(tokens, MILLION) + beside)

    @property
    def expected_prompt_cost(self) -> NanoUsd:
        """The usual cost of the prompt alone: the only known cost of a lost call."""
        price = self.rate.input if self.rate.expected_input is None else self.rate.expected_input
        return NanoUsd(divide_up(self.expected_prompt_tokens * price, MILLION) + self.units * self.rate.unit)

    @property
    def _answer_tokens(self) -> int:
        return (self.max_tokens + self.extra_tokens) * self.answers


@dataclass(frozen=True, slots=True)
class ServedBy:
    """The serving deployment: its id in the YAML, the provider's model name (`gpt-4-turbo`), the provider, the
    `model_name` that clients use, and the lane.
    """

    deployment_id: str
    model: str
    provider: str = ""
    model_name: str = ""
    lane: Lane = "litellm"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: the finish of each choice, the usage, and its cost, where known."""

    finishes: Mapping[int, Finish]
    usage: Usage
    cost: NanoUsd | None = None

    @property
    def finish(self) -> Finish:
        """Of the first answer."""
        return self.finishes[0]

    @property
    def is_whole(self) -> bool:
        """Whether the provider gave every choice a usual finish."""
        return all(finish.is_known and finish.reason in ("stop", "length") for finish in self.finishes.values())


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole chat completion: its events, and their messages, one for each requested choice.

    `ending.cost` is what the provider charges; 0 for an `is_cached` one from the response cache. None: the price is
    unknown.
    """

    events: Sequence[Content]
    messages: Sequence[CompletionMessage]
    ending: Ending
    served: ServedBy
    is_cached: bool = False

    @classmethod
    def of(cls, events: Sequence[Content], ending: Ending, served: ServedBy, *, is_cached: bool = False) -> Self:
        """The completion that these events make."""
        return cls(events, fold(events, len(ending.finishes)), ending, served, is_cached)

    @property
    def message(self) -> CompletionMessage:
        """The first answer."""
        return self.messages[0]

    @property
    def usage(self) -> Usage:
        """The usage."""
        return self.ending.usage

    @property
    def cost(self) -> NanoUsd | None:
        """The cost."""
        return self.ending.cost


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The answer of an endpoint that answers at once, in the shape of OpenAI (or, where it has none, of LiteLLM).

    `cost` as of a Completion.
    """

    body: Mapping[str, Any]
    usage: Usage
    cost: NanoUsd | None
    served: ServedBy
    is_cached: bool = False


Answer = Completion | EndpointResponse
"""A whole answer."""


@dataclass(frozen=True, slots=True)
class SpendReport:
    """LiteLLM's callback data about one attempt at one deployment: a row of its spend log, in its terms.

    `request_id` is the provider's response id on success, our call id on failure, and not unique by itself; `id` is
    ours, made before the report is first written.
    """

    call_id: CallId
    request_id: str
    status: Literal["success", "failure"]
    model: str
    model_group: str
    deployment_id: str
    provider: str
    cost: NanoUsd
    usage: Usage
    started_at: datetime
    ended_at: datetime
    is_cached: bool
    error_class: str | None
    lane: Lane = "litellm"
    id: UUID = field(default_factory=new_id)

    @property
    def prompt_tokens(self) -> int:
        """The whole input."""
        return self.usage.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """The whole output."""
        return self.usage.completion_tokens
