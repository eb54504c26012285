"""Reads one answer in OpenAI's form, whole or in chunks, as canonical events. Pure: JSON data in, events out.

Both lanes use this: the relay for a provider's own JSON, LiteLLM's lane for that or LiteLLM's translation of another
API. Oddities are corrected here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.completion.events import Broken, Event, ProviderFault
from control_plane.completion.finish import Finish, finish_of, is_failure, said_of
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import whole_text
from control_plane.gateway.reading.message import PLAIN, MessageReader
from control_plane.gateway.reading.tool_calls import TooManyCalls
from control_plane.gateway.reading.usage import ReportedUsage

Json = Mapping[str, Any]

STOPS = ("stop_reason", "matched_stop", "stop_sequence")
"""Fields in which servers report the stop sequence: vLLM, SGLang, others. A number there is a token, and no sequence.
"""

ORDINARY_CHUNK = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation", "choices", "usage"}
)
ORDINARY_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})

NOT_A_CHUNK = ProviderFault(500, text="not a part of an answer")
EMPTY = ProviderFault(500, "empty_answer", text="the provider's answer is empty")


class ChunkReader:
    """Feed it the documents of one answer, in their order; it returns the events they make.

    `told_id`, `told_model`: what the provider calls the answer and its model. Nothing follows a Broken.
    """

    def __init__(self, *, answers: int = 1, tools: Sequence[str] = (), may_be_empty: bool = False) -> None:
        """`answers`: how many were requested; others are left out. `tools`: the names of the tools that the request
        offers. `may_be_empty`: whether an answer without content is valid although the provider could have answered.
        """
        self._may_be_empty = may_be_empty
        self.usage = ReportedUsage()
        self.told_id = ""
        self.told_model = ""
        self.is_broken = False
        self.has_content = False
        self._answers = answers
        self._tools = tools
        self._finishes: dict[int, str] = {}
        self._stop_sequences: dict[int, str] = {}
        self._messages: dict[int, MessageReader] = {}

    @property
    def has_finish(self) -> bool:
        """Whether the provider gave any choice a finish reason."""
        return bool(self._finishes)

    @staticmethod
    def is_answer(document: Any) -> bool:
        """Whether a document that came alone is an answer."""
        if isinstance(document, list) and document:
            document = document[0]
        return isinstance(document, dict) and isinstance(document.get("choices"), list) and bool(document["choices"])

    def take(self, document: Any, *, is_error: bool = False) -> list[Event]:
        """A chunk, a whole answer, or a list of such. `is_error`: it comes under the name of an error."""
        if not is_error and (ordinary := self._ordinary(document)) is not None:
            return ordinary
        events: list[Event] = []
        for inner in document if isinstance(document, list) and document else [document]:
            if not self.is_broken:
                events += self._take_document(inner, is_error=is_error)
        return events

    def _ordinary(self, document: Any) -> list[Event] | None:  # noqa: PLR0911 - each ends where a chunk may be another
        """The events of a chunk that adds only text to an answer that has begun; None for any other chunk.

        Nearly every chunk is one, and reading it as if it could be anything costs several times as much.
        """
        if not self.told_id or self.is_broken or type(document) is not dict:
            return None
        if not document.keys() <= ORDINARY_CHUNK or document.get("usage") is not None:
            return None
        choices = document.get("choices")
        if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
            return None
        if not choice.keys() <= ORDINARY_CHOICE or choice.get("finish_reason") is not None:
            return None
        if choice.get("logprobs") is not None or document.get("service_tier") not in (None, self.usage.service_tier):
            return None
        delta, index = choice.get("delta"), choice.get("index")
        if type(delta) is not dict or not delta.keys() <= PLAIN or type(index) is not int:
            return None
        content, message = delta.get("content"), self._messages.get(index)
        if type(content) is not str or not content or message is None:
            return None
        events = message.text(content)
        self.has_content = self.has_content or bool(events)
        return events

    def _take_document(self, document: Any, *, is_error: bool) -> list[Event]:
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
                self._message(0).take_sources(sources, events)
        if events:
            self.has_content = True
        return _up_to_broken(events) if self.is_broken else events

    def end(self) -> list[Event]:
        """The waiting parts, and the ends of the tool calls."""
        events: list[Event] = []
        if self.is_broken:
            return events
        for message in self._messages.values():
            events += message.end()
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

    def finish(self, ends: Mapping[int, str], stop_sequence: str | None = None) -> None:
        """Why answers ended, and what the first one met, where the provider's words do not stand in the chunks."""
        self._finishes.update(ends)
        if stop_sequence is not None:
            self._stop_sequences[0] = stop_sequence

    def finishes(self) -> Mapping[int, Finish]:
        """The finish of each requested choice. One without a reason gets the first known one."""
        default = next(iter(self._finishes.values()), None)
        return {
            choice: finish_of(
                self._finishes.get(choice, default),
                has_tool_calls=choice in self._messages and self._messages[choice].has_tool_calls,
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
        try:
            self._take_said(choice, self._message(index), events)
        except TooManyCalls as error:
            events.append(self.broken(ProviderFault(500, text=str(error))))
            return
        if "usage" in choice:
            self.usage.take(choice["usage"])  # Moonshot
        self._take_finish(choice, index, events)

    def _message(self, index: int) -> MessageReader:
        found = self._messages.get(index)
        if found is None:
            found = self._messages[index] = MessageReader(index, self._tools)
        return found

    def _take_said(self, choice: Json, message: MessageReader, events: list[Event]) -> None:
        logprobs = found if isinstance(found := choice.get("logprobs"), dict) else None
        if isinstance(said := choice.get("delta"), dict):
            message.take_delta(said, logprobs, events)
        elif isinstance(said := choice.get("message"), dict):
            message.take_message(said, logprobs, events)
        elif isinstance(text := choice.get("text"), str) and text:
            message.add_text(text, None, events)

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
            self._stop_sequences[index] = whole_text(met[:1000])


def _up_to_broken(events: list[Event]) -> list[Event]:
    place = next(place for place, event in enumerate(events) if isinstance(event, Broken))
    return events[: place + 1]


def _fault(document: Any, *, is_error: bool) -> ProviderFault | None:
    if not isinstance(document, dict):
        return find_fault(document, is_certain=True) or NOT_A_CHUNK
    if document.get("choices") and "error" not in document and not is_error:
        return None
    return find_fault(document, is_certain=is_error)


def _index(said: Any, place: int) -> int:
    return said if isinstance(said, int) and not isinstance(said, bool) else place


def _name(value: Any) -> str:
    return whole_text(str(value)[:500]) if value else ""
