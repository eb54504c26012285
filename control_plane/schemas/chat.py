"""Fields of a chat call, for every entry point in OpenAI's form.

Fields are an allow-list: a field that is not named here never reaches LiteLLM, which trusts every parameter it gets.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from control_plane.chat import CHAT_PARAMETERS
from control_plane.schemas.base import Body, GivenJson, Text
from control_plane.schemas.history import SentBack, ThinkingBlock


class TextPart(Body):
    """Text."""

    type: Literal["text"] = Field(description="`text`")
    text: str = Field(description="the text")
    cache_control: GivenJson | None = Field(
        default=None, description='marks the end of what the provider caches (Anthropic): `{"type": "ephemeral"}`'
    )


class GivenPicture(Body):
    """An image by its URL or as a data URL, and the resolution at which it is read."""

    url: str = Field(description="`https:` address, or a data URL (`data:image/png;base64,…`)")
    detail: Annotated[str, Field(max_length=50)] | None = Field(
        default=None, description="resolution at which the image is read: `low`, `high` or `auto`"
    )


class GivenSound(Body):
    """A sound in base64."""

    data: str = Field(description="the sound in base64")
    format: Annotated[str, Field(max_length=50)] | None = Field(
        default=None, description="format of the sound: `wav`, `mp3`, …"
    )


class FileContent(Body):
    """A file as a data URL or a link (`file_data`), or the id of one that the provider keeps (`file_id`)."""

    file_data: str | None = Field(
        default=None, description="the file as a data URL (`data:application/pdf;base64,…`), or its address"
    )
    file_id: str | None = Field(default=None, description="id of a file that the provider keeps")
    filename: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="name of the file; at most 1,000 characters"
    )


class MediaPart(Body):
    """An image, a sound or a file, in OpenAI's form."""

    type: Literal["image_url", "input_audio", "file"] = Field(description="kind of the part")
    image_url: str | GivenPicture | None = Field(
        default=None, description="the image: an object with its `url`, or the URL alone"
    )
    input_audio: GivenSound | None = Field(default=None, description="the sound")
    file: FileContent | None = Field(default=None, description="the file")
    cache_control: GivenJson | None = Field(
        default=None, description='marks the end of what the provider caches (Anthropic): `{"type": "ephemeral"}`'
    )

    @model_validator(mode="after")
    def _has_its_content(self) -> "MediaPart":
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type {self.type} needs the field {self.type}")
        return self


class RefusalPart(Body):
    """An assistant's refusal."""

    type: Literal["refusal"] = Field(description="`refusal`")
    refusal: str = Field(description="the model's refusal")


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

    name: str = Field(description="name of the function")
    arguments: Annotated[str, BeforeValidator(arguments_text)] = Field(
        default="{}", description="arguments of the call, as JSON text"
    )
    provider_specific_fields: GivenJson | None = Field(
        default=None, description="Gemini's thought signatures; send them back unchanged"
    )


class ToolCall(Body):
    """One call of a tool by an assistant."""

    id: str = Field(description="id of the tool call, as the model gave it")
    type: FunctionType = Field(default="function", description="`function`")
    function: FunctionCall = Field(description="the function that was called")
    provider_specific_fields: GivenJson | None = Field(default=None, description="Gemini's thought signature")
    extra_content: GivenJson | None = Field(default=None, description="Gemini's thought signature")


