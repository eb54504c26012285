"""A model's answer in the form of OpenAI's chat completions, whole and as chunks, with the fields that others add.
Pure.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from control_plane.completion.events import (
    Audio,
    Citation,
    Content,
    Picture,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
    ToolCallArguments,
    ToolCallBegun,
    ToolCallEnded,
)
from control_plane.completion.finish import Finish
from control_plane.completion.fold import Message, ToolCall
from control_plane.completion.usage import Usage
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]


def message_of(message: Message) -> Json:
    """A whole message. What it does not have is left out, but for `content`."""
    text = message.text
    if len(message.parts) == 1 and isinstance(message.parts[0], Text) and not message.reasoning_details:
        return {"role": "assistant", "content": text}  # most are no more than that
    has_other = bool(message.tool_calls or message.refusal or message.pictures or message.audio)
    said: Json = {"role": "assistant", "content": text or (None if has_other else "")}
    more: Json = {
        "refusal": message.refusal,
        "reasoning_content": message.reasoning,
        "thinking_blocks": [thinking_block(part) for part in message.thoughts if part.signature or part.redacted],
        "reasoning_details": list(message.reasoning_details),
        "images": [_image(number, part) for number, part in enumerate(message.pictures)],
        "annotations": [dict(part.annotation) for part in message.citations],
        "audio": None if message.audio is None else _audio(message.audio),
        "tool_calls": [tool_call(call) for call in message.tool_calls],
    }
    return {**said, **{name: value for name, value in more.items() if value}}


def tool_call(call: ToolCall) -> Json:
    """A whole tool call."""
    begun = call.begun
    function = {"name": begun.name, "input" if begun.kind == "custom" else "arguments": call.arguments}
    return {"id": begun.id, "type": begun.kind, begun.kind: function, **(begun.extra or {})}


def finish_of(finish: Finish) -> Json:
    """Why it ended; the provider's own word beside it, where that is another."""
    native = finish.native
    return {"finish_reason": finish.reason, **({} if native is None else {"native_finish_reason": native})}


def thinking_block(part: Reasoning) -> Json:
    """A block of reasoning in Anthropic's form, which must go back as it is."""
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}


class Deltas:
    """Makes the deltas of one stream, of all its answers."""

    def __init__(self) -> None:
        self._thoughts: dict[int, list[str]] = {}
        self._custom: set[tuple[int, int]] = set()
        self._counts: dict[tuple[str, int], int] = {}

    def delta(self, event: Content) -> Json | None:  # noqa: C901, PLR0911 - one for each event
        """The delta of an event; None for nothing."""
        match event:
            case Text():
                return {"content": event.text}
            case ToolCallArguments():
                is_custom = (event.choice, event.number) in self._custom
                piece = {"custom": {"input": event.text}} if is_custom else {"function": {"arguments": event.text}}
                return {"tool_calls": [{"index": event.number, **piece}]}
            case Reasoning():
                return self._reasoning(event)
            case ToolCallBegun():
                if event.kind == "custom":
                    self._custom.add((event.choice, event.number))
                return {"tool_calls": [{"index": event.number, **tool_call(ToolCall(event, ""))}]}
            case ToolCallEnded():
                return None
            case Refusal():
                return {"refusal": event.text}
            case ReasoningDetail():
                return self._listed("reasoning_details", event.choice, event.detail)
            case Picture():
                return self._listed("images", event.choice, _image(None, event))
            case Citation():
                return self._listed("annotations", event.choice, event.annotation)
            case Audio():
                return {"audio": _audio(event)}
            case _:
                assert_never(event)

    def _reasoning(self, event: Reasoning) -> Json | None:
        """Text as it comes; a block that is signed once more, whole, since it must go back as one."""
        pieces = self._thoughts.setdefault(event.choice, [])
        if event.text:
            pieces.append(event.text)
        delta: Json = {"reasoning_content": event.text} if event.text else {}
        if event.redacted is not None:
            delta |= self._listed("thinking_blocks", event.choice, thinking_block(event))
        elif event.signature is not None:
            block = Reasoning("".join(pieces), event.signature)
            pieces.clear()
            delta |= self._listed("thinking_blocks", event.choice, thinking_block(block))
        return delta or None

    def _listed(self, name: str, choice: int, item: Mapping[str, Any]) -> Json:
        """An item of a list with its place in it, without which OpenAI's SDKs cannot put a list together; pieces of one
        item of `reasoning_details` have the same place, and keep theirs.
        """
        count = self._counts.get((name, choice), 0)
        own = item.get("index")
        index = own if type(own) is int and own >= 0 else count
        self._counts[name, choice] = max(count, index + 1)
        return {name: [{**item, "index": index}]}


def usage_of(used: Usage, cost: NanoUsd | None) -> Json:
    """The usage; in addition to OpenAI's numbers the provider's cost, where it is known."""
    said: Json = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": used.cached_tokens,
            "cache_write_tokens": used.cache_write_tokens,
            "audio_tokens": used.audio_input_tokens,
            "image_tokens": used.image_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning_tokens,
            "audio_tokens": used.audio_output_tokens,
            "image_tokens": used.image_output_tokens,
        },
    }
    return said if cost is None else {**said, "cost_usd": usd(cost)}


def _image(number: int | None, picture: Picture) -> Json:
    return {"type": "image_url", "index": number, "image_url": {"url": picture.url}}


def _audio(audio: Audio) -> Mapping[str, Any]:
    said = {"id": audio.id, "data": audio.data, "transcript": audio.transcript, "expires_at": audio.expires_at}
    return {name: value for name, value in said.items() if value}
