"""Chat completions in OpenAI's form: whole, and as chunks."""

import time
from collections import defaultdict
from typing import Any

import orjson

from control_plane.api.http.problem import Problem
from control_plane.api.http.sse import DONE, Frame, event
from control_plane.api.wires.calls_in_order import CallsInOrder
from control_plane.api.wires.openai.errors import error_of
from control_plane.api.wires.openai_fields import Deltas, finish_of, message_of, usage_of
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Completion, Ending
from control_plane.completion.events import Content, Text
from control_plane.completion.finish import Finish
from control_plane.completion.fold import Message
from control_plane.completion.usage import Usage
from control_plane.errors import ControlPlaneError

Json = dict[str, Any]


def completion(call: InFlightCall, answer: Completion, *, is_legacy: bool = False) -> bytes:
    """A whole answer. `is_legacy`: the request offers `functions`, so the answer has a `function_call`."""
    finishes = answer.ending.finishes
    body = {
        "id": f"chatcmpl-{call.intent.call_id}",
        "object": "chat.completion",
        "created": int(call.intent.created_at.timestamp()),
        "model": answer.served.model,
        "choices": [
            _choice(index, message, finishes[index], is_legacy=is_legacy)
            for index, message in enumerate(answer.messages)
        ],
        "usage": usage_of(answer.usage, answer.cost),
        **_tier(answer.usage),
    }
    return orjson.dumps(body)


def _choice(index: int, message: Message, finish: Finish, *, is_legacy: bool) -> Json:
    """With the fields that are always there at OpenAI."""
    said = {"refusal": None, **message_of(message)}
    ended = finish_of(finish)
    if is_legacy and (calls := said.pop("tool_calls", None)) and "function" in calls[0]:
        said["function_call"] = calls[0]["function"]
        ended["finish_reason"] = "function_call"
    return {"index": index, "message": said, "logprobs": message.logprobs, **ended}


def _tier(used: Usage) -> Json:
    return {} if used.service_tier is None else {"service_tier": used.service_tier}


class CompletionChunks:
    """OpenAI's chunks. Each answer begins with its role and ends with its reason; the usage comes last, if wanted."""

    def __init__(self, call_id: str, model: str, *, wants_usage: bool, is_legacy: bool = False) -> None:
        """`is_legacy`: as of `completion`."""
        self._is_legacy = is_legacy
        self._head: Json = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._begun: set[int] = set()
        self._deltas = Deltas()
        self._orders: defaultdict[int, CallsInOrder] = defaultdict(CallsInOrder)
        self._wants_usage = wants_usage
        self._tail: Json = {"usage": None} if wants_usage else {}
        self._frame = Frame(self._body({"index": 0, "delta": Frame.MARK, "logprobs": None, "finish_reason": None}))

    def chunk(self, content: Content) -> bytes:
        """One event. A call comes behind the other: OpenAI's SDKs parse one when the next begins."""
        return b"".join([self._chunk(each) for each in self._orders[content.choice].take(content)])

    def _rest(self) -> bytes:
        return b"".join([self._chunk(content) for order in self._orders.values() for content in order.end()])

    def _chunk(self, content: Content) -> bytes:
        delta = self._deltas.delta(content)
        if delta is not None and self._is_legacy and "tool_calls" in delta:
            delta = _function_call(delta["tool_calls"][0])
        if delta is None:
            return b""
        index = content.choice
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", **delta}
        logprobs = content.logprobs if isinstance(content, Text) else None
        if index == 0 and logprobs is None:
            return self._frame.around(delta)
        return event(self._body({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}))

    def ending(self, ending: Ending) -> bytes:
        """The reasons, the usage, `[DONE]`."""
        tier = _tier(ending.usage)
        ends = [self._rest()]
        ends += [
            event({**self._body(self._end(index, finish)), **tier}) for index, finish in sorted(ending.finishes.items())
        ]
        if self._wants_usage:
            ends.append(event({**self._head, "choices": [], "usage": usage_of(ending.usage, ending.cost), **tier}))
        return b"".join(ends) + DONE

    def error(self, error: ControlPlaneError) -> bytes:
        """The failure, as the SDKs expect it in a stream, then `[DONE]`."""
        return self._rest() + event({"error": error_of(Problem.of(error))}) + DONE

    def _body(self, choice: Json) -> Json:
        return {**self._head, "choices": [choice], **self._tail}

    def _end(self, index: int, finish: Finish) -> Json:
        delta: Json = {} if index in self._begun else {"role": "assistant", "content": ""}
        ended = finish_of(finish)
        if self._is_legacy and finish.reason == "tool_calls":
            ended["finish_reason"] = "function_call"
        return {"index": index, "delta": delta, "logprobs": None, **ended}


def _function_call(call: Json) -> Json | None:
    """A chunk of the first tool call, in the form from before there were several."""
    return {"function_call": call["function"]} if call["index"] == 0 and "function" in call else None
