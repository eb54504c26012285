"""Answers in other wires that are translated here, because LiteLLM's translation loses parts of them. Pure."""

from typing import Any

from control_plane.completion.events import Event
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reading.cohere import CohereTranslator
from control_plane.gateway.reading.native import NativeEnd, Wire
from control_plane.gateway.reading.responses import ResponsesTranslator

Translator = ResponsesTranslator | CohereTranslator


class TranslatedChunks(ChunkReader):
    """A ChunkReader that is fed documents of another wire."""

    def __init__(self, translator: Translator, native: NativeEnd, **asked: Any) -> None:
        """`native`: reads the finish reason and the usage. `asked`: as a ChunkReader's."""
        super().__init__(**asked)
        self._translator = translator
        self._native = native
        self.usage = native.usage

    def take(self, document: Any, *, is_error: bool = False) -> list[Event]:
        """A document of the answer, whole or a piece. `is_error`: it comes under the name of an error."""
        if self.is_broken:
            return []
        if (fault := self._native.take(document, is_error=is_error)) is not None:
            return [self.broken(fault)]
        events: list[Event] = []
        if isinstance(document, dict):
            for chunk in self._translator.take(document):
                events += super().take(chunk)
        self.finish(self._native.ends)
        return events

    @staticmethod
    def is_answer(document: Any) -> bool:
        """Whether a document that came alone is an answer."""
        return isinstance(document, dict) and not document.get("error")


def translator_of(wire: Wire) -> Translator | None:
    """The translator of a wire; None for those that need none, or that LiteLLM translates."""
    match wire:
        case "responses":
            return ResponsesTranslator()
        case "cohere":
            return CohereTranslator()
        case _:
            return None
