"""One answer in OpenAI's form, whole or in chunks, as canonical events. Pure: JSON data in, events out.

Both lanes read with this: the relay a provider's own JSON, LiteLLM's lane either that or what LiteLLM made of another
API. What is odd about it is put right here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from control_plane.completion.events import (
    Audio,
    Broken,
    Citation,
    Event,
    Picture,
    ProviderFault,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
)
from control_plane.completion.finish import Finish, finish_of, is_failure, said_of
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import Halves, whole_json
from control_plane.gateway.reading.tool_calls import ToolCallReader, TooManyCalls
from control_plane.gateway.reading.usage import ReportedUsage

Json = Mapping[str, Any]

USUAL = frozenset(
    {"content", "role", "refusal", "tool_calls", "function_call", "reasoning_content", "annotations", "audio"}
)

REASONING = frozenset({"reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details"})
"""Names of what is reasoning, of which providers use several at once."""

STOPS = ("stop_reason", "matched_stop", "stop_sequence")
"""Where servers report which stop sequence was met: vLLM, SGLang, others. A number there is a token, and no sequence."""

EMPTY = ProviderFault(500, "empty_answer", text="the provider's answer is empty")

MOST_SOURCES = 10_000
"""Pictures and citations of one answer that are remembered, so that none is written twice."""


class ChunkReader:
    """Feed it the documents of one answer, in their order; it returns the events they make.

    `told_id`, `told_model`: what the provider calls the answer and its model. Nothing follows a Broken.
    """

    def __init__(self, *, answers: int = 1, tools: Sequence[str] = (), may_be_empty: bool = False) -> None:
        """`answers`: how many were asked for; others are left out. `tools`: the names of the tools that the request offers.
        `may_be_empty`: whether an answer without content is one although the provider was not kept from it.
        """
        self._may_be_empty = may_be_empty
        self.usage = ReportedUsage()
        self.told_id = ""
        self.told_model = ""
        self.is_broken = False
        self.has_content = False
        self._answers = answers
        self._tools = tools
        self._halves = Halves()
        self._finishes: dict[int, str] = {}
        self._stop_sequences: dict[int, str] = {}
        self._tool_calls: dict[int, ToolCallReader] = {}
        self._sources: set[object] = set()
        self._in_deltas: dict[int, set[str]] = {}

    @property
    def has_finish(self) -> bool:
        """Whether the provider said of an answer why it ended."""
        return bool(self._finishes)

    def take(self, document: Any, *, is_error: bool = False) -> list[Event]:
        """A chunk, or a whole answer. `is_error`: it comes under the name of an error."""
        if self.is_broken:
            return []
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
        if (fault := _fault(document, is_error=is_error)) is not None:
            return [self.broken(fault)]
        self._take_head(document)
        choices = document.get("choices")
        events: list[Event] = []
        if isinstance(choices, list):
            for place, choice in enumerate(choices):
                if isinstance(choice, dict) and not self.is_broken:
                    self._take_choice(choice, place, events)
        for key in ("citations", "search_results"):  # Perplexity, xAI
            if (sources := document.get(key)) and isinstance(sources, list):
                self._take_sources(sources, 0, events)
        if events:
            self.has_content = True
        return events

    def end(self) -> list[Event]:
        """What waited for more, and the ends of the tool calls."""
        events: list[Event] = []
        if self.is_broken:
            return events
        for choice in range(self._answers):
            if text := self._halves.rest(("reasoning", choice)):
                events.append(Reasoning(text, choice=choice))
            if text := self._halves.rest(("content", choice)):
                events.append(Text(text, choice))
            if text := self._halves.rest(("refusal", choice)):
                events.append(Refusal(text, choice))
        for reader in self._tool_calls.values():
            events += reader.end()
        self.has_content = self.has_content or bool(events)
        return events if self._is_answer() else [self.broken(EMPTY)]

    def _is_answer(self) -> bool:
        """Whether it has content, or a reason to have none: its length, a filter, a turn that ends behind tools."""
        return (
            self.has_content
            or self._may_be_empty
            or any(finish.reason in ("length", "content_filter") for finish in self.finishes().values())
        )

    def broken(self, fault: ProviderFault) -> Broken:
        """The answer breaks off."""
        self.is_broken = True
        return Broken(fault)

    def finish(self, said: str | None, stop_sequence: str | None = None) -> None:
        """Why the first answer ended, where the provider's word does not stand in the chunks."""
        if said is not None:
            self._finishes[0] = said
        if stop_sequence is not None:
            self._stop_sequences[0] = stop_sequence

    def finishes(self) -> Mapping[int, Finish]:
        """Why each of the answers that were asked for ended. One whose reason is missing ended as the first known one."""
        default = next(iter(self._finishes.values()), None)
        return {
            choice: finish_of(
                self._finishes.get(choice, default),
                has_tool_calls=choice in self._tool_calls,
                stop_sequence=self._stop_sequences.get(choice),
            )
            for choice in range(self._answers)
        }

    def _take_head(self, document: Json) -> None:
        if not self.told_id:
            self.told_id, self.told_model = _name(document.get("id")), _name(document.get("model"))
        if (usage := document.get("usage")) is not None:
            self.usage.take(usage)
        if isinstance(groq := document.get("x_groq"), dict):
            self.usage.take(groq.get("usage"))
        if (tier := document.get("service_tier")) is not None:
            self.usage.take_tier(tier)

    def _take_choice(self, choice: Json, place: int, events: list[Event]) -> None:
        index = _index(choice.get("index"), place)
        if not 0 <= index < self._answers:
            return
        if (error := choice.get("error")) and (fault := find_fault({"error": error})) is not None:
            events.append(self.broken(fault))
            return
        said = choice.get("delta")
        if isinstance(said, dict):
            self._in_deltas.setdefault(index, set()).update(name for name, value in said.items() if value)
        else:
            said = self._without_repetition(choice.get("message"), index)
        logprobs = choice.get("logprobs")
        if isinstance(said, dict):
            self._take_message(said, index, logprobs if isinstance(logprobs, dict) else None, events)
        elif isinstance(text := choice.get("text"), str) and text:
            self._add_text(text, index, None, events)
        if "usage" in choice:
            self.usage.take(choice["usage"])  # Moonshot
        self._take_finish(choice, index, events)

    def _without_repetition(self, said: Any, index: int) -> Any:
        """A message without what has come in deltas: some providers end a stream with the whole message (MiniMax)."""
        known = self._in_deltas.get(index)
        if not known or not isinstance(said, dict):
            return said
        if known & REASONING:
            known = known | REASONING
        return {name: value for name, value in said.items() if name not in known}

    def _take_finish(self, choice: Json, index: int, events: list[Event]) -> None:
        said = choice.get("finish_reason")
        if said is None:
            details = choice.get("finish_details")
            said = details.get("type") if isinstance(details, dict) else None
        reason = said_of(said)
        if reason is None:
            return
        if is_failure(reason):
            events.append(self.broken(ProviderFault(500, code=reason, text="the provider ended the answer as failed")))
            return
        self._finishes[index] = reason
        met = next((found for name in STOPS if isinstance(found := choice.get(name), str)), None)
        if met is not None:
            self._stop_sequences[index] = met[:1000]

    def _take_message(self, said: Json, index: int, logprobs: Json | None, events: list[Event]) -> None:
        content = said.get("content")
        if not (said.keys() - {"content", "role"}):
            if content:
                self._take_content(content, index, logprobs, events)
            return
        self._take_reasoning(said, index, events)
        if content:
            self._take_content(content, index, logprobs, events)
        refusal = said.get("refusal")
        if not refusal and isinstance(specific := said.get("provider_specific_fields"), dict):
            refusal = specific.get("refusal")
        if isinstance(refusal, str) and (text := self._halves.join(refusal, ("refusal", index))):
            events.append(Refusal(text, index))
        self._take_media(said, index, events)
        if calls := said.get("tool_calls"):
            self._take_tool_calls(calls, index, events)
        if isinstance(call := said.get("function_call"), dict) and call:
            self._take_tool_calls([{"index": "function_call", "function": call}], index, events)

    def _take_content(self, content: Any, index: int, logprobs: Json | None, events: list[Event]) -> None:
        match content:
            case str():
                self._add_text(content, index, logprobs, events)
            case list():
                for part in content:
                    self._take_part(part, index, events)
            case dict():
                parts = content.get("parts")
                self._take_content(parts if isinstance(parts, list) else [content], index, logprobs, events)
            case bool():
                return
            case _:
                self._add_text(str(content), index, logprobs, events)

    def _take_part(self, part: Any, index: int, events: list[Event]) -> None:
        if isinstance(part, str):
            self._add_text(part, index, None, events)
            return
        if not isinstance(part, dict):
            return
        kind = part.get("type")
        if kind == "thinking" or (kind is None and "thinking" in part):
            self._add_reasoning(_text_in(part.get("thinking")), index, events)
        elif kind == "refusal":
            if text := self._halves.join(_text_in(part.get("refusal")), ("refusal", index)):
                events.append(Refusal(text, index))
        elif kind in ("image_url", "image", "output_image"):
            self._take_pictures([part], index, events)
        elif text := _text_in(part.get("text")):
            self._add_text(text, index, None, events)

    def _add_text(self, text: str, index: int, logprobs: Json | None, events: list[Event]) -> None:
        text = self._halves.join(text, ("content", index))
        if text:
            events.append(Text(text, index, None if logprobs is None else whole_json(logprobs)))

    def _add_reasoning(self, text: str, index: int, events: list[Event]) -> None:
        text = self._halves.join(text, ("reasoning", index))
        if text:
            events.append(Reasoning(text, choice=index))

    def _take_reasoning(self, said: Json, index: int, events: list[Event]) -> None:
        """Reasoning, which some providers report under several names at once: the richest counts."""
        blocks = said.get("thinking_blocks")
        text = next(
            (found for key in ("reasoning_content", "reasoning", "thinking") if (found := _text_in(said.get(key)))), ""
        )
        if isinstance(blocks, list) and blocks:
            for block in blocks:
                if isinstance(block, dict):
                    self._take_block(block, index, events)
            return
        details = said.get("reasoning_details")
        if isinstance(details, list):
            events += [ReasoningDetail(whole_json(detail), index) for detail in details if isinstance(detail, dict)]
            if not text:
                text = "".join(
                    _text_in(detail.get("text") or detail.get("summary"))
                    for detail in details
                    if isinstance(detail, dict)
                )
        if text:
            self._add_reasoning(text, index, events)

    def _take_block(self, block: Json, index: int, events: list[Event]) -> None:
        if block.get("type") == "redacted_thinking":
            if isinstance(data := block.get("data"), str) and data:
                events.append(Reasoning(redacted=data, choice=index))
            return
        self._add_reasoning(_text_in(block.get("thinking")), index, events)
        if isinstance(signature := block.get("signature"), str) and signature:
            events.append(Reasoning(signature=signature, choice=index))

    def _take_media(self, said: Json, index: int, events: list[Event]) -> None:
        for key in ("images", "image"):
            if found := said.get(key):
                self._take_pictures(found if isinstance(found, list) else [found], index, events)
        if isinstance(annotations := said.get("annotations"), list) and annotations:
            self._take_sources(annotations, index, events)
        if isinstance(audio := said.get("audio"), dict):
            expires_at = audio.get("expires_at")
            found_id = audio.get("id")
            event = Audio(
                _text_in(audio.get("data")),
                self._halves.join(_text_in(audio.get("transcript")), ("transcript", index)),
                found_id if isinstance(found_id, str) else None,
                expires_at if isinstance(expires_at, int) else None,
                index,
            )
            if event.data or event.transcript or event.id:
                events.append(event)

    def _take_pictures(self, parts: Sequence[Any], index: int, events: list[Event]) -> None:
        for part in parts:
            url = _url_in(part)
            if url and self._is_new((index, hash(url))):
                events.append(Picture(url, index))

    def _take_sources(self, sources: Sequence[Any], index: int, events: list[Event]) -> None:
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
            if self._is_new((index, orjson.dumps([url or annotation, place], option=orjson.OPT_SORT_KEYS))):
                events.append(Citation(url, title, annotation, index))

    def _is_new(self, source: object) -> bool:
        if source in self._sources or len(self._sources) >= MOST_SOURCES:
            return False
        self._sources.add(source)
        return True

    def _take_tool_calls(self, calls: Any, index: int, events: list[Event]) -> None:
        reader = self._tool_calls.get(index)
        try:
            for call in calls if isinstance(calls, list) else [calls]:
                if isinstance(call, dict):
                    if reader is None:
                        reader = self._tool_calls[index] = ToolCallReader(index, self._tools, self._halves)
                    events += reader.take(call)
        except TooManyCalls as error:
            events.append(self.broken(ProviderFault(500, text=str(error))))


def _fault(document: Any, *, is_error: bool) -> ProviderFault | None:
    if not isinstance(document, dict):
        return find_fault(document, is_certain=True)
    if document.get("choices") and "error" not in document and not is_error:
        return None
    return find_fault(document, is_certain=is_error)


def _index(said: Any, place: int) -> int:
    return said if isinstance(said, int) and not isinstance(said, bool) else place


def _name(value: Any) -> str:
    return str(value)[:500] if value else ""


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
