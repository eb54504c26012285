"""Converts an answer in the wire of OpenAI's Responses to the chat chunks that `chunks.py` reads. Pure.

LiteLLM uses that wire for some models; its translation loses refusals, sources and the text of reasoning.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
CALLS = ("function_call", "custom_tool_call")
ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")


class ResponsesTranslator:
    """Feed it the documents of one answer; it returns chunks, without why it ended and what it used."""

    def __init__(self) -> None:
        self._is_head = True
        self._said: set[Any] = set()

    def take(self, document: Json) -> Iterator[Json]:
        """The chunks that a document makes."""
        response = document if document.get("object") == "response" else document.get("response")
        kind = str(document.get("type"))
        if isinstance(response, dict):
            yield from self._response(response)
            return
        place = document.get("output_index", 0)
        if kind == "response.output_item.done":
            yield from self._item(document.get("item"), place)
        elif kind == "response.output_item.added":
            yield from self._begun(document.get("item"), place)
        elif kind == "response.output_text.annotation.added":
            yield _chunk(annotations=_annotations([document.get("annotation")]))
        elif isinstance(delta := document.get("delta"), str) and delta:
            yield from self._piece(kind, delta, place, document.get("logprobs"))

    def _response(self, response: Json) -> Iterator[Json]:
        """The answer's id, and the parts that did not come before its end."""
        if self._is_head:
            self._is_head = False
            yield {"id": response.get("id"), "model": response.get("model")}
        if response.get("status") in ("completed", "incomplete"):
            for place, item in enumerate(_list(response.get("output"))):
                yield from self._item(item, place)

    def _piece(self, kind: str, delta: str, place: Any, logprobs: Any) -> Iterator[Json]:
        if kind == "response.output_text.delta":
            yield self._saying(place, "text", content=delta, logprobs=logprobs)
        elif kind == "response.refusal.delta":
            yield self._saying(place, "refusal", refusal=delta)
        elif kind in REASONING:
            yield self._saying(place, "reasoning", reasoning_content=delta)
        elif kind in ARGUMENTS:
            name, key = ("function", "arguments") if kind == ARGUMENTS[0] else ("custom", "input")
            yield self._saying(place, "arguments", tool_calls=[{"index": place, name: {key: delta}}])

    def _saying(self, place: Any, part: str, *, logprobs: Any = None, **delta: Any) -> Json:
        self._said.add((place, part))
        return _chunk(logprobs=logprobs, **delta)

    def _begun(self, item: Any, place: Any) -> Iterator[Json]:
        """A tool call's name."""
        if isinstance(item, dict) and item.get("type") in CALLS and (place, "call") not in self._said:
            self._said.add((place, "call"))
            kind = "function" if item["type"] == "function_call" else "custom"
            called = {"index": place, "id": item.get("call_id") or item.get("id"), kind: {"name": item.get("name")}}
            yield _chunk(tool_calls=[called])

    def _item(self, item: Any, place: Any) -> Iterator[Json]:
        """A whole item: what of it did not come in pieces."""
        if not isinstance(item, dict):
            return
        kind = item.get("type")
        if kind in CALLS:
            yield from self._begun(item, place)
            if (place, "arguments") not in self._said:
                name, key = ("function", "arguments") if kind == "function_call" else ("custom", "input")
                yield self._saying(place, "arguments", tool_calls=[{"index": place, name: {key: item.get(key)}}])
        elif kind == "reasoning" and (place, "reasoning") not in self._said:
            text = "\n\n".join(_texts(item.get("summary"))) or "".join(_texts(item.get("content")))
            yield self._saying(place, "reasoning", reasoning_content=text)
        elif kind == "message":
            yield from self._message(item, place)
        elif kind == "image_generation_call" and item.get("result") and (place, "image") not in self._said:
            picture = {"b64_json": item["result"], "mime_type": f"image/{item.get('output_format') or 'png'}"}
            yield self._saying(place, "image", images=[picture])

    def _message(self, item: Json, place: Any) -> Iterator[Json]:
        parts = [part for part in _list(item.get("content")) if isinstance(part, dict)]
        has_text, has_refusal = ((place, part) in self._said for part in ("text", "refusal"))
        for part in parts:
            if part.get("type") == "refusal" and not has_refusal:
                yield self._saying(place, "refusal", refusal=part.get("refusal"))
            elif part.get("type") == "output_text":
                if not has_text:
                    yield self._saying(place, "text", content=part.get("text"), logprobs=part.get("logprobs"))
                if sources := _annotations(_list(part.get("annotations"))):
                    yield _chunk(annotations=sources)  # `chunks.py` leaves out those that came before


def _chunk(*, logprobs: Any = None, **delta: Any) -> Json:
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if isinstance(logprobs, list) and logprobs:
        choice["logprobs"] = {"content": logprobs}
    return {"choices": [choice]}


def _annotations(said: Sequence[Any]) -> list[Json]:
    """A source in the form of chat: its address under the name of its kind."""
    return [
        {"type": "url_citation", "url_citation": {name: value for name, value in source.items() if name != "type"}}
        if source.get("type") == "url_citation" and "url_citation" not in source
        else source
        for source in said
        if isinstance(source, dict)
    ]


def _texts(parts: Any) -> list[str]:
    return [part["text"] for part in _list(parts) if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
