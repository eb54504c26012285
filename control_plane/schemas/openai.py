"""The wire of OpenAI's chat completions, as its SDKs send them. Answers are put together in `api/openai`."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from control_plane.schemas.base import Body, GivenJson, Text
from control_plane.schemas.chat import (
    MAX_MESSAGES,
    ChatMessage,
    ChatParameters,
    ChosenFunction,
    FunctionDefinition,
    plain,
)
from control_plane.schemas.metadata import Metadata

Label = Annotated[Text, Field(max_length=200)]

MAX_ANSWERS = 128

UNSUPPORTED = {
    "web_search_options": "Web search is not supported; give the model a tool of your own.",
}
"""Fields that change what an answer means, and cannot be honoured: refused, never left out silently."""


class StreamOptions(Body):
    """Whether a last chunk says what was used."""

    include_usage: bool | None = None


class ReasoningOptions(Body):
    """How much the model reasons, as OpenRouter has it."""

    effort: Label | None = None
    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    enabled: bool | None = None

    def as_parameters(self) -> dict[str, Any]:
        """The same in the parameters that every provider's code knows."""
        if self.enabled is False:
            return {"reasoning_effort": "none"}
        if self.effort is not None:
            return {"reasoning_effort": self.effort}
        if self.max_tokens is not None:
            return {"thinking": {"type": "enabled", "budget_tokens": self.max_tokens}}
        return {"reasoning_effort": "medium"} if self.enabled else {}


class OpenAiParameters(ChatParameters):
    """The parameters of OpenAI's API that the Job API does not name."""

    max_completion_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_ANSWERS)] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    logit_bias: GivenJson | None = None
    reasoning_effort: Label | None = None
    verbosity: Label | None = None
    reasoning: ReasoningOptions | None = Field(default=None, description="`effort` is `reasoning_effort`")
    modalities: Annotated[list[Literal["text", "audio", "image"]], Field(min_length=1, max_length=3)] | None = None
    audio: GivenJson | None = None
    prediction: GivenJson | None = None
    thinking: GivenJson | None = Field(default=None, description="as Anthropic's, for models that think")
    functions: Annotated[list[FunctionDefinition], Field(max_length=256, fail_fast=True)] | None = Field(
        default=None, description="deprecated: `tools`"
    )
    function_call: Literal["none", "auto"] | ChosenFunction | None = Field(
        default=None, description="deprecated: `tool_choice`"
    )

    def given_parameters(self) -> dict[str, Any]:
        """As the Job API's, with older and other names of the same in OpenAI's present ones."""
        given = super().given_parameters()
        if self.max_completion_tokens is not None:
            given["max_tokens"] = self.max_completion_tokens
        if self.reasoning is not None and "reasoning_effort" not in given and "thinking" not in given:
            given |= self.reasoning.as_parameters()
        return self._functions_as_tools() | given

    def _functions_as_tools(self) -> dict[str, Any]:
        """`functions` as tools, of which the model calls one at a time, since a `function_call` holds one."""
        if not self.functions:
            return {}
        tools = [{"type": "function", "function": plain(function)} for function in self.functions]
        choice = self.function_call
        if isinstance(choice, ChosenFunction):
            return {
                "tools": tools,
                "tool_choice": {"type": "function", "function": {"name": choice.name}},
                "parallel_tool_calls": False,
            }
        return {"tools": tools, "parallel_tool_calls": False, **({"tool_choice": choice} if choice else {})}


class ChatCompletionBody(OpenAiParameters):
    """`POST /v1/chat/completions`. `metadata.job_id` names the job the call joins, as the header `X-Job-Id` does."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    model: Label | None = Field(default=None, description="a model group, or a model the team may use")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    user: Label | None = Field(default=None, description="the end user the call's own job is for")

    @model_validator(mode="after")
    def _can_be_honoured(self) -> "ChatCompletionBody":
        for name, reason in UNSUPPORTED.items():
            if (self.model_extra or {}).get(name) is not None:
                raise ValueError(reason)
        if self.stream and "audio" in (self.modalities or ()):
            raise ValueError("audio answers are not streamed; ask without `stream`")
        return self

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)


class EmbeddingsBody(Body):
    """`POST /v1/embeddings`. `input`: a text, texts, or the same as numbers of tokens."""

    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=2048)]
        | Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1, max_length=100_000)]
        | Annotated[
            list[Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1)]],
            Field(min_length=1, max_length=2048),
        ]
    )
    model: Label | None = None
    dimensions: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    metadata: Metadata | None = None
    user: Label | None = None


class ModerationsBody(Body):
    """`POST /v1/moderations`. `input`: a text, or texts."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    model: Label | None = None
    metadata: Metadata | None = None
    user: Label | None = None


class RerankBody(Body):
    """`POST /v1/rerank`, as Cohere and others have it."""

    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str | GivenJson], Field(min_length=1, max_length=10_000, fail_fast=True)]
    model: Label | None = None
    top_n: Annotated[int, Field(strict=True, ge=1)] | None = None
    return_documents: bool | None = None
    max_chunks_per_doc: Annotated[int, Field(strict=True, ge=1)] | None = None
    metadata: Metadata | None = None
    user: Label | None = None
