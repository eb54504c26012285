"""What a client may say in a chat call, as every door that takes OpenAI's words reads it.

Fields are an allow-list: what is not named here never reaches LiteLLM, which trusts every parameter it is given.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from control_plane.chat import CHAT_PARAMETERS
from control_plane.schemas.base import Body, GivenJson, Text


class TextPart(Body):
    """Text."""

    type: Literal["text"]
    text: str
    cache_control: GivenJson | None = None


class MediaPart(Body):
    """An image, a sound or a file, in OpenAI's form."""

    type: Literal["image_url", "input_audio", "file"]
    image_url: str | GivenJson | None = None
    input_audio: GivenJson | None = None
    file: GivenJson | None = None
    cache_control: GivenJson | None = None

    @model_validator(mode="after")
    def _has_its_content(self) -> "MediaPart":
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type {self.type} needs the field {self.type}")
        return self


Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


class FunctionCall(Body):
    """The function an assistant called, its arguments as JSON text."""

    name: str
    arguments: str = "{}"


class ToolCall(Body):
    """One call of a tool by an assistant."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Body):
    """One message. `content` may only be null beside what an assistant said otherwise."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(min_length=1, max_length=10_000, fail_fast=True)] | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1, max_length=1000, fail_fast=True)] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: GivenJson | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ChatMessage":
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.refusal or self.audio)):
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        return self

    def text_length(self) -> int:
        """Characters of text in it, tool arguments included; files and images do not count."""
        if isinstance(self.content, str):
            length = len(self.content)
        else:
            length = sum(len(part.text) for part in self.content or () if isinstance(part, TextPart))
        length += len(self.refusal or "")
        return length + sum(len(call.function.arguments) for call in self.tool_calls or ())


class FunctionDefinition(Body):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: GivenJson | None = None
    strict: bool | None = None


class ToolDefinition(Body):
    """A tool the model may use. Only functions: other kinds would make the server call out."""

    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(Body):
    """The name of the function the model must call."""

    name: str


class ToolChoice(Body):
    """One function the model must call."""

    type: Literal["function"]
    function: ChosenFunction


class ResponseFormat(Body):
    """The form the answer must have; `json_schema` in OpenAI's form."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: GivenJson | None = None


Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]


class ChatParameters(Body):
    """The parameters of a chat call, each optional."""

    temperature: (
        Annotated[float, Field(strict=True, ge=0, le=2, description="default 0.7, where the model takes one")] | None
    ) = None
    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16, fail_fast=True)] | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=256, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    response_format: ResponseFormat | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None

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
