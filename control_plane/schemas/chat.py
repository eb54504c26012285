"""What a client may say in a chat call, as every door that takes OpenAI's words reads it.

Fields are an allow-list: what is not named here never reaches LiteLLM, which trusts every parameter it is given.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from control_plane.chat import CHAT_PARAMETERS
from control_plane.schemas.base import Body, GivenJson, Text
from control_plane.schemas.history import SentBack, ThinkingBlock


class TextPart(Body):
    """Text."""

    type: Literal["text"]
    text: str
    cache_control: GivenJson | None = None


class GivenPicture(Body):
    """An image by its URL or as a data URL, and how closely to look at it."""

    url: str
    detail: Annotated[str, Field(max_length=50)] | None = None


class GivenSound(Body):
    """A sound in base64."""

    data: str
    format: Annotated[str, Field(max_length=50)] | None = None


class GivenFile(Body):
    """A file as a data URL or a link (`file_data`), or the id of one that the provider keeps (`file_id`)."""

    file_data: str | None = None
    file_id: str | None = None
    filename: Annotated[str, Field(max_length=1000)] | None = None


class MediaPart(Body):
    """An image, a sound or a file, in OpenAI's form."""

    type: Literal["image_url", "input_audio", "file"]
    image_url: str | GivenPicture | None = None
    input_audio: GivenSound | None = None
    file: GivenFile | None = None
    cache_control: GivenJson | None = None

    @model_validator(mode="after")
    def _has_its_content(self) -> "MediaPart":
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type {self.type} needs the field {self.type}")
        return self


class RefusalPart(Body):
    """What an assistant refused with."""

    type: Literal["refusal"]
    refusal: str


class ThinkingPart(ThinkingBlock):
    """A block of Claude's thinking among the parts of an assistant's content."""


Part = Annotated[TextPart | MediaPart | RefusalPart | ThinkingPart, Field(discriminator="type")]

ASSISTANTS_PARTS = (RefusalPart, ThinkingPart)


def _none_if_empty(given: object) -> object:
    """SDKs write an empty list where an answer had nothing."""
    return None if given == [] else given


def arguments_text(given: object) -> object:
    """Arguments of a tool call as JSON text, as clients send them: text, an object, or nothing at all."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return "{}"
    return json.dumps(given, ensure_ascii=False) if isinstance(given, dict) else given


def only_functions(given: object) -> object:
    """Raises: ValueError for tools that are no functions."""
    if isinstance(given, str) and given != "function":
        raise ValueError(
            f"type '{given}' is not served here: only functions are. Offer the tool as a function; for free text, one "
            "with a single parameter of type string."
        )
    return given


FunctionType = Annotated[Literal["function"], BeforeValidator(only_functions)]


class FunctionCall(Body):
    """The function an assistant called, its arguments as JSON text."""

    name: str
    arguments: Annotated[str, BeforeValidator(arguments_text)] = "{}"
    provider_specific_fields: GivenJson | None = None


class ToolCall(Body):
    """One call of a tool by an assistant."""

    id: str
    type: FunctionType = "function"
    function: FunctionCall
    provider_specific_fields: GivenJson | None = Field(default=None, description="Gemini's thought signature")
    extra_content: GivenJson | None = Field(default=None, description="Gemini's thought signature")


class ChatMessage(SentBack):
    """One message. `content` may only be null beside what an assistant said otherwise."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[
        str | Annotated[list[Part], Field(max_length=10_000, fail_fast=True)] | None, BeforeValidator(_none_if_empty)
    ] = None
    name: str | None = None
    tool_calls: Annotated[
        Annotated[list[ToolCall], Field(max_length=1000, fail_fast=True)] | None, BeforeValidator(_none_if_empty)
    ] = None
    function_call: FunctionCall | None = Field(default=None, description="deprecated: `tool_calls`")
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: GivenJson | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ChatMessage":
        if self.content is None and not (self.role in {"tool", "function"} or self._says_otherwise()):
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.role == "function" and self.name is None:
            raise ValueError("a function message needs name")
        parts = self.content if isinstance(self.content, list) else ()
        if self.role != "assistant" and any(isinstance(part, ASSISTANTS_PARTS) for part in parts):
            raise ValueError("refusals and thinking can only be an assistant's")
        return self

    def _says_otherwise(self) -> bool:
        said = self.tool_calls or self.function_call or self.refusal or self.audio or self.images
        return self.role == "assistant" and bool(said or self.holds_reasoning)

    def text_length(self) -> int:
        """Characters of text in it, tool arguments and reasoning included; files and images do not count."""
        length = len(self.refusal or "") + self.reasoning_length()
        if isinstance(self.content, str):
            length += len(self.content)
        else:
            length += sum(_length(part) for part in self.content or ())
        if self.function_call is not None:
            length += len(self.function_call.arguments)
        return length + sum(len(call.function.arguments) for call in self.tool_calls or ())


def _length(part: Part) -> int:
    match part:
        case TextPart():
            return len(part.text)
        case RefusalPart():
            return len(part.refusal)
        case ThinkingPart():
            return part.text_length()
        case _:
            return 0


class FunctionDefinition(Body):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: GivenJson | None = None
    strict: bool | None = None


class ToolDefinition(Body):
    """A tool the model may use. Only functions: other kinds would make the server call out."""

    type: FunctionType
    function: FunctionDefinition


class ChosenFunction(Body):
    """The name of the function the model must call."""

    name: str


class ToolChoice(Body):
    """One function the model must call."""

    type: FunctionType
    function: ChosenFunction


class ResponseFormat(Body):
    """The form the answer must have; `json_schema` in OpenAI's form."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: GivenJson | None = None


ServiceTier = Literal["auto", "default", "flex", "priority", "scale"]
"""How fast and at which price a provider serves, in OpenAI's words. One that a provider does not have is left out."""

Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]


StopText = Annotated[Text, Field(max_length=1000)]
"""A text at which an answer ends."""

MAX_MESSAGES = 2_000
"""Of a conversation. OpenAI takes 2,048."""


class ChatParameters(Body):
    """The parameters of a chat call, each optional."""

    temperature: (
        Annotated[float, Field(strict=True, ge=0, le=2, description="default 0.7, where the model takes one")] | None
    ) = None
    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=16, fail_fast=True)] | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=256, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    response_format: ResponseFormat | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None
    service_tier: ServiceTier | None = Field(default=None, description="left out where the provider does not have it")

    def given_parameters(self) -> dict[str, Any]:
        """The parameters the client set, in OpenAI's form, without anything this body has no field for."""
        names = CHAT_PARAMETERS.intersection(type(self).model_fields)
        return {name: plain(value) for name in sorted(names) if (value := getattr(self, name)) is not None}


def plain(value: Any) -> Any:
    """A wire value as JSON data holding only the fields we know and the client set.

    SDKs send an answer's message back with all its nulls. Only of `content` providers expect one.
    """
    if isinstance(value, Body):
        said = ((name, getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set)
        return {name: plain(field) for name, field in said if field is not None or name == "content"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
