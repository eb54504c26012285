"""What a call may use at most, before it is made: counted from its bytes, without a tokenizer. Pure.

A tokenizer of today makes at most one token of a byte, and of ordinary text one of three to five. Counting one of two
holds enough for almost every text, and bounds the rest: a prompt never has more than twice the tokens held for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from control_plane.chat import CallRequest, ChatRequest, Demand, PlainRequest, Rate

BYTES_PER_TOKEN, LIKELY_BYTES_PER_TOKEN = 2, 4
TOKENS_PER_MESSAGE = 8
"""Role, separators, name."""
TOKENS_PER_FILE = 2_000
"""A picture or a file, whatever its size: what providers charge for a picture in high resolution."""

TEXT_FIELDS = ("tool_calls", "refusal", "reasoning_content", "reasoning", "thinking_blocks", "reasoning_details")
"""What of a message costs tokens beside its content. Of a reasoning in several forms one goes out: the hold is for all."""


def demand(request: CallRequest, rate: Rate) -> Demand:
    """The worst case of a request at the dearest model it may run on. An answer is as long as asked for, or as the model
    can make it; an endpoint that answers at once writes none.
    """
    return _plain_demand(request, rate) if isinstance(request, PlainRequest) else _chat_demand(request, rate)


def dearest(rates: Iterable[Rate]) -> Rate:
    """The highest price in each direction and the longest answer of several models; known if all of them are."""
    all_rates = list(rates)
    return Rate(
        input=max(rate.input for rate in all_rates),
        output=max(rate.output for rate in all_rates),
        unit=max(rate.unit for rate in all_rates),
        max_output_tokens=max(rate.max_output_tokens for rate in all_rates),
        is_known=all(rate.is_known for rate in all_rates),
    )


def _plain_demand(request: PlainRequest, rate: Rate) -> Demand:
    sizes = [_bytes_of(text) for text in request.texts]
    return Demand(
        prompt_tokens=TOKENS_PER_MESSAGE * len(sizes) + sum(sizes) // BYTES_PER_TOKEN,
        likely_prompt_tokens=len(sizes) + sum(sizes) // LIKELY_BYTES_PER_TOKEN,
        units=request.units,
        rate=rate,
    )


def _chat_demand(request: ChatRequest, rate: Rate) -> Demand:
    size = sum(_size_of(message) for message in request.messages)
    for name in ("tools", "response_format"):
        if request.parameters.get(name):
            size += len(str(request.parameters[name]))
    files = sum(_files_in(message) for message in request.messages)
    fixed = TOKENS_PER_MESSAGE * (len(request.messages) + 1) + TOKENS_PER_FILE * files
    asked = request.parameters.get("max_tokens")
    return Demand(
        prompt_tokens=fixed + size // BYTES_PER_TOKEN,
        likely_prompt_tokens=TOKENS_PER_FILE * files + size // LIKELY_BYTES_PER_TOKEN + len(request.messages),
        max_tokens=rate.max_output_tokens if asked is None else int(asked),
        answers=request.parameters.get("n") or 1,
        rate=rate,
    )


def _size_of(message: Mapping[str, Any]) -> int:
    """Bytes of everything in a message that becomes tokens of text."""
    content = message.get("content")
    size = _bytes_of(content) if isinstance(content, str) else sum(_bytes_of(_text_of(part)) for part in content or ())
    for name in TEXT_FIELDS:
        if message.get(name):
            size += _bytes_of(str(message[name]))
    return size


def _files_in(message: Mapping[str, Any]) -> int:
    pictures = len(message.get("images") or ())
    return pictures + sum(not _text_of(part) for part in _parts(message.get("content")))


def _parts(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list) else ()


def _text_of(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    return text if isinstance(text, str) else ""


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
