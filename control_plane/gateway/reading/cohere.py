"""An answer in Cohere's wire (`/v2/chat`), as the chat chunks that `chunks.py` reads. Pure.

LiteLLM cannot read Cohere's streams, and of whole answers it drops the text beside tool calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


class CohereTranslator:
    """Feed it the documents of one answer; it returns chunks, without why it ended and what it used."""

    def take(self, document: Json) -> Iterator[Json]:
        """The chunks that a document makes."""
        kind = document.get("type")
        around = document.get("delta") if isinstance(kind, str) else document
        message = around.get("message") if isinstance(around, dict) else None
        if not isinstance(message, dict):
            return
        if kind in (None, "message-start"):
            yield {"id": document.get("id"), "model": document.get("model")}
        if isinstance(plan := message.get("tool_plan"), str) and plan:
            yield _chunk(reasoning_content=plan)
        for part in _several(message.get("content")):
            yield from _part(part)
        if sources := [each for citation in _several(message.get("citations")) for each in _annotations(citation)]:
            yield _chunk(annotations=sources)
        for place, call in enumerate(_several(message.get("tool_calls"))):
            if isinstance(call, dict):
                yield _chunk(tool_calls=[{"index": document.get("index", place), **call}])


def _chunk(**delta: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta}]}


def _part(part: Any) -> Iterator[Json]:
    if isinstance(part, str):
        yield _chunk(content=part)
    elif isinstance(part, dict):
        if isinstance(thought := part.get("thinking"), str) and thought:
            yield _chunk(reasoning_content=thought)
        if isinstance(text := part.get("text"), str) and text:
            yield _chunk(content=text)


def _annotations(citation: Any) -> Iterator[Json]:
    """One for each of a citation's sources: documents of the request, or what tools returned."""
    if not isinstance(citation, dict):
        return
    for source in _several(citation.get("sources")):
        if isinstance(source, dict):
            document = source.get("document")
            about = document if isinstance(document, dict) else source
            yield {
                "type": "url_citation",
                "url_citation": {
                    "url": str(about.get("url") or ""),
                    "title": str(about.get("title") or about.get("id") or source.get("id") or ""),
                    "start_index": citation.get("start"),
                    "end_index": citation.get("end"),
                },
            }


def _several(value: Any) -> Sequence[Any]:
    """Streams write one thing where whole answers write a list."""
    return value if isinstance(value, list) else () if value is None else (value,)
