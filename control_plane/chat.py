"""The words that doors, calls and the gateway share when they speak about one call: a chat completion, or one of the
endpoints that answer at once.

What a provider or LiteLLM says is put into these words in `gateway/`; what a client says, in `api/`.
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
"""How a deployment was asked: through LiteLLM's own code, or relayed."""

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
    """What the client asks of the model. `parameters` holds only names of CHAT_PARAMETERS."""

    messages: Sequence[Message]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strangers = self.parameters.keys() - CHAT_PARAMETERS
        if strangers:
            raise ValueError(f"not chat parameters: {sorted(strangers)}")


Endpoint = Literal["embeddings", "rerank", "moderations", "ocr"]
"""What is answered at once and whole, beside chat completions."""


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What the client asks of an endpoint that answers at once. `arguments` are LiteLLM's, each checked by a door.

    `texts`: what of it costs tokens. `units`: what it costs beside them, as the endpoint is priced: pages, searches.
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
    """What a model charges at most, in nano-USD: for a million tokens each way, whatever kind of token it is, and for a
    unit of what else it counts (a page, a search); and how long its answers can get.

    `is_known`: false when nobody says what a token costs; the prices are 0 then. `likely_input`: for a million tokens of
    plain text; None: as `input`. `call`, `file`: for a call and for each file in it, beside their tokens. `answers`: for
    a request that does not say how many. `tiers`: the prices at service tiers that are priced apart.
    """

    input: int = 0
    output: int = 0
    unit: int = 0
    max_output_tokens: int = 0
    is_known: bool = True
    likely_input: int | None = None
    call: int = 0
    file: int = 0
    answers: int = 1
    tiers: Mapping[str, "Rate"] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class UsageEstimate:
    """What a call may use at most: what is held for it before it is made.

    `prompt_tokens` is counted generously, `likely_prompt_tokens` as prompts usually turn out. `max_tokens`: of each of
    the `answers` it asks for. `extra_tokens`: of output that each answer may be charged for beyond them. `units`: pages
    or searches. `files`: pictures, sounds and documents. `text_bytes`: of everything that is sent but the files' data.
    """

    prompt_tokens: int = 0
    likely_prompt_tokens: int = 0
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
        """What all of it would cost."""
        tokens = self.prompt_tokens * self.rate.input + self._answer_tokens * self.rate.output
        beside = self.units * self.rate.unit + self.rate.call + self.files * self.rate.file
        return NanoUsd(divide_up(tokens, MILLION) + beside)

    @property
    def likely_prompt_cost(self) -> NanoUsd:
        """What the prompt alone usually costs: all that is known of a call that was lost."""
        price = self.rate.input if self.rate.likely_input is None else self.rate.likely_input
        return NanoUsd(divide_up(self.likely_prompt_tokens * price, MILLION) + self.units * self.rate.unit)

    @property
    def _answer_tokens(self) -> int:
        return (self.max_tokens + self.extra_tokens) * self.answers


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Who answered: the deployment's id in the YAML, the provider's name of its model (`gpt-4-turbo`), the provider, the
    `model_name` by which clients ask for it, and through which lane.
    """

    deployment_id: str
    model: str
    provider: str = ""
    model_name: str = ""
    lane: Lane = "litellm"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: why each of those asked for did, what they used, and what that costs, where it is known."""

    finishes: Mapping[int, Finish]
    usage: Usage
    cost: NanoUsd | None = None

    @property
    def finish(self) -> Finish:
        """Of the first answer."""
        return self.finishes[0]

    @property
    def is_whole(self) -> bool:
        """Whether the provider itself said of every answer that it came to a usual end."""
        return all(finish.is_known and finish.reason in ("stop", "length") for finish in self.finishes.values())


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole chat completion: its events, and the messages that they make, one for each answer that was asked for.

    `ending.cost` is what the provider charges; one that `is_cached`, given before, costs 0. None: nobody knows the price.
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
        """What it used."""
        return self.ending.usage

    @property
    def cost(self) -> NanoUsd | None:
        """What it cost."""
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


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What LiteLLM's callback said about one attempt at one deployment: a row of its spend log, in its words.

    `request_id` is the provider's response id on success, our call id on failure, and not unique by itself; `id` is ours,
    made before the report is first written.
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
