"""The wire of the normalized respond API (document S4): what apps in any language send and get, whatever the provider.

What comes back as `message` and `tool_calls` may be sent again as it is: so tool calls are flat (`arguments` an object),
and a conversation is taken in every form that the document's examples make of them.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from control_plane.schemas.base import Answer, Body, GivenJson, GivenValue, Json, Text
from control_plane.schemas.chat import (
    MAX_MESSAGES,
    ChatParameters,
    FunctionCall,
    FunctionType,
    GivenSound,
    TextPart,
    ToolDefinition,
)
from control_plane.schemas.history import SentBack


class GivenFile(Body):
    """A file: `fileData` is its URL, `file_data` itself as a data URL. A URL in either is fetched."""

    filename: str | None = None
    fileData: str | None = None  # noqa: N815 - the document's name
    file_data: str | None = None

    @model_validator(mode="after")
    def _has_one(self) -> "GivenFile":
        if (self.fileData is None) == (self.file_data is None):
            raise ValueError("a file needs fileData (a URL) or file_data (a data URL), one of them")
        return self


class FilePart(Body):
    """A PDF or an image."""

    type: Literal["file"]
    file: GivenFile


class GivenImage(Body):
    """An image, or a PDF, by its URL or as a data URL."""

    url: str
    detail: str | None = None


class ImagePart(Body):
    """An image, or a PDF."""

    type: Literal["image_url"]
    image_url: str | GivenImage


class AudioPart(Body):
    """A sound, for models that listen: `{data, format}`, as OpenAI has it."""

    type: Literal["input_audio"]
    input_audio: GivenSound


class PdfOptions(Body):
    """`pdf-text` takes the text out of PDFs, `mistral-ocr` reads scans, `native` hands PDFs to models that read them."""

    engine: Literal["pdf-text", "mistral-ocr", "native"] | None = None


class Plugin(Body):
    """What is done with the request before the model gets it. Only `file-parser` is known."""

    id: Annotated[str, Field(max_length=200)]
    pdf: PdfOptions | None = None


Part = Annotated[TextPart | ImagePart | FilePart | AudioPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(max_length=10_000, fail_fast=True)]


def _as_object(given: Any) -> Any:
    """PHP knows one empty array and writes it as a list."""
    return {} if given == [] else given


def _tools_as_objects(given: Any) -> Any:
    """The schemas of tools, with the empty objects that PHP wrote as lists."""
    if not isinstance(given, list):
        return given
    return [_tool_as_object(tool) for tool in given]


def _tool_as_object(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or "parameters" not in function:
        return tool
    parameters = _as_object(function["parameters"])
    if isinstance(parameters, dict) and "properties" in parameters:
        parameters = {**parameters, "properties": _as_object(parameters["properties"])}
    return {**tool, "function": {**function, "parameters": parameters}}


class GivenToolCall(Body):
    """A call of a tool by the assistant, as the answer had it (`name`, `arguments`) or as OpenAI writes it (`function`)."""

    id: Annotated[str, Field(min_length=1)]
    type: FunctionType = "function"
    name: str | None = None
    arguments: Annotated[GivenJson | str | None, BeforeValidator(_as_object)] = None
    function: FunctionCall | None = None
    provider_specific_fields: GivenJson | None = Field(default=None, description="Gemini's thought signature")
    extra_content: GivenJson | None = Field(default=None, description="Gemini's thought signature")

    @model_validator(mode="after")
    def _is_named(self) -> "GivenToolCall":
        if self.name is None and self.function is None:
            raise ValueError("a tool call needs its name")
        return self


class Said(Body):
    """What the developer or the user said."""

    role: Literal["system", "developer", "user"]
    content: str | Annotated[Parts, Field(min_length=1)]
    name: str | None = None


class AssistantSaid(SentBack):
    """What the model said before: text, tool calls, or both, and its reasoning."""

    role: Literal["assistant"]
    content: str | Parts | None = None
    tool_calls: Annotated[list[GivenToolCall], Field(max_length=1000, fail_fast=True)] | None = None
    name: str | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "AssistantSaid":
        if self.content is None and not (self.tool_calls or self.refusal or self.images or self.holds_reasoning):
            raise ValueError("content is missing")
        return self


class ToolSaid(Body):
    """What a tool answered: text, parts, or any JSON, which the model gets as text, but for the pictures in it."""

    role: Literal["tool"]
    content: GivenValue = None
    tool_call_id: Annotated[str, Field(min_length=1)]
    name: str | None = None


GivenMessage = Annotated[Said | AssistantSaid | ToolSaid, Field(discriminator="role")]


class RespondBody(ChatParameters):
    """A conversation to go on with. `model` is a model group or a model the team may use; without it, the default."""

    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    messages: Annotated[list[GivenMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    tools: Annotated[
        Annotated[list[ToolDefinition], Field(max_length=256, fail_fast=True)] | None,
        BeforeValidator(_tools_as_objects),
    ] = None
    plugins: Annotated[list[Plugin], Field(max_length=100)] | None = None
    stream: bool = Field(default=False, description="server-sent events instead of one JSON answer")


def _is_absent(value: object) -> bool:
    return value is None


class AnsweredPicture(Answer):
    """Where a picture is: a data URL, or an address."""

    url: str


class AnsweredPart(Answer):
    """Text, or a picture."""

    type: Literal["text", "image_url"]
    text: str | None = Field(exclude_if=_is_absent)
    image_url: AnsweredPicture | None = Field(exclude_if=_is_absent)


class AnsweredMessage(Answer):
    """What the model said: always a text, empty beside tool calls that came without one."""

    role: Literal["assistant"]
    content: Sequence[AnsweredPart]
    reasoning_content: str | None = Field(exclude_if=_is_absent, description="the model's reasoning")
    thinking_blocks: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="signed reasoning (Claude); send it back unchanged"
    )
    reasoning_details: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="OpenRouter's reasoning; send it back unchanged"
    )
    annotations: Sequence[Json] | None = Field(exclude_if=_is_absent, description="sources of the text")


class AnsweredToolCall(Answer):
    """A function to run. `arguments` is text only where the model wrote something that is no JSON object."""

    id: str
    name: str
    arguments: Json | str


class AnsweredUsage(Answer):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int | None = Field(
        exclude_if=_is_absent, description="of the prompt, read from the provider's cache"
    )
    cache_write_tokens: int | None = Field(
        exclude_if=_is_absent, description="of the prompt, written to the provider's cache"
    )
    reasoning_tokens: int | None = Field(exclude_if=_is_absent, description="of the completion")


class RespondAnswer(Answer):
    """The model's answer. `provider` and `model` served it; `warnings` say what of the request could not be done."""

    provider: str
    model: str
    finish_reason: Literal["stop", "length", "content_filter", "tool_calls"]
    native_finish_reason: str | None = Field(
        exclude_if=_is_absent, description="the provider's own word, where it is another"
    )
    usage: AnsweredUsage
    message: AnsweredMessage
    tool_calls: Sequence[AnsweredToolCall]
    warnings: Sequence[str] = Field(exclude_if=lambda warnings: not warnings)


class ErrorFacts(Answer):
    """What went wrong. `code` is finer than `type`; `provider_status` and `retry_after_ms` are null where unknown.

    `provider_code`, `provider_type` and `provider_param` are the provider's own, where it reported something.
    """

    type: Literal[
        "rate_limit",
        "auth",
        "permission",
        "invalid_request",
        "insufficient_credits",
        "not_found",
        "conflict",
        "timeout",
        "provider_error",
        "internal",
    ]
    message: str
    provider_status: int | None
    retry_after_ms: int | None
    code: str
    provider_code: str | None = Field(default=None, exclude_if=lambda given: given is None)
    provider_type: str | None = Field(default=None, exclude_if=lambda given: given is None)
    provider_param: str | None = Field(default=None, exclude_if=lambda given: given is None)


class RespondError(Answer):
    """Every error of this API."""

    error: ErrorFacts
