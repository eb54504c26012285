"""Request models of OpenAI's responses, as its SDKs send them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from control_plane.schemas.base import Body, GivenJson, Label
from control_plane.schemas.chat import MAX_MESSAGES, FunctionType, GivenSound, ServiceTier, arguments_text
from control_plane.schemas.history import MAX_PIECES
from control_plane.schemas.metadata import Metadata

MAX_ITEMS = 3 * MAX_MESSAGES
"""A message of a chat is up to three items here: its reasoning, its text, a call."""

UNSUPPORTED = {
    "previous_response_id": "answers are not stored here; send the whole conversation as `input`",
    "conversation": "conversations are not stored here; send the whole conversation as `input`",
    "background": "answers are not made in the background; use a stream",
    "prompt": "prompts are not stored here; send `instructions` and `input`",
}
"""Fields that need stored responses: rejected, never left out silently."""


def _reasoning_texts(given: object) -> list[dict[str, str]]:
    """The texts in a reasoning, whatever else is in it."""
    pieces = given[:MAX_PIECES] if isinstance(given, list) else [{"text": given}]
    texts = [piece.get("text") for piece in pieces if isinstance(piece, dict)]
    return [{"type": "reasoning_text", "text": text} for text in texts if isinstance(text, str)]


def _served_item(given: object) -> object:
    """Raises: ValueError for what belongs to tools that run at OpenAI, or is kept there."""
    if isinstance(given, str) and given.startswith("item_reference"):
        raise ValueError(f"items of type {given} are not served here; items are sent whole")
    return given


class InputPart(Body):
    """A part of a message."""

    type: Literal["input_text", "output_text", "text", "refusal", "input_image", "input_file", "input_audio"] = Field(
        description="kind of the part"
    )
    text: str | None = Field(default=None, description="the text")
    refusal: str | None = Field(default=None, description="the model's refusal")
    image_url: str | None = Field(default=None, description="address of the image, or a data URL")
    detail: str | None = Field(
        default=None, description="resolution at which the image is read: `low`, `high` or `auto`"
    )
    file_data: str | None = Field(default=None, description="the file as a data URL")
    file_url: str | None = Field(default=None, description="address of the file")
    filename: str | None = Field(default=None, description="name of the file; at most 1,000 characters")
    input_audio: GivenSound | None = Field(default=None, description="the sound")

    @model_validator(mode="after")
    def _has_its_content(self) -> "InputPart":
        if (self.model_extra or {}).get("file_id") is not None:
            raise ValueError("files are not stored here; send the file itself")
        needed = {
            "refusal": self.refusal,
            "input_image": self.image_url,
            "input_file": self.file_data or self.file_url,
            "input_audio": self.input_audio,
        }
        if needed.get(self.type, self.text) is None:
            raise ValueError(f"a part of type {self.type} has no content")
        return self


class ReasoningText(Body):
    """A piece of reasoning."""

    type: str = Field(description="`summary_text` or `reasoning_text`")
    text: str = Field(description="the text")


class InputItem(Body):
    """A message, a call of a tool, its result, or the reasoning or a picture of an earlier answer."""

    type: Annotated[
        Literal[
            "message",
            "function_call",
            "function_call_output",
            "custom_tool_call",
            "custom_tool_call_output",
            "reasoning",
            "image_generation_call",
        ],
        BeforeValidator(_served_item),
    ] = Field(default="message", description="kind of the item; default `message`")
    role: Literal["user", "assistant", "system", "developer"] | None = Field(
        default=None, description="author of a message"
    )
    content: str | list[InputPart] | None = Field(
        default=None, description="content of a message: text, or a list of parts"
    )
    call_id: str | None = Field(
        default=None, description="id of the tool call, or of the one that this is the result of"
    )
    name: str | None = Field(default=None, description="name of the function that was called")
    arguments: Annotated[str | None, BeforeValidator(arguments_text)] = Field(
        default=None, description="arguments of the call, as JSON text"
    )
    input: str | None = Field(default=None, description="of a call of a custom tool: its free text")
    output: str | list[InputPart] | None = Field(default=None, description="result of a tool: text, or a list of parts")
    result: str | None = Field(default=None, description="of a picture: its data in base64, unchanged")
    summary: Annotated[list[ReasoningText], Field(max_length=MAX_PIECES)] | None = Field(
        default=None, description="the reasoning's texts"
    )
    encrypted_content: str | None = Field(default=None, description="of reasoning: its signatures, unchanged")

    @model_validator(mode="before")
    @classmethod
    def _reasoning_alone(cls, given: object) -> object:
        """A reasoning as far as it is understood: what another service encrypted is of no use to a provider here."""
        if not isinstance(given, dict) or given.get("type") != "reasoning":
            return given
        texts = _reasoning_texts(given.get("content")) or _reasoning_texts(given.get("summary"))
        encrypted = given.get("encrypted_content")
        return {
            "type": "reasoning",
            "summary": texts,
            "encrypted_content": encrypted if isinstance(encrypted, str) else None,
        }

    @model_validator(mode="after")
    def _is_whole(self) -> "InputItem":
        needed = {
            "message": ("role", "content"),
            "function_call": ("call_id", "name"),
            "function_call_output": ("call_id", "output"),
            "custom_tool_call": ("call_id", "name"),
            "custom_tool_call_output": ("call_id", "output"),
            "image_generation_call": (),
            "reasoning": (),
        }
        for name in needed[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f"an item of type {self.type} needs {name}")
        return self


class FunctionTool(Body):
    """A function the model may call; other tools would run at the provider."""

    type: FunctionType = Field(description="`function`")
    name: Annotated[str, Field(min_length=1)] = Field(description="name of the function")
    description: str | None = Field(default=None, description="purpose, for the model")
    parameters: GivenJson | None = Field(default=None, description="JSON Schema of the arguments")
    strict: bool | None = Field(default=None, description="true: the provider must keep to the schema, where it can")


class ResponsesFunctionChoice(Body):
    """The function the model must call."""

    type: FunctionType = Field(description="`function`")
    name: str = Field(description="name of the function")


class TextFormat(Body):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"] = Field(
        description="`text`; `json_object`: any JSON object; `json_schema`: JSON that fits the schema"
    )
    name: str | None = Field(default=None, description="name of the schema")
    description: str | None = Field(default=None, description="purpose of the answer, for the model")
    schema_: Annotated[GivenJson | None, Field(alias="schema")] = Field(
        default=None, description="JSON Schema of the answer"
    )
    strict: bool | None = Field(default=None, description="true: the provider must keep to the schema, where it can")


class TextConfig(Body):
    """Form and length of the answer."""

    format: TextFormat | None = Field(default=None, description="form of the answer")
    verbosity: Label | None = Field(default=None, description="how long the answer is: `low`, `medium`, `high`")


class Reasoning(Body):
    """Reasoning effort of the model."""

    effort: Label | None = Field(
        default=None, description="reasoning effort, in the provider's terms: `low`, `medium`, `high`, …"
    )


class ResponsesBody(Body):
    """`POST /v1/responses`. `metadata.job_id` names the job the call joins, as the header `X-Job-Id` does."""

    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]
    ) = Field(description="a text, or the items of the conversation, oldest first")
    model: Label | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    instructions: str | None = Field(default=None, description="instructions before the conversation")
    max_output_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = Field(
        default=None, description="the most tokens of the answer, reasoning included"
    )
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = Field(
        default=None, description="0 to 2: randomness; omitted for models that reject it"
    )
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        default=None, description="0 to 1: considers only the most likely tokens, up to this sum of probability"
    )
    tools: Annotated[list[FunctionTool], Field(max_length=256)] | None = Field(
        default=None, description="functions the model may call, at most 256"
    )
    tool_choice: Literal["none", "auto", "required"] | ResponsesFunctionChoice | None = Field(
        default=None, description="`none`, `auto`, `required`, or one function that the model must call"
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="whether the model may call several tools at once"
    )
    text: TextConfig | None = Field(default=None, description="form and length of the answer")
    reasoning: Reasoning | None = Field(default=None, description="reasoning effort of the model")
    stream: bool | None = Field(default=None, description="true: the answer as server-sent events")
    service_tier: ServiceTier | None = Field(default=None, description="omitted where the provider does not support it")
    store: bool | None = Field(default=None, description="ignored: answers are never stored")
    metadata: Metadata | None = Field(
        default=None,
        description="the app's JSON object, stored with the call; `job_id`: the job to join; at most 10 KB",
    )
    user: Label | None = Field(default=None, description="the app's id of its end user, stored with the call's own job")

    @model_validator(mode="after")
    def _can_be_honoured(self) -> "ResponsesBody":
        for name, reason in UNSUPPORTED.items():
            if (self.model_extra or {}).get(name):
                raise ValueError(f"{name} is not supported: {reason}")
        return self
