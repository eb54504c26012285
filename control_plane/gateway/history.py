"""Converts a conversation for one provider: needed fields are sent back unchanged, unsupported ones are left out. Pure.

Called once for each attempt, in both lanes, when the deployment is chosen: a fallback to another provider gets the
fields of that one. What is left out follows from the deployment's Dialect alone.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from control_plane.chat import Message
from control_plane.gateway.dialects import OUTPUTS, Dialect
from control_plane.gateway.reasoning import reasoning_of
from control_plane.gateway.tool_results import hoist_media, in_order

Json = dict[str, Any]

SIGNATURE = "__thought__"
"""Separates a tool call's id from a Gemini signature that LiteLLM appended to it."""

REASONING_FIELDS = frozenset({"reasoning_content", "reasoning", "thinking_blocks", "reasoning_details"})
OPENAI_FIELDS = frozenset({"refusal", "audio"})
OTHER_FIELDS = frozenset({"annotations", "images", "provider_specific_fields", "extra_content"})

TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
LISTS = ("tool_calls", "thinking_blocks", "reasoning_details", "annotations", "images")
"""Of an answer in several messages, what is joined; of anything else the last counts."""

TRANSLATED = REASONING_FIELDS | OPENAI_FIELDS | OTHER_FIELDS | {"cache_control"}


def prepare_messages(messages: Sequence[Message], dialect: Dialect) -> list[Json]:
    """The messages as the dialect has them. Those given are not written into.

    Results of tools stand directly behind the message that called them; an answer that was divided into several messages
    is one again, unless LiteLLM joins them itself; pictures in results follow in a user message where results hold only text.
    """
    if all(map(_is_plain, messages)) and not _has_consecutive_assistants(messages):
        return [dict(message) for message in messages]
    kept: list[_Turn] = []
    for message in in_order(messages):
        prepared = _prepared(message, dialect)
        if _is_empty(message, prepared):
            continue
        if kept and not dialect.merges_turns and kept[-1].goes_on_with(message):
            kept[-1].add(prepared)
        else:
            kept.append(_Turn(prepared))
    return hoist_media([_with_content(turn.message()) for turn in kept], dialect.tool_media)


def prepare_parameters(parameters: Mapping[str, Any], messages: Sequence[Message], dialect: Dialect) -> Json:
    """The parameters as the dialect has them, for a conversation that was prepared.

    A tier of service and forms of answers that the provider does not have are left out, as is Claude's thinking in the
    middle of a turn whose beginning came without it.
    """
    left_out = OUTPUTS - dialect.outputs
    prepared = {name: value for name, value in parameters.items() if name not in left_out}
    effort = prepared.get("reasoning_effort")
    if isinstance(effort, str):
        prepared["reasoning_effort"] = dialect.efforts.get(effort, effort)
    tier = prepared.pop("service_tier", None)
    if tier is not None and dialect.service_tiers is not None and tier in dialect.service_tiers:
        prepared["service_tier"] = dialect.service_tiers[tier]
    if prepared.get("tools") and not dialect.cache_control:
        prepared["tools"] = [_without_cache_control(tool) for tool in prepared["tools"]]
    if dialect.needs_thinking_first and _turn_lacks_thinking(messages):
        prepared.pop("reasoning_effort", None)
        if (prepared.get("thinking") or {}).get("type") == "enabled":
            del prepared["thinking"]
    return prepared


def _is_plain(message: Message) -> bool:
    """A message that is the same for every provider."""
    return (
        isinstance(message.get("content"), str)
        and message.keys() <= {"role", "content", "name"}
        and message["role"] != "tool"
    )


def _has_consecutive_assistants(messages: Sequence[Message]) -> bool:
    return any(first["role"] == second["role"] == "assistant" for first, second in pairwise(messages))


def _prepared(message: Message, dialect: Dialect) -> Json:
    prepared = {name: value for name, value in message.items() if name not in TRANSLATED}
    if dialect.cache_control and message.get("cache_control") is not None:
        prepared["cache_control"] = message["cache_control"]
    content = prepared.get("content")
    if isinstance(content, list) and not dialect.cache_control:
        prepared["content"] = [_without_cache_control(part) for part in content]
    if message["role"] == "tool":
        prepared["tool_call_id"] = _call_id(message.get("tool_call_id"), dialect)
    elif message["role"] == "assistant":
        prepared |= _assistant(message, dialect)
    return prepared


def _assistant(message: Message, dialect: Dialect) -> Json:
    fields = reasoning_of(message, dialect)
    if dialect.openai_only:
        fields |= _openai_fields(message)
    if not message.get("content") and OPENAI_FIELDS.isdisjoint(fields) and (said := _said_otherwise(message)):
        fields["content"] = said
    if dialect.annotations and message.get("annotations"):
        fields["annotations"] = message["annotations"]
    if dialect.images and (images := [image for image in message.get("images") or () if _is_whole(image)]):
        fields["images"] = images
    if dialect.signatures is not None:
        fields |= _signed_text(message, dialect)
    if message.get("tool_calls"):
        fields["tool_calls"] = [_tool_call(call, dialect) for call in message["tool_calls"]]
    return fields


def _openai_fields(message: Message) -> Json:
    """A refusal; and an audio answer, which OpenAI keeps and takes back by its id alone."""
    fields: Json = {}
    if message.get("refusal"):
        fields["refusal"] = message["refusal"]
    audio = message.get("audio")
    if isinstance(audio, Mapping) and audio.get("id"):
        fields["audio"] = {"id": audio["id"]}
    return fields


