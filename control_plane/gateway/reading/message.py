"""Reads one message in OpenAI's form, whole or in chunks, as canonical events. Pure.

A message of an answer and a delta of a stream are read alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from control_plane.completion.events import (
    Audio,
    Citation,
    Event,
    Picture,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
)
from control_plane.gateway.reading.json_text import Halves, whole_json, whole_text
from control_plane.gateway.reading.tool_calls import ToolCallReader

Json = Mapping[str, Any]

PLAIN = frozenset({"content", "role"})

REASONING = frozenset({"reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details"})
"""Names of what is reasoning, of which providers use several at once."""

MOST_SECONDS = 10**11
"""Of a moment in Unix time."""

MOST_SOURCES = 10_000
"""Pictures and citations of one answer that are remembered, so that none is written twice."""


class MessageReader:
    """Feed it the deltas of one of the answers, or its message; it adds the events they make."""

    def __init__(self, choice: int, tools: Sequence[str]) -> None:
        """`tools`: the names of the tools that the request offers."""
        self._choice = choice
        self._halves = Halves()
        self._calls = ToolCallReader(choice, tools, self._halves)
        self._sources: set[object] = set()
        self._in_deltas: set[str] = set()
        self.has_tool_calls = False

    def take_delta(self, said: Json, logprobs: Json | None, events: list[Event]) -> None:
        """A piece of the message. Raises: TooManyCalls."""
        if said.keys() <= PLAIN:
            self._in_deltas.add("content")
        else:
            self._in_deltas.update(name for name, value in said.items() if value)
        self._take(said, logprobs, events)

    def take_message(self, said: Json, logprobs: Json | None, events: list[Event]) -> None:
        """The whole message, of which what has come in deltas is left out: some providers end a stream with it (MiniMax).

        Raises: TooManyCalls.
        """
        known = self._in_deltas
        if known & REASONING:
            known = known | REASONING
        self._take(
            {name: value for name, value in said.items() if name not in known} if known else said, logprobs, events
        )

    def text(self, text: str) -> list[Event]:
        """A delta that is only text."""
        self._in_deltas.add("content")
        text = self._halves.join(text, "content")
        return [Text(text, self._choice)] if text else []

    def add_text(self, text: str, logprobs: Json | None, events: list[Event]) -> None:
        """Some text."""
        text = self._halves.join(text, "content")
        if text:
            events.append(Text(text, self._choice, None if logprobs is None else whole_json(logprobs)))

    def end(self) -> list[Event]:
        """The waiting parts, and the ends of the tool calls."""
        events: list[Event] = []
        if text := self._halves.rest("reasoning"):
            events.append(Reasoning(text, choice=self._choice))
        if text := self._halves.rest("content"):
            events.append(Text(text, self._choice))
        if text := self._halves.rest("refusal"):
            events.append(Refusal(text, self._choice))
        return [*events, *self._calls.end()]

    def _take(self, said: Json, logprobs: Json | None, events: list[Event]) -> None:
        content = said.get("content")
        if said.keys() <= PLAIN:
            if content:
                self._take_content(content, logprobs, events)
            return
        self._take_reasoning(said, events)
        if content:
            self._take_content(content, logprobs, events)
        refusal = said.get("refusal")
        if not refusal and isinstance(specific := said.get("provider_specific_fields"), dict):
            refusal = specific.get("refusal")
        if isinstance(refusal, str) and (text := self._halves.join(refusal, "refusal")):
            events.append(Refusal(text, self._choice))
        self._take_media(said, events)
        if calls := said.get("tool_calls"):
            self._take_tool_calls(calls, events)
        if isinstance(call := said.get("function_call"), dict) and call:
            self._take_tool_calls([{"index": "function_call", "function": call}], events)

    def _take_content(self, content: Any, logprobs: Json | None, events: list[Event]) -> None:
        match content:
            case str():
                self.add_text(content, logprobs, events)
            case list():
                for part in content:
                    self._take_part(part, events)
            case dict():
                parts = content.get("parts")
                self._take_content(parts if isinstance(parts, list) else [content], logprobs, events)
            case bool():
                return
            case _:
                self.add_text(str(content), logprobs, events)

    def _take_part(self, part: Any, events: list[Event]) -> None:
        if isinstance(part, str):
            self.add_text(part, None, events)
            return
        if not isinstance(part, dict):
            return
        kind = part.get("type")
        if kind == "thinking" or (kind is None and "thinking" in part):
            self._add_reasoning(_text_in(part.get("thinking")), events)
        elif kind == "refusal":
            if text := self._halves.join(_text_in(part.get("refusal")), "refusal"):
                events.append(Refusal(text, self._choice))
        elif kind in ("image_url", "image", "output_image"):
            self._take_pictures([part], events)
        elif text := _text_in(part.get("text")):
            self.add_text(text, None, events)

    def _add_reasoning(self, text: str, events: list[Event]) -> None:
        text = self._halves.join(text, "reasoning")
        if text:
            events.append(Reasoning(text, choice=self._choice))

    def _take_reasoning(self, said: Json, events: list[Event]) -> None:
        """Reasoning, which some providers report under several names at once: the richest counts."""
        blocks = said.get("thinking_blocks")
        text = next(
            (found for key in ("reasoning_content", "reasoning", "thinking") if (found := _text_in(said.get(key)))), ""
        )
        if isinstance(blocks, list) and blocks:
            for block in blocks:
                if isinstance(block, dict):
                    self._take_block(block, events)
            return
        details = said.get("reasoning_details")
        if isinstance(details, list):
            events += [
                ReasoningDetail(whole_json(detail), self._choice) for detail in details if isinstance(detail, dict)
            ]
            if not text:
                text = "".join(
                    _text_in(detail.get("text") or detail.get("summary"))
                    for detail in details
                    if isinstance(detail, dict)
                )
        if text:
            self._add_reasoning(text, events)

    def _take_block(self, block: Json, events: list[Event]) -> None:
        if block.get("type") == "redacted_thinking":
            if isinstance(data := block.get("data"), str) and data:
                events.append(Reasoning(redacted=whole_text(data), choice=self._choice))
            return
        self._add_reasoning(_text_in(block.get("thinking")), events)
        if isinstance(signature := block.get("signature"), str) and signature:
            events.append(Reasoning(signature=whole_text(signature), choice=self._choice))

    def _take_media(self, said: Json, events: list[Event]) -> None:
        for key in ("images", "image"):
            if found := said.get(key):
                self._take_pictures(found if isinstance(found, list) else [found], events)
        if isinstance(annotations := said.get("annotations"), list) and annotations:
            self.take_sources(annotations, events)
        if isinstance(audio := said.get("audio"), dict):
            expires_at = audio.get("expires_at")
            found_id = audio.get("id")
            event = Audio(
                whole_text(_text_in(audio.get("data"))),
                self._halves.join(_text_in(audio.get("transcript")), "transcript"),
                whole_text(found_id) if isinstance(found_id, str) else None,
                expires_at if isinstance(expires_at, int) and abs(expires_at) < MOST_SECONDS else None,
                self._choice,
            )
            if event.data or event.transcript or event.id:
                events.append(event)

    def _take_pictures(self, parts: Sequence[Any], events: list[Event]) -> None:
        for part in parts:
            url = whole_text(_url_in(part))
            if url and self._is_new(hash(url)):
                events.append(Picture(url, self._choice))

    def take_sources(self, sources: Sequence[Any], events: list[Event]) -> None:
        """Sources of the text: annotations, or the entries of a list."""
        for source in sources:
            annotation = (
                {"type": "url_citation", "url_citation": {"url": source, "title": ""}}
                if isinstance(source, str)
                else source
            )
            if not isinstance(annotation, dict):
                continue
            annotation = whole_json(annotation)
            about = annotation.get("url_citation")
            about = about if isinstance(about, dict) else annotation
            url, title = _text_in(about.get("url")), _text_in(about.get("title"))
            if "type" not in annotation:  # an entry of a list of sources
                annotation = {"type": "url_citation", "url_citation": {"url": url, "title": title}}
            place = {name: about.get(name) for name in ("start_index", "end_index")}
            if self._is_new(orjson.dumps([url or annotation, place], option=orjson.OPT_SORT_KEYS)):
                events.append(Citation(url, title, annotation, self._choice))

    def _is_new(self, source: object) -> bool:
        if source in self._sources or len(self._sources) >= MOST_SOURCES:
            return False
        self._sources.add(source)
        return True

    def _take_tool_calls(self, calls: Any, events: list[Event]) -> None:
        for call in calls if isinstance(calls, list) else [calls]:
            if isinstance(call, dict):
                self.has_tool_calls = True
                events += self._calls.take(call)


def _text_in(value: Any) -> str:
    """The text of a value that should be one, or of parts."""
    match value:
        case str():
            return value
        case list():
            return "".join(
                _text_in(part.get("text") or part.get("content")) if isinstance(part, dict) else _text_in(part)
                for part in value
            )
        case _:
            return ""


def _url_in(part: Any) -> str:
    """The address of a picture, in one of the forms in which they are sent."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    for key in ("image_url", "url", "b64_json", "data"):
        value = part.get(key)
        if isinstance(value, dict):
            value = value.get("url")
        if isinstance(value, str) and value:
            return value if ":" in value[:12] else f"data:{part.get('mime_type') or 'image/png'};base64,{value}"
    return ""
