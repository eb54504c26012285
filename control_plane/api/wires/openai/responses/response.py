"""Responses in OpenAI's form: whole, and as the events of its streams."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, assert_never

import orjson

from control_plane.api.http.problem import Problem
from control_plane.api.wires.calls_in_order import CallsInOrder
from control_plane.api.wires.openai.errors import error_of
from control_plane.api.wires.openai.responses.schema import ResponsesBody
from control_plane.api.wires.openai_fields import thinking_block
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion, Ending
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
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import ControlPlaneError
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]

INCOMPLETE: Mapping[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def whole(body: ResponsesBody, call: InFlightCall, answer: Completion) -> bytes:
    """A whole answer: the items that its stream would have had."""
    events = ResponseEvents(body, call, answer.served.model, is_streamed=False)
    for content in answer.events:
        events.chunk(content)
    events.rest()
    return orjson.dumps(events.response(answer.ending))


def usage(used: Usage, cost: NanoUsd | None) -> Json:
    """The usage; in addition to OpenAI's numbers the provider's cost, where it is known."""
    said: Json = {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": used.cache_write_tokens},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.total_tokens,
    }
    return said if cost is None else {**said, "cost_usd": usd(cost)}


def _head(body: ResponsesBody, call: InFlightCall, model: str) -> Json:
    given = body.model_dump(by_alias=True, include={"text", "tool_choice", "tools"}, exclude_none=True)
    return {
        "id": f"resp_{call.intent.call_id}",
        "object": "response",
        "created_at": int(call.intent.created_at.timestamp()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": dict(body.metadata or {}),
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": given.get("text") or {"format": {"type": "text"}},
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": given.get("tools", []),
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def _ended(head: Json, output: list[Json], ending: Ending) -> Json:
    finish = ending.finish
    why = INCOMPLETE.get(finish.reason)
    more = {} if finish.native is None else {"native_finish_reason": finish.native}
    if ending.usage.service_tier is not None:
        more["service_tier"] = ending.usage.service_tier
    return {
        **head,
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "output": output,
        "usage": usage(ending.usage, ending.cost),
        **more,
    }


Kind = Literal["message", "refusal", "reasoning", "function_call", "custom_tool_call", "image_generation_call"]

PREFIXES: Mapping[Kind, str] = {
    "message": "msg",
    "refusal": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "image_generation_call": "ig",
}


class _Item:
    """An item of the output while it is written. `facts`: its fields at the beginning."""

    def __init__(self, index: int, kind: Kind, ident: str, facts: Json) -> None:
        self.index = index
        self.kind = kind
        self.pieces: list[str] = []
        self.annotations: list[Json] = []
        self.sealed: str | None = None
        self.ident = f"{PREFIXES[kind]}_{ident}"
        self._facts = facts

    def body(self, *, is_done: bool) -> Json:
        """As it is now: empty before its end, whole at it."""
        text = "".join(self.pieces) if is_done else ""
        head = {"type": self.kind, "id": self.ident, "status": "completed" if is_done else "in_progress"}
        match self.kind:
            case "message" | "refusal":
                content = [self.part(text)] if is_done else []
                return {**head, "type": "message", "role": "assistant", "content": content}
            case "reasoning":
                content = [self.part(text)] if is_done and text else []
                sealed = {} if self.sealed is None else {"encrypted_content": self.sealed}
                return {**head, "summary": [], "content": content, **sealed}
            case "function_call":
                return {**head, **self._facts, "arguments": text}
            case "custom_tool_call":
                return {**head, **self._facts, "input": text}
            case "image_generation_call":
                return {**head, **self._facts}

    def part(self, text: str) -> Json:
        """The content of a message, or of a reasoning."""
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": self.annotations if text else [], "logprobs": []}


class ResponseEvents:
    """Writes one stream, an item behind the other: text and reasoning end where the other, or a call, begins."""

    def __init__(self, body: ResponsesBody, call: InFlightCall, model: str, *, is_streamed: bool = True) -> None:
        """`is_streamed`: false, where only the whole response is wanted."""
        self._is_streamed = is_streamed
        self._head = _head(body, call, model)
        self._ident = str(call.intent.call_id)
        self._number = 0
        self._items: list[_Item] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._order = CallsInOrder()

    def chunk(self, content: Content) -> bytes:
        """The output of an event."""
        if content.choice:
            return b""
        return self._begin() + self._contents(self._order.take(content))

    def rest(self) -> bytes:
        """The parts that wait for the end of a call."""
        return self._contents(self._order.end())

    def ending(self, ending: Ending) -> bytes:
        """The items' ends and the whole response."""
        written = self._begin() + self.rest() + self._close()
        response = self.response(ending)
        return written + self._event(f"response.{response['status']}", response=response)

    def response(self, ending: Ending) -> Json:
        """The whole response."""
        return _ended(self._head, [item.body(is_done=True) for item in self._items], ending)

    def error(self, error: ControlPlaneError) -> bytes:
        """The failure, in the form that the SDKs raise."""
        said = error_of(Problem.of(error))
        return self.rest() + self._event(
            "error", code=said["code"], message=said["message"], param=said["param"], error=said
        )

    def _contents(self, contents: Iterable[Content]) -> bytes:
        return b"".join([self._content(content) for content in contents])

    def _content(self, content: Content) -> bytes:  # noqa: C901, PLR0911 - one for each event
        match content:
            case Text():
                return self._said("message", content.text)
            case Reasoning():
                return self._reasoned(content)
            case Refusal():
                return self._said("refusal", content.text)
            case ToolCallBegun():
                return self._called(content)
            case ToolCallArguments():
                return self._arguments(content)
            case Picture():
                return self._drawn(content)
            case Citation():
                return self._cited(content)
            case Audio():
                return self._said("message", content.transcript) if content.transcript else b""
            case ToolCallEnded():
                return self._done(self._calls.pop(content.number))
            case ReasoningDetail():
                return b""
            case _:
                assert_never(content)

    def _begin(self) -> bytes:
        if self._number:
            return b""
        return self._event("response.created", response=self._head) + self._event(
            "response.in_progress", response=self._head
        )

    def _said(self, kind: Kind, text: str) -> bytes:
        written, item = self._in(kind)
        if kind == "reasoning" and not item.pieces:
            written += self._of(item, "response.content_part.added", content_index=0, part=item.part(""))
        item.pieces.append(text)
        if kind == "message":
            return written + self._of(item, "response.output_text.delta", content_index=0, delta=text, logprobs=[])
        name = "refusal" if kind == "refusal" else "reasoning_text"
        return written + self._of(item, f"response.{name}.delta", content_index=0, delta=text)

    def _in(self, kind: Kind) -> tuple[bytes, _Item]:
        """The open item of that kind, and what opens it."""
        if self._open is not None and self._open.kind == kind:
            return b"", self._open
        written = self._close()
        added, self._open = self._added(kind, {})
        written += added
        if kind != "reasoning":
            part = self._open.part("")
            written += self._of(self._open, "response.content_part.added", content_index=0, part=part)
        return written, self._open

    def _reasoned(self, event: Reasoning) -> bytes:
        """Text as it comes. What is signed or sealed goes into `encrypted_content`, which clients send back unchanged."""
        written = self._said("reasoning", event.text) if event.text else b""
        if event.signature is None and event.redacted is None:
            return written
        opened, item = self._in("reasoning")
        thought = Reasoning("".join(item.pieces), event.signature, event.redacted)
        item.sealed = orjson.dumps([thinking_block(thought)]).decode()
        return written + opened + self._close()

    def _called(self, event: ToolCallBegun) -> bytes:
        kind: Kind = "custom_tool_call" if event.kind == "custom" else "function_call"
        written = self._close()
        added, item = self._added(kind, {"call_id": event.id, "name": event.name})
        self._calls[event.number] = item
        return written + added

    def _arguments(self, event: ToolCallArguments) -> bytes:
        item = self._calls[event.number]
        item.pieces.append(event.text)
        name = "custom_tool_call_input" if item.kind == "custom_tool_call" else "function_call_arguments"
        return self._of(item, f"response.{name}.delta", delta=event.text)

    def _drawn(self, picture: Picture) -> bytes:
        """A picture, as its data in base64; one that is only an address stays one."""
        written = self._close()
        data = picture.url.partition(";base64,")[2]
        added, item = self._added("image_generation_call", {"result": data or picture.url})
        return (
            written
            + added
            + self._event("response.output_item.done", output_index=item.index, item=item.body(is_done=True))
        )

    def _cited(self, citation: Citation) -> bytes:
        written, item = self._in("message")
        about = citation.annotation.get("url_citation")
        facts = about if isinstance(about, dict) else {}
        annotation = {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title,
            "start_index": facts.get("start_index") or 0,
            "end_index": facts.get("end_index") or 0,
        }
        item.annotations.append(annotation)
        place = len(item.annotations) - 1
        return written + self._of(
            item,
            "response.output_text.annotation.added",
            content_index=0,
            annotation_index=place,
            annotation=annotation,
        )

    def _added(self, kind: Kind, facts: Json) -> tuple[bytes, _Item]:
        item = _Item(len(self._items), kind, f"{self._ident}_{len(self._items)}", facts)
        self._items.append(item)
        written = self._event("response.output_item.added", output_index=item.index, item=item.body(is_done=False))
        return written, item

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        item, self._open = self._open, None
        return self._done(item)

    def _done(self, item: _Item) -> bytes:
        text = "".join(item.pieces)
        body = item.body(is_done=True)
        match item.kind:
            case "message":
                written = self._of(item, "response.output_text.done", content_index=0, text=text, logprobs=[])
                written += self._of(item, "response.content_part.done", content_index=0, part=body["content"][0])
            case "refusal":
                written = self._of(item, "response.refusal.done", content_index=0, refusal=text)
                written += self._of(item, "response.content_part.done", content_index=0, part=body["content"][0])
            case "reasoning":
                written = b""  # one that is sealed has no text
                if text:
                    written = self._of(item, "response.reasoning_text.done", content_index=0, text=text)
                    written += self._of(item, "response.content_part.done", content_index=0, part=item.part(text))
            case "custom_tool_call":
                written = self._of(item, "response.custom_tool_call_input.done", input=text)
            case _:
                written = self._of(item, "response.function_call_arguments.done", name=body["name"], arguments=text)
        return written + self._event("response.output_item.done", output_index=item.index, item=body)

    def _of(self, item: _Item, kind: str, **said: Any) -> bytes:
        return self._event(kind, item_id=item.ident, output_index=item.index, **said)

    def _event(self, kind: str, **said: Any) -> bytes:
        if not self._is_streamed:
            return b""
        numbered = {"type": kind, "sequence_number": self._number, **said}
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + orjson.dumps(numbered) + b"\n\n"
