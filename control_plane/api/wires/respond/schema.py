"""Request and response models of the normalized respond API (document S4), for apps in any language and every provider.

`message` and `tool_calls` of a response may be sent back unchanged: so tool calls are flat (`arguments` an object), and
a conversation is accepted in every form of the document's examples.
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


class RespondFile(Body):
    """A file: `fileData` is its URL, `file_data` itself as a data URL. A URL in either is fetched."""

    filename: str | None = Field(default=None, description="name of the file; at most 1,000 characters")
    fileData: str | None = Field(default=None, description="address of the file; it is fetched by the server")  # noqa: N815 - the document's name
    file_data: str | None = Field(default=None, description="the file as a data URL, or its address")

    @model_validator(mode="after")
    def _has_one(self) -> "RespondFile":
        if (self.fileData is None) == (self.file_data is None):
            raise ValueError("a file needs fileData (a URL) or file_data (a data URL), one of them")
        return self


class FilePart(Body):
    """A PDF or an image."""

    type: Literal["file"] = Field(description="`file`")
    file: RespondFile = Field(description="the file")


class GivenImage(Body):
    """An image, or a PDF, by its URL or as a data URL."""

    url: str = Field(description="`https:` address, or a data URL (`data:image/png;base64,…`)")
    detail: str | None = Field(
        default=None, description="resolution at which the image is read: `low`, `high` or `auto`"
    )


class ImagePart(Body):
    """An image, or a PDF."""

    type: Literal["image_url"] = Field(description="`image_url`")
    image_url: str | GivenImage = Field(description="the image: an object with its `url`, or the URL alone")


class AudioPart(Body):
    """A sound, for models with audio input: `{data, format}`, in OpenAI's form."""

    type: Literal["input_audio"] = Field(description="`input_audio`")
    input_audio: GivenSound = Field(description="the sound")


class PdfOptions(Body):
    """`pdf-text` takes the text out of PDFs, `mistral-ocr` reads scans, `native` hands PDFs to models that read them."""

    engine: Literal["pdf-text", "mistral-ocr", "native"] | None = Field(
        default=None, description="how PDFs are read; default: `native` where the model reads PDFs, else `pdf-text`"
    )


class Plugin(Body):
    """A step that processes the request before the model gets it. Only `file-parser` exists."""

    id: Annotated[str, Field(max_length=200)] = Field(description="`file-parser`")
    pdf: PdfOptions | None = Field(default=None, description="how PDFs are read")


Part = Annotated[TextPart | ImagePart | FilePart | AudioPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(max_length=10_000, fail_fast=True)]


def _as_object(given: Any) -> Any:
    """PHP has one empty array and writes it as a list."""
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

    id: Annotated[str, Field(min_length=1)] = Field(description="id of the tool call, as the answer had it")
    type: FunctionType = Field(default="function", description="`function`")
    name: str | None = Field(default=None, description="name of the tool")
    arguments: Annotated[GivenJson | str | None, BeforeValidator(_as_object)] = Field(
        default=None, description="arguments: a JSON object, or JSON text"
    )
    function: FunctionCall | None = Field(
        default=None, description="name and arguments in OpenAI's form, instead of `name` and `arguments`"
    )
    provider_specific_fields: GivenJson | None = Field(default=None, description="Gemini's thought signature")
    extra_content: GivenJson | None = Field(default=None, description="Gemini's thought signature")

    @model_validator(mode="after")
    def _is_named(self) -> "GivenToolCall":
        if self.name is None and self.function is None:
            raise ValueError("a tool call needs its name")
        return self


class Said(Body):
    """A message of the developer or the user."""

    role: Literal["system", "developer", "user"] = Field(description="`system` or `developer`: instructions; `user`")
    content: str | Annotated[Parts, Field(min_length=1)] = Field(description="text, or a list of parts")
    name: str | None = Field(default=None, description="name of the participant")


class AssistantSaid(SentBack):
    """An earlier message of the model: text, tool calls, or both, and its reasoning."""

    role: Literal["assistant"] = Field(description="`assistant`")
    content: str | Parts | None = Field(default=None, description="text, or a list of parts; null beside tool calls")
    tool_calls: Annotated[list[GivenToolCall], Field(max_length=1000, fail_fast=True)] | None = Field(
        default=None, description="tool calls, as the answer had them"
    )
    name: str | None = Field(default=None, description="name of the participant")
    refusal: str | None = Field(default=None, description="the model's refusal")

    @model_validator(mode="after")
    def _says_something(self) -> "AssistantSaid":
        if self.content is None and not (self.tool_calls or self.refusal or self.images or self.holds_reasoning):
            raise ValueError("content is missing")
        return self


