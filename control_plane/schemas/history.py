"""Fields of assistants' messages beside text and tool calls, as answers had them and clients send them back.

`gateway/dialects.py` decides which of them go to a provider.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from control_plane.schemas.base import Body, GivenJson

MAX_PIECES = 1000


class ThinkingBlock(Body):
    """A block of Claude's thinking, with its signature, or a redacted one."""

    type: Literal["thinking", "redacted_thinking"] = Field(
        description="`thinking`, or `redacted_thinking`: encrypted by the provider"
    )
    thinking: str | None = Field(default=None, description="text of the model's reasoning")
    signature: str | None = Field(
        default=None, description="the provider's signature of the reasoning; send it back unchanged"
    )
    data: str | None = Field(default=None, description="the encrypted reasoning of a `redacted_thinking` block")

    def text_length(self) -> int:
        """Characters of its text; a signature is none."""
        return len(self.thinking or "")


def _in_list(given: object) -> object:
    """One block alone is as good as a list of one."""
    return [given] if isinstance(given, dict) else given


Pieces = Annotated[list[GivenJson], Field(max_length=MAX_PIECES, fail_fast=True)]


class SentBack(Body):
    """The fields of an answer's message that go back as they came."""

    reasoning_content: str | None = Field(default=None, description="the answer's reasoning, unchanged")
    reasoning: str | None = Field(default=None, description="as `reasoning_content`, as OpenRouter and others name it")
    thinking_blocks: (
        Annotated[list[ThinkingBlock], Field(max_length=MAX_PIECES, fail_fast=True), BeforeValidator(_in_list)] | None
    ) = Field(default=None, description="Claude's thinking, with its signatures")
    reasoning_details: Pieces | None = Field(default=None, description="OpenRouter's reasoning, with its signatures")
    annotations: Pieces | None = Field(default=None, description="sources of the answer, as it had them")
    images: Pieces | None = Field(default=None, description="pictures of the answer, as data URLs")
    provider_specific_fields: GivenJson | None = Field(default=None, description="Gemini's thought signatures")
    extra_content: GivenJson | None = Field(default=None, description="Gemini's thought signatures")

    def reasoning_length(self) -> int:
        """Characters of reasoning in it; the longest of its forms counts, since only one goes to a provider."""
        return max(
            len(self.reasoning_content or ""),
            len(self.reasoning or ""),
            sum(block.text_length() for block in self.thinking_blocks or ()),
            sum(_text_of(detail) for detail in self.reasoning_details or ()),
        )

    @property
    def holds_reasoning(self) -> bool:
        """Whether the model's reasoning is in it."""
        return bool(self.reasoning_content or self.reasoning or self.thinking_blocks or self.reasoning_details)


def _text_of(detail: Mapping[str, Any]) -> int:
    return sum(len(text) for name in ("text", "summary") if isinstance(text := detail.get(name), str))
