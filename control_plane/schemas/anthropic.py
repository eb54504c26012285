"""The wire of Anthropic's messages, as its SDKs send them. `api/anthropic` translates."""

import json
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from control_plane.schemas.base import Body, GivenJson, Text, without_nul
from control_plane.schemas.chat import MAX_MESSAGES, StopText
from control_plane.schemas.metadata import Metadata

Label = Annotated[Text, Field(max_length=200)]

UNSUPPORTED = ("mcp_servers", "container")
"""What would make the provider call out or keep things: refused, never left out silently."""


def _as_object(given: object) -> object:
    """The arguments of a tool, also where a client kept them as the JSON text in which they were streamed."""
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except (ValueError, RecursionError):
            return given
    return {} if given == [] else given


class Source(Body):
    """Where a picture or document is."""

    type: Literal["base64", "url", "text", "content"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: "str | list[Block] | None" = None


class Block(Body):
    """A block of a message; which fields it has follows from its type."""

    type: Literal["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"]
    text: str | None = None
    source: Source | None = None
    title: str | None = None
    id: str | None = None
    name: str | None = None
    input: Annotated[GivenJson | None, BeforeValidator(_as_object)] = None
    tool_use_id: str | None = None
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: GivenJson | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Block":
        needed = {
            "text": ("text",),
            "image": ("source",),
            "document": ("source",),
            "tool_use": ("id", "name"),
            "tool_result": ("tool_use_id",),
            "thinking": ("thinking",),
            "redacted_thinking": ("data",),
        }
        for name in needed[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f"a block of type {self.type} needs {name}")
        return self


class AnthropicMessage(Body):
    """One message. Results of tools are blocks of the user."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Field(max_length=10_000, fail_fast=True)]


class Tool(Body):
    """A tool of the client's own; others would run at the provider."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    input_schema: GivenJson
    strict: bool | None = None
    cache_control: GivenJson | None = None


class ToolChoice(Body):
    """Whether tools must be used, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _names_its_tool(self) -> "ToolChoice":
        if self.type == "tool" and self.name is None:
            raise ValueError("tool_choice of type tool needs name")
        return self


class OutputFormat(Body):
    """The form the answer must have."""

    type: Literal["json_schema"]
    schema_: Annotated[GivenJson, Field(alias="schema")]


class OutputConfig(Body):
    """Form and effort of the answer."""

    format: OutputFormat | None = None
    effort: Label | None = None


class CountBody(Body):
    """`POST /v1/messages/count_tokens`."""

    model: Label | None = None
    messages: Annotated[list[AnthropicMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    system: str | list[Block] | None = None
    tools: Annotated[list[Tool], Field(max_length=256)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: GivenJson | None = None
    output_config: OutputConfig | None = None

    @model_validator(mode="after")
    def _can_be_honoured(self) -> "CountBody":
        for name in UNSUPPORTED:
            if (self.model_extra or {}).get(name):
                raise ValueError(f"{name} is not supported here")
        return self


class MessagesBody(CountBody):
    """`POST /v1/messages`. `metadata.user_id` is the end user; `metadata.job_id` names a job, as `X-Job-Id` does."""

    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)]
    stop_sequences: Annotated[list[StopText], Field(max_length=16)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = Field(
        default=None, description="left out where the provider does not have it"
    )

    @field_validator("metadata")
    @classmethod
    def _names_a_user(cls, metadata: Metadata | None) -> Metadata | None:
        user_id = (metadata or {}).get("user_id")
        if isinstance(user_id, str):
            try:
                without_nul(user_id)
            except ValueError as error:
                raise ValueError(f"user_id {error}") from None
        return metadata
