"""Responses in OpenAI's shape: whole, and as the events its SDKs put together."""

from collections.abc import Mapping
from typing import Any

import orjson

from control_plane.api.failures import Failure
from control_plane.api.openai.errors import error_of
from control_plane.calls.live import LiveCall
from control_plane.calls.service import AnsweredCall
from control_plane.chat import Answer, Chunk, Ending
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.errors import HouseError
from control_plane.schemas.openai_responses import ResponsesBody
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]

INCOMPLETE: Mapping[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def whole(body: ResponsesBody, answered: AnsweredCall[Answer]) -> Json:
    """A whole answer."""
    answer, call = answered.answer, answered.call
    said = answer.choices[0]["message"]
    output: list[Json] = []
    call_id = str(call.intent.call_id)
    if said.get("reasoning_content"):
        output.append(_reasoning(call_id, said["reasoning_content"]))
    if answer.content:
        output.append(_message(call_id, _part(answer.content, is_refusal=bool(said.get("refusal")))))
    for number, tool_call in enumerate(answer.tool_calls):
        function = tool_call["function"]
        output.append(
            _function_call(f"{call_id}_{number}", tool_call["id"], function["name"], function.get("arguments") or "")
        )
    head = _head(body, call, answer.served.model)
    return _ended(head, output, answer.finish_reason, usage(answer.usage, answer.cost))


def usage(used: Usage, cost: NanoUsd | None) -> Json:
    """What was used; beside OpenAI's numbers what it costs at the provider, where that is known."""
    said: Json = {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.total_tokens,
    }
    return said if cost is None else {**said, "cost_usd": usd(cost)}


def _head(body: ResponsesBody, call: LiveCall, model: str) -> Json:
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


def _ended(head: Json, output: list[Json], reason: FinishReason, used: Json) -> Json:
    why = INCOMPLETE.get(reason)
    return {
        **head,
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "output": output,
        "usage": used,
    }


def _part(text: str, *, is_refusal: bool) -> Json:
    if is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(ident: str, part: Json | None, status: str = "completed") -> Json:
    content = [] if part is None else [part]
    return {"type": "message", "id": f"msg_{ident}", "status": status, "role": "assistant", "content": content}


def _reasoning(ident: str, text: str | None, status: str = "completed") -> Json:
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": f"rs_{ident}", "summary": [], "content": content, "status": status}


def _function_call(ident: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{ident}",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


class _Item:
    """An item of the output while it is written."""

    def __init__(self, index: int, kind: str, ident: str, call: tuple[str, str] = ("", "")) -> None:
        self.index = index
        self.kind = kind
        self.pieces: list[str] = []
        self._ident = ident
        self._call = call

    def body(self, *, is_done: bool) -> Json:
        """As it is now: empty before its end, whole at it."""
        status = "completed" if is_done else "in_progress"
        text = "".join(self.pieces) if is_done else None
        if self.kind in ("message", "refusal"):
            part = None if text is None else _part(text, is_refusal=self.kind == "refusal")
            return _message(self._ident, part, status)
        if self.kind == "reasoning":
            return _reasoning(self._ident, text, status)
        return _function_call(self._ident, *self._call, text or "", status)


class ResponseEvents:
    """Writes one stream. Text and reasoning end where the other, or a call, begins; calls, whose pieces may come in turns,
    end with the stream.
    """

    def __init__(self, body: ResponsesBody, call: LiveCall, model: str) -> None:
        self._head = _head(body, call, model)
        self._ident = str(call.intent.call_id)
        self._number = 0
        self._items: list[_Item] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def chunk(self, chunk: Chunk) -> bytes:
        """What a piece adds."""
        delta = chunk.delta
        written = self._begin()
        if delta.get("reasoning_content"):
            written += self._said("reasoning", delta["reasoning_content"])
        if delta.get("content"):
            written += self._said("message", delta["content"])
        if delta.get("refusal"):
            written += self._said("refusal", delta["refusal"])
        for piece in delta.get("tool_calls") or ():
            written += self._called(piece)
        return written

    def ending(self, ending: Ending) -> bytes:
        """The items' ends and the whole response."""
        written = self._begin() + self._close()
        for item in self._calls.values():
            written += self._done(item)
        output = [item.body(is_done=True) for item in self._items]
        response = _ended(self._head, output, ending.finish_reason, usage(ending.usage, ending.cost))
        return written + self._event(f"response.{response['status']}", response=response)

    def error(self, error: HouseError) -> bytes:
        """The failure, in the form that the SDKs raise."""
        said = error_of(Failure.of(error))
        return self._event("error", code=said["code"], message=said["message"], param=said["param"], error=said)

    def _begin(self) -> bytes:
        if self._number:
            return b""
        return self._event("response.created", response=self._head) + self._event(
            "response.in_progress", response=self._head
        )

    def _said(self, kind: str, text: str) -> bytes:
        written = b""
        if self._open is None or self._open.kind != kind:
            written = self._close()
            self._open = self._added(kind, f"{self._ident}_{len(self._items)}")
            written += self._event(
                "response.output_item.added", output_index=self._open.index, item=self._open.body(is_done=False)
            )
            if kind != "reasoning":
                part = _part("", is_refusal=kind == "refusal")
                written += self._of(self._open, "response.content_part.added", content_index=0, part=part)
        item = self._open
        item.pieces.append(text)
        if kind == "message":
            return written + self._of(item, "response.output_text.delta", content_index=0, delta=text, logprobs=[])
        name = "refusal" if kind == "refusal" else "reasoning_text"
        return written + self._of(item, f"response.{name}.delta", content_index=0, delta=text)

    def _called(self, piece: Mapping[str, Any]) -> bytes:
        number = piece.get("index") or 0
        function = piece.get("function") or {}
        written = b""
        if number not in self._calls:
            written = self._close()
            call = (piece.get("id") or "", function.get("name") or "")
            item = self._added("function_call", f"{self._ident}_{len(self._items)}", call)
            self._calls[number] = item
            written += self._event("response.output_item.added", output_index=item.index, item=item.body(is_done=False))
        item = self._calls[number]
        if arguments := function.get("arguments"):
            item.pieces.append(arguments)
            written += self._of(item, "response.function_call_arguments.delta", delta=arguments)
        return written

    def _added(self, kind: str, ident: str, call: tuple[str, str] = ("", "")) -> _Item:
        item = _Item(len(self._items), kind, ident, call)
        self._items.append(item)
        return item

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
                written = self._of(item, "response.reasoning_text.done", content_index=0, text=text)
            case _:
                written = self._of(item, "response.function_call_arguments.done", name=body["name"], arguments=text)
        return written + self._event("response.output_item.done", output_index=item.index, item=body)

    def _of(self, item: _Item, kind: str, **said: Any) -> bytes:
        return self._event(kind, item_id=item.body(is_done=False)["id"], output_index=item.index, **said)

    def _event(self, kind: str, **said: Any) -> bytes:
        numbered = {"type": kind, "sequence_number": self._number, **said}
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + orjson.dumps(numbered) + b"\n\n"