def _said_otherwise(message: Message) -> str:
    """The assistant's output without content, as text."""
    refusal, audio = message.get("refusal"), message.get("audio")
    transcript = audio.get("transcript") if isinstance(audio, Mapping) else None
    return str(refusal or transcript or "")


def _is_whole(image: Any) -> bool:
    """Whether a picture of an answer has its data: LiteLLM would fetch a link in our network."""
    given = image.get("image_url") if isinstance(image, Mapping) else None
    url = given.get("url") if isinstance(given, Mapping) else None
    return isinstance(url, str) and url.startswith("data:")


def _signed_text(message: Message, dialect: Dialect) -> Json:
    """Gemini's signatures of an answer's text."""
    found = (message.get("provider_specific_fields") or {}).get("thought_signatures") or []
    signature = found[0] if isinstance(found, list) and found else _google(message)
    if not isinstance(signature, str) or not signature:
        return {}
    if dialect.signatures == "extra_content":
        return {"extra_content": {"google": {"thought_signature": signature}}}
    return {"provider_specific_fields": {"thought_signatures": [signature]}}


def _tool_call(call: Mapping[str, Any], dialect: Dialect) -> Json:
    function = {"name": call["function"]["name"], "arguments": call["function"].get("arguments") or "{}"}
    if dialect.parses_arguments:
        function["arguments"] = _object_text(function["arguments"])
    prepared = {"id": _call_id(call.get("id"), dialect), "type": "function", "function": function}
    signature = _signature(call)
    if dialect.signatures is None or signature is None:
        return prepared
    if dialect.signatures == "extra_content":
        return {**prepared, "extra_content": {"google": {"thought_signature": signature}}}
    return {**prepared, "provider_specific_fields": {"thought_signature": signature}}


def _signature(call: Mapping[str, Any]) -> str | None:
    """Gemini's signature of a tool call, from each of the places in which clients send it back."""
    for holder in (call, call["function"]):
        found = (holder.get("provider_specific_fields") or {}).get("thought_signature")
        if isinstance(found, str) and found:
            return found
    signature = _google(call) or str(call.get("id") or "").partition(SIGNATURE)[2]
    return signature or None


def _google(holder: Mapping[str, Any]) -> str | None:
    google = (holder.get("extra_content") or {}).get("google")
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    return signature if isinstance(signature, str) else None


def _call_id(given: Any, dialect: Dialect) -> Any:
    """The id of a tool call; the signature in it makes it longer than other providers allow."""
    return given if dialect.signatures == "provider_specific_fields" else str(given or "").partition(SIGNATURE)[0]


def _object_text(arguments: str) -> str:
    """Arguments as a JSON object: a model may have written something else, and its call must still go back."""
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        found = None
    return arguments if isinstance(found, dict) else json.dumps({"arguments": arguments}, ensure_ascii=False)


def _without_cache_control(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {name: value for name, value in part.items() if name != "cache_control"}


def _is_empty(message: Message, prepared: Json) -> bool:
    """Whether an assistant message held only a reasoning, of which nothing is left."""
    if message["role"] != "assistant" or REASONING_FIELDS.isdisjoint(message):
        return False
    return not any(value for name, value in prepared.items() if name not in ("role", "name"))


def _with_content(message: Json) -> Json:
    """`content` is null only where an assistant has other output: providers expect a text."""
    if message.get("content") not in (None, [], ""):
        return message
    is_null = message["role"] == "assistant" and any(message.get(name) for name in ("tool_calls", "refusal", "audio"))
    return {**message, "content": None if is_null else ""}


class _Turn:
    """A message, or several of an assistant that become one. They are joined once, however many they are."""

    def __init__(self, message: Json) -> None:
        self._pieces = [message]
        self._is_assistant = message["role"] == "assistant"
        self._has_calls = bool(message.get("tool_calls"))
        self._says_something = _says_something(message)

    def goes_on_with(self, message: Message) -> bool:
        """Whether an assistant message is part of this one, from which it was divided to keep the order of thinking.

        One that follows tool calls is, too: their results must follow directly.
        """
        if not self._is_assistant or message["role"] != "assistant":
            return False
        return self._has_calls or not self._says_something or not REASONING_FIELDS.isdisjoint(message)

    def add(self, message: Json) -> None:
        self._pieces.append(message)
        self._has_calls = self._has_calls or bool(message.get("tool_calls"))
        self._says_something = self._says_something or _says_something(message)

    def message(self) -> Json:
        first, *others = self._pieces
        if not others:
            return first
        both = dict(first)
        for piece in others:
            both |= {name: value for name, value in piece.items() if value}
        for names, join in ((TEXTS, _joined), (LISTS, _chained)):
            for name in names:
                values = [value for piece in self._pieces if (value := piece.get(name))]
                if len(values) > 1:
                    both[name] = join(values)
        return both


def _says_something(message: Message) -> bool:
    return any(message.get(name) for name in ("content", "refusal", "audio"))


def _chained(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [item for each in lists for item in each]


def _joined(contents: Sequence[Any]) -> Any:
    if all(isinstance(content, str) for content in contents):
        return "\n".join(contents)
    return _chained([_parts(content) for content in contents])


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _turn_lacks_thinking(messages: Sequence[Message]) -> bool:
    """Whether the conversation continues after tool calls of a turn that did not begin with thinking."""
    beginning = None
    for message in reversed(messages):
        if message["role"] == "user":
            break
        if message["role"] == "assistant":
            beginning = message
    is_within = bool(messages) and messages[-1]["role"] == "tool"
    return is_within and beginning is not None and not beginning.get("thinking_blocks")
