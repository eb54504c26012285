"""Converts the reasoning of earlier answers from the client's form to the provider's. Pure.

Clients send it as they got it: text (`reasoning_content`, `reasoning`), Claude's `thinking_blocks`, OpenRouter's
`reasoning_details`. Signed reasoning is sent back unchanged; text is translated where a provider has another field for
it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control_plane.chat import Message
from control_plane.gateway.dialects import Dialect

Json = dict[str, Any]

ANTHROPIC = "anthropic-claude-v1"
"""OpenRouter's name for Claude's signatures."""


def reasoning_of(message: Message, dialect: Dialect) -> Json:
    """The fields of an assistant message that hold its reasoning, as the dialect has them."""
    fields: Json = {}
    if dialect.thinking_blocks and (blocks := _blocks(message)):
        fields["thinking_blocks"] = blocks
    if dialect.reasoning_details and (details := _details(message)):
        fields["reasoning_details"] = details
        if dialect.reasoning == "reasoning":
            return fields  # they hold the text, too
    if dialect.reasoning is not None and (text := _text(message)):
        fields[dialect.reasoning] = text
    return fields


def _text(message: Message) -> str:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := message.get(name), str) and text:
            return text
    texts = [str(block.get("thinking") or "") for block in _listed(message, "thinking_blocks")]
    if not any(texts):
        texts = [
            str(detail.get("text") or detail.get("summary") or "") for detail in _listed(message, "reasoning_details")
        ]
    return "\n".join(text for text in texts if text)


def _blocks(message: Message) -> list[Json]:
    """Claude's blocks, also those that came through OpenRouter. One without a signature is refused by Claude."""
    blocks = [dict(block) for block in _listed(message, "thinking_blocks")]
    if not blocks:
        blocks = list(_blocks_of_details(_listed(message, "reasoning_details")))
    return [block for block in blocks if block.get("type") == "redacted_thinking" or block.get("signature")]


def _blocks_of_details(details: Sequence[Mapping[str, Any]]) -> Iterator[Json]:
    for detail in details:
        if detail.get("format") != ANTHROPIC:
            continue
        if detail.get("type") == "reasoning.text":
            yield {"type": "thinking", "thinking": detail.get("text") or "", "signature": detail.get("signature")}
        elif detail.get("type") == "reasoning.encrypted" and detail.get("data"):
            yield {"type": "redacted_thinking", "data": detail["data"]}


def _details(message: Message) -> list[Json]:
    details = [dict(detail) for detail in _listed(message, "reasoning_details")]
    return details or [_detail(block, index) for index, block in enumerate(_blocks(message))]


def _detail(block: Mapping[str, Any], index: int) -> Json:
    if block["type"] == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), "format": ANTHROPIC, "index": index}
    said = {"text": block.get("thinking") or "", "signature": block["signature"]}
    return {"type": "reasoning.text", **said, "format": ANTHROPIC, "index": index}


def _listed(message: Message, name: str) -> Sequence[Mapping[str, Any]]:
    given = message.get(name)
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list | tuple) else ()
