"""Request models of OpenAI's chat completions, as its SDKs send them."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from control_plane.schemas.base import Body, GivenJson, Label
from control_plane.schemas.chat import (
    MAX_MESSAGES,
    ChatMessage,
    ChatParameters,
    ChosenFunction,
    FunctionDefinition,
    plain,
)
from control_plane.schemas.metadata import Metadata

MAX_ANSWERS = 128

UNSUPPORTED = {
    "web_search_options": "Web search is not supported; give the model a tool of your own.",
}
"""Fields that change what an answer means, and cannot be honoured: refused, never left out silently."""


class StreamOptions(Body):
    """Whether a last chunk has the usage."""

    include_usage: bool | None = Field(default=None, description="true: the last chunk before `[DONE]` has the usage")


class ReasoningOptions(Body):
    """Reasoning options, in OpenRouter's form."""

    effort: Label | None = Field(
        default=None, description="reasoning effort, in the provider's terms: `low`, `medium`, `high`, …"
    )
    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = Field(
        default=None, description="the most tokens of reasoning"
    )
    enabled: bool | None = Field(default=None, description="false: no reasoning")

    def as_parameters(self) -> dict[str, Any]:
        """The same as parameters that every provider's code supports."""
        if self.enabled is False:
            return {"reasoning_effort": "none"}
        if self.effort is not None:
            return {"reasoning_effort": self.effort}
        if self.max_tokens is not None:
            return {"thinking": {"type": "enabled", "budget_tokens": self.max_tokens}}
        return {"reasoning_effort": "medium"} if self.enabled else {}


class OpenAiParameters(ChatParameters):
    """The parameters of OpenAI's API that the Job API does not name."""

    max_completion_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = Field(
        default=None, description="the same as `max_tokens`, by its newer name"
    )
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_ANSWERS)] | None = Field(
        default=None, description="how many answers to give, 1 to 128"
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="whether the model may call several tools at once"
    )
    logprobs: bool | None = Field(default=None, description="true: with the probability of each token")
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = Field(
        default=None, description="0 to 20: how many likely tokens to name at each place"
    )
    logit_bias: GivenJson | None = Field(
        default=None, description="token ids with -100 to 100, added to their likelihood"
    )
    reasoning_effort: Label | None = Field(
        default=None, description="reasoning effort, in the provider's terms: `low`, `medium`, `high`, …"
    )
    verbosity: Label | None = Field(default=None, description="how long the answer is: `low`, `medium`, `high`")
    reasoning: ReasoningOptions | None = Field(default=None, description="`effort` is `reasoning_effort`")
    modalities: Annotated[list[Literal["text", "audio", "image"]], Field(min_length=1, max_length=3)] | None = Field(
        default=None, description="kinds of output: text, audio, image"
    )
    audio: GivenJson | None = Field(default=None, description="voice and format of a sound answer")
    prediction: GivenJson | None = Field(default=None, description="text that most of the answer is expected to repeat")
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

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    model: Label | None = Field(default=None, description="a model group, or a model the team may use")
    stream: bool | None = Field(default=None, description="true: the answer as server-sent events")
    stream_options: StreamOptions | None = Field(default=None, description="options of a stream")
    metadata: Metadata | None = Field(
        default=None,
        description="the app's JSON object, stored with the call; `job_id`: the job to join; at most 10 KB",
    )
    user: Label | None = Field(default=None, description="end user of the call's own job")

    @model_validator(mode="after")
    def _can_be_honoured(self) -> "ChatCompletionBody":
        for name, reason in UNSUPPORTED.items():
            if (self.model_extra or {}).get(name) is not None:
                raise ValueError(reason)
        if self.stream and "audio" in (self.modalities or ()):
            raise ValueError("audio answers are not streamed; omit `stream`")
        return self

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)
