"""Request models of Anthropic's messages, as its SDKs send them."""

import json
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from control_plane.schemas.base import Body, GivenJson, Label, without_nul
from control_plane.schemas.chat import MAX_MESSAGES, StopText
from control_plane.schemas.metadata import Metadata

UNSUPPORTED = ("mcp_servers", "container")
"""Fields that would make the provider call out or store things: rejected, never left out silently."""


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

    type: Literal["base64", "url", "text", "content"] = Field(
        description="where the content is: `base64` in `data`, `url`, `text` in `data`, `content` as blocks"
    )
    media_type: str | None = Field(default=None, description="media type of `data`: `image/png`, `application/pdf`, …")
    data: str | None = Field(default=None, description="content in base64, or as text")
    url: str | None = Field(default=None, description="`https:` address, or a data URL (`data:image/png;base64,…`)")
    content: "str | list[Block] | None" = Field(default=None, description="content as text or blocks")


class Block(Body):
    """A block of a message; which fields it has follows from its type."""

    type: Literal["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"] = Field(
        description="kind of the block; its other fields follow from it"
    )
    text: str | None = Field(default=None, description="the text")
    source: Source | None = Field(default=None, description="where a picture or document is")
    title: str | None = Field(default=None, description="title of a document")
    id: str | None = Field(default=None, description="id of the tool call (`tool_use`)")
    name: str | None = Field(default=None, description="name of the tool (`tool_use`)")
    input: Annotated[GivenJson | None, BeforeValidator(_as_object)] = Field(
        default=None, description="arguments of the tool call (`tool_use`)"
    )
    tool_use_id: str | None = Field(default=None, description="id of the tool call that a `tool_result` is for")
    content: "str | list[Block] | None" = Field(
        default=None, description="result of the tool: text or blocks (`tool_result`)"
    )
    is_error: bool | None = Field(default=None, description="whether the tool failed")
    thinking: str | None = Field(default=None, description="text of the model's reasoning")
    signature: str | None = Field(
        default=None, description="the provider's signature of the reasoning; send it back unchanged"
    )
    data: str | None = Field(default=None, description="encrypted reasoning (`redacted_thinking`)")
    cache_control: GivenJson | None = Field(
        default=None, description='marks the end of what the provider caches (Anthropic): `{"type": "ephemeral"}`'
    )

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

    role: Literal["user", "assistant", "system"] = Field(description="`user`, with results of tools; or `assistant`")
    content: str | Annotated[list[Block], Field(max_length=10_000, fail_fast=True)] = Field(
        description="text, or a list of blocks"
    )


class Tool(Body):
    """A tool of the client's own; others would run at the provider."""

    type: Literal["custom"] | None = Field(default=None, description="`custom`, or left out")
    name: Annotated[str, Field(min_length=1)] = Field(description="name of the tool")
    description: str | None = Field(default=None, description="purpose, for the model")
    input_schema: GivenJson = Field(description="JSON Schema of the arguments")
    strict: bool | None = Field(default=None, description="true: the provider must keep to the schema, where it can")
    cache_control: GivenJson | None = Field(
        default=None, description='marks the end of what the provider caches (Anthropic): `{"type": "ephemeral"}`'
    )


class AnthropicToolChoice(Body):
    """Required tools, if any."""

    type: Literal["auto", "any", "tool", "none"] = Field(
        description="`auto`; `any`: some tool; `tool`: the one named; `none`"
    )
    name: str | None = Field(default=None, description="name of the tool that must be called")
    disable_parallel_tool_use: bool | None = Field(default=None, description="true: at most one tool is called")

    @model_validator(mode="after")
    def _names_its_tool(self) -> "AnthropicToolChoice":
        if self.type == "tool" and self.name is None:
            raise ValueError("tool_choice of type tool needs name")
        return self


class OutputFormat(Body):
    """The form the answer must have."""

    type: Literal["json_schema"] = Field(description="`json_schema`")
    schema_: Annotated[GivenJson, Field(alias="schema")] = Field(description="JSON Schema of the answer")


class OutputConfig(Body):
    """Form and effort of the answer."""

    format: OutputFormat | None = Field(default=None, description="form of the answer")
    effort: Label | None = Field(
        default=None, description="reasoning effort, in the provider's terms: `low`, `medium`, `high`, …"
    )


class CountBody(Body):
    """`POST /v1/messages/count_tokens`."""

    model: Label | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    messages: Annotated[list[AnthropicMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)] = Field(
        description="the conversation, oldest message first"
    )
    system: str | list[Block] | None = Field(default=None, description="instructions: text, or a list of text blocks")
    tools: Annotated[list[Tool], Field(max_length=256)] | None = Field(
        default=None, description="functions the model may call, at most 256"
    )
    tool_choice: AnthropicToolChoice | None = Field(default=None, description="whether tools must be used, and which")
    thinking: GivenJson | None = Field(
        default=None,
        description='whether and reasoning effort of the model: `{"type": "enabled", "budget_tokens": 2048}`',
    )
    output_config: OutputConfig | None = Field(default=None, description="form of the answer, and effort")

    @model_validator(mode="after")
    def _can_be_honoured(self) -> "CountBody":
        for name in UNSUPPORTED:
            if (self.model_extra or {}).get(name):
                raise ValueError(f"{name} is not supported here")
        return self


class MessagesBody(CountBody):
    """`POST /v1/messages`. `metadata.user_id` is the end user; `metadata.job_id` names a job, as `X-Job-Id` does."""

    max_tokens: Annotated[int, Field(strict=True, ge=1, lt=2**31)] = Field(
        description="the most tokens of the answer, reasoning included"
    )
    stop_sequences: Annotated[list[StopText], Field(max_length=16)] | None = Field(
        default=None, description="up to 16 texts at which the answer ends"
    )
    stream: bool | None = Field(default=None, description="true: the answer as server-sent events")
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = Field(
        default=None, description="0 to 2: randomness; omitted for models that reject it"
    )
    top_p: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        default=None, description="0 to 1: considers only the most likely tokens, up to this sum of probability"
    )
    metadata: Metadata | None = Field(
        default=None,
        description="kept with the call; `user_id`: the end user; `job_id`: the job it joins; at most 10 KB",
    )
    service_tier: Literal["auto", "standard_only"] | None = Field(
        default=None, description="omitted where the provider does not support it"
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