class ToolSaid(Body):
    """A tool's result: text, parts, or any JSON; the model gets JSON as text, except its pictures."""

    role: Literal["tool"] = Field(description="`tool`")
    content: GivenValue = Field(default=None, description="the tool's result: text, parts, or any JSON")
    tool_call_id: Annotated[str, Field(min_length=1)] = Field(
        description="id of the tool call that this is the result of"
    )
    name: str | None = Field(default=None, description="name of the tool")


GivenMessage = Annotated[Said | AssistantSaid | ToolSaid, Field(discriminator="role")]


class RespondBody(ChatParameters):
    """A conversation to continue. `model` is a model group or a model the team may use; without it, the default."""

    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    messages: Annotated[list[GivenMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    tools: Annotated[
        Annotated[list[ToolDefinition], Field(max_length=256, fail_fast=True)] | None,
        BeforeValidator(_tools_as_objects),
    ] = Field(default=None, description="functions the model may call, at most 256")
    plugins: Annotated[list[Plugin], Field(max_length=100)] | None = Field(
        default=None, description="steps that process the request's files before the model gets it"
    )
    stream: bool = Field(default=False, description="server-sent events instead of one JSON answer")


def _is_absent(value: object) -> bool:
    return value is None


class AnsweredPicture(Answer):
    """A picture: a data URL, or an address."""

    url: str = Field(description="a data URL, or an address")


class AnsweredPart(Answer):
    """Text, or a picture."""

    type: Literal["text", "image_url"] = Field(description="`text` or `image_url`")
    text: str | None = Field(exclude_if=_is_absent, description="the text of a `text` part")
    image_url: AnsweredPicture | None = Field(exclude_if=_is_absent, description="the picture of an `image_url` part")


class AnsweredMessage(Answer):
    """The model's message: always with a text, which is empty for tool calls without one."""

    role: Literal["assistant"] = Field(description="`assistant`")
    content: Sequence[AnsweredPart] = Field(description="parts of the answer; there is always a text, possibly empty")
    reasoning_content: str | None = Field(exclude_if=_is_absent, description="the model's reasoning")
    thinking_blocks: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="signed reasoning (Claude); send it back unchanged"
    )
    reasoning_details: Sequence[Json] | None = Field(
        exclude_if=_is_absent, description="OpenRouter's reasoning; send it back unchanged"
    )
    annotations: Sequence[Json] | None = Field(exclude_if=_is_absent, description="sources of the text")


class AnsweredToolCall(Answer):
    """A function to run. `arguments` is text only if the model did not write a JSON object."""

    id: str = Field(description="id of the tool call; send the result back with it as `tool_call_id`")
    name: str = Field(description="name of the function")
    arguments: Json | str = Field(description="the arguments, as an object")


class AnsweredUsage(Answer):
    """Tokens."""

    prompt_tokens: int = Field(description="tokens of the input")
    completion_tokens: int = Field(description="tokens of the output")
    total_tokens: int = Field(description="input and output tokens together")
    cached_tokens: int | None = Field(
        exclude_if=_is_absent, description="of the prompt, read from the provider's cache"
    )
    cache_write_tokens: int | None = Field(
        exclude_if=_is_absent, description="of the prompt, written to the provider's cache"
    )
    reasoning_tokens: int | None = Field(exclude_if=_is_absent, description="of the completion")


class RespondAnswer(Answer):
    """The model's answer. `provider` and `model` served it; `warnings` list unsupported parts of the request."""

    provider: str = Field(description="provider that served the answer")
    model: str = Field(description="model that served the answer")
    finish_reason: Literal["stop", "length", "content_filter", "tool_calls"] = Field(
        description="why the answer ended: `stop`, `length` (the token limit), `content_filter`, `tool_calls`"
    )
    native_finish_reason: str | None = Field(
        exclude_if=_is_absent, description="the provider's own reason, if different"
    )
    usage: AnsweredUsage = Field(description="tokens used")
    message: AnsweredMessage = Field(description="the answer; it can be sent back as it is")
    tool_calls: Sequence[AnsweredToolCall] = Field(
        description="tools the model calls; run them and send the results back as `tool` messages"
    )
    warnings: Sequence[str] = Field(
        exclude_if=lambda warnings: not warnings, description="unsupported parts of the request"
    )