class ChatMessage(SentBack):
    """One message. `content` may be null only for an assistant with tool calls, reasoning or other content."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"] = Field(
        description="`system` or `developer`: instructions; `user`; `assistant`: an earlier answer; `tool`: a tool's result"
    )
    content: Annotated[
        str | Annotated[list[Part], Field(max_length=10_000, fail_fast=True)] | None, BeforeValidator(_none_if_empty)
    ] = Field(
        default=None, description="text, or a list of parts (text, images, sounds, files); null only beside tool calls"
    )
    name: str | None = Field(
        default=None, description="name of the participant, or of the function of a `function` message"
    )
    tool_calls: Annotated[
        Annotated[list[ToolCall], Field(max_length=1000, fail_fast=True)] | None, BeforeValidator(_none_if_empty)
    ] = Field(default=None, description="tool calls of an assistant's message, as the answer had them")
    function_call: FunctionCall | None = Field(default=None, description="deprecated: `tool_calls`")
    tool_call_id: str | None = Field(default=None, description="id of the tool call that this is the result of")
    refusal: str | None = Field(default=None, description="the model's refusal")
    audio: GivenJson | None = Field(default=None, description='id of an earlier sound answer: `{"id": "…"}`')

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

    name: Annotated[str, Field(min_length=1)] = Field(description="name of the function")
    description: str | None = Field(default=None, description="purpose, for the model")
    parameters: GivenJson | None = Field(default=None, description="JSON Schema of the arguments")
    strict: bool | None = Field(default=None, description="true: the provider must keep to the schema, where it can")


class ToolDefinition(Body):
    """A tool the model may use. Only functions: other kinds would make the server call out."""

    type: FunctionType = Field(description="`function`")
    function: FunctionDefinition = Field(description="the function that may be called")


class ChosenFunction(Body):
    """The name of the function the model must call."""

    name: str = Field(description="name of the function")


class ToolChoice(Body):
    """One function the model must call."""

    type: FunctionType = Field(description="`function`")
    function: ChosenFunction = Field(description="the function that must be called")


class ResponseFormat(Body):
    """The form the answer must have; `json_schema` in OpenAI's form."""

    type: Literal["text", "json_object", "json_schema"] = Field(
        description="`text`; `json_object`: any JSON object; `json_schema`: JSON that fits the schema"
    )
    json_schema: GivenJson | None = Field(
        default=None, description='name and schema of the answer: `{"name": …, "schema": …, "strict": true}`'
    )


ServiceTier = Literal["auto", "default", "flex", "priority", "scale"]
"""The speed and price of a provider's service, in OpenAI's words. An unsupported one is left out."""

Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]


StopText = Annotated[Text, Field(max_length=1000)]
"""A text at which an answer ends."""

MAX_MESSAGES = 2_000
"""Of a conversation. OpenAI takes 2,048."""


class ChatParameters(Body):
    """The parameters of a chat call, each optional."""

    temperature: (
        Annotated[float, Field(strict=True, ge=0, le=2, description="default 0.7, where the model takes one")] | None
    ) = Field(
        default=None,
        description="0 to 2: randomness; omitted for models that reject it; default: 0.7, on `/v1` the model's own",
    )
    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = Field(
        default=None, description="the most tokens of the answer, reasoning included"
    )
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        default=None, description="0 to 1: considers only the most likely tokens, up to this sum of probability"
    )
    frequency_penalty: Penalty | None = Field(
        default=None, description="-2 to 2: above 0, tokens become less likely the more often they occurred"
    )
    presence_penalty: Penalty | None = Field(
        default=None, description="-2 to 2: above 0, tokens become less likely once they occurred"
    )
    stop: StopText | Annotated[list[StopText], Field(max_length=16, fail_fast=True)] | None = Field(
        default=None, description="up to 16 texts at which the answer ends, each of at most 1,000 characters"
    )
    tools: Annotated[list[ToolDefinition], Field(max_length=256, fail_fast=True)] | None = Field(
        default=None, description="functions the model may call, at most 256"
    )
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = Field(
        default=None, description="`none`, `auto`, `required`, or one function that the model must call"
    )
    response_format: ResponseFormat | None = Field(
        default=None, description="form of the answer: text, JSON, or JSON that fits a schema"
    )
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = Field(
        default=None, description="the same seed and request give similar answers, where the provider supports it"
    )
    service_tier: ServiceTier | None = Field(default=None, description="omitted where the provider does not support it")

    def given_parameters(self) -> dict[str, Any]:
        """The parameters the client set, in OpenAI's form, without anything this body has no field for."""
        names = CHAT_PARAMETERS.intersection(type(self).model_fields)
        return {name: plain(value) for name in sorted(names) if (value := getattr(self, name)) is not None}


def plain(value: Any) -> Any:
    """A wire value as JSON data with only the known fields that the client set.

    SDKs send an answer's message back with all its nulls. Only for `content` providers expect one.
    """
    if isinstance(value, Body):
        said = ((name, getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set)
        return {name: plain(field) for name, field in said if field is not None or name == "content"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
