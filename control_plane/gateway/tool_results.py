"""Positions of tool results in a conversation, and of the pictures in them. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from control_plane.chat import Message

Json = dict[str, Any]


def in_order(messages: Sequence[Message]) -> list[Message]:
    """The messages with each result directly behind the assistant messages that its call is in.

    A provider refuses tool calls that something else follows. Calls without a result, and results without a call, stay
    as they are: the provider's refusal names them. An id that is used again belongs to the nearest call before its result.
    """
    results: dict[Any, deque[int]] = defaultdict(deque)
    calls: dict[Any, deque[int]] = defaultdict(deque)
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            results[message.get("tool_call_id")].append(place)
        for call in message.get("tool_calls") or ():
            calls[call.get("id")].append(place)
    ordered: list[Message] = []
    moved: set[int] = set()
    pending: list[Any] = []
    for place, message in enumerate(messages):
        if message["role"] != "assistant" and pending:
            for found in _places(pending, place, results, calls):
                ordered.append(messages[found])
                moved.add(found)
            pending = []
        if place not in moved:
            ordered.append(message)
        pending += [call.get("id") for call in message.get("tool_calls") or ()]
    return ordered


def _places(
    ids: Iterable[Any], after: int, results: Mapping[Any, deque[int]], calls: Mapping[Any, deque[int]]
) -> list[int]:
    """Positions of the results of these calls, in their own order, each before the next call of the same id."""
    found = []
    for call_id in ids:
        own, others = results.get(call_id, deque()), calls[call_id]
        while own and own[0] < after:
            own.popleft()
        while others and others[0] < after:
            others.popleft()
        if own and not (others and others[0] < own[0]):
            found.append(own.popleft())
    return sorted(found)


def hoist_media(messages: Sequence[Json], allowed: frozenset[str]) -> list[Json]:
    """The messages with pictures and files in results of tools in a user message behind all results of that turn.

    `allowed`: the types of parts that may stay where they are. The text before each names the call it is the result of.
    """
    hoisted: list[Json] = []
    waiting: list[Json] = []
    for message in messages:
        if message["role"] != "tool":
            if waiting:
                hoisted.append({"role": "user", "content": waiting})
                waiting = []
            hoisted.append(message)
            continue
        kept, media = _split(message.get("content"), allowed)
        if media:
            call_id = message.get("tool_call_id")
            waiting += [{"type": "text", "text": f"From the result of the tool call {call_id}:"}, *media]
        hoisted.append({**message, "content": kept} if media else message)
    if waiting:
        hoisted.append({"role": "user", "content": waiting})
    return hoisted


def _split(content: Any, allowed: frozenset[str]) -> tuple[Any, list[Any]]:
    """The part of a result that stays, and the part that is moved out of it."""
    if not isinstance(content, list):
        return content, []
    kept: list[Any] = []
    media: list[Any] = []
    for part in content:
        stays = not isinstance(part, Mapping) or part.get("type") in {"text", *allowed}
        (kept if stays else media).append(part)
    if media and not kept:
        return "The result follows in the next user message.", media
    if media and all(part.keys() == {"type", "text"} for part in kept):
        return "\n".join(part["text"] for part in kept), media
    return kept, media
