"""Chat completions in OpenAI's shape: whole, and chunk by chunk."""

import time
from typing import Any

from control_plane.api.failures import Failure
from control_plane.api.openai.errors import error_of
from control_plane.api.sse import DONE, event
from control_plane.calls.service import AnsweredCall
from control_plane.chat import Answer, Chunk, Ending
from control_plane.completion.usage import Usage
from control_plane.errors import HouseError
from control_plane.units import NanoUsd, usd

Json = dict[str, Any]


def completion(answered: AnsweredCall[Answer]) -> Json:
    """A whole answer."""
    answer = answered.answer
    return {
        "id": f"chatcmpl-{answered.call.intent.call_id}",
        "object": "chat.completion",
        "created": int(answered.call.intent.created_at.timestamp()),
        "model": answer.served.model,
        "choices": [_choice(dict(choice)) for choice in answer.choices],
        "usage": usage(answer.usage, answer.cost),
    }


def _choice(choice: Json) -> Json:
    """With the fields that are always there at OpenAI."""
    return {"logprobs": None, **choice, "message": {"refusal": None, **choice["message"]}}


def usage(used: Usage, cost: NanoUsd | None) -> Json:
    """What was used; beside OpenAI's numbers what it costs at the provider, where that is known."""
    said: Json = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }
    return said if cost is None else {**said, "cost_usd": usd(cost)}


class CompletionChunks:
    """OpenAI's chunks. Each answer begins with its role and ends with its reason; the usage comes last, if wanted."""

    def __init__(self, call_id: str, model: str, *, wants_usage: bool) -> None:
        self._head: Json = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._begun: set[int] = set()
        self._wants_usage = wants_usage
        self._tail: Json = {"usage": None} if wants_usage else {}

    def chunk(self, chunk: Chunk) -> bytes:
        """One piece."""
        delta = chunk.delta
        if chunk.index not in self._begun:
            self._begun.add(chunk.index)
            delta = {"role": "assistant", **delta}
        choice = {"index": chunk.index, "delta": delta, "logprobs": chunk.logprobs, "finish_reason": None}
        return event({**self._head, "choices": [choice], **self._tail})

    def ending(self, ending: Ending) -> bytes:
        """The reasons, the usage, `[DONE]`."""
        ends = [
            event({**self._head, "choices": [_end(index, reason)], **self._tail})
            for index, reason in sorted(ending.finish_reasons.items())
        ]
        if self._wants_usage:
            ends.append(event({**self._head, "choices": [], "usage": usage(ending.usage, ending.cost)}))
        return b"".join(ends) + DONE

    def error(self, error: HouseError) -> bytes:
        """The failure, as the SDKs expect it in a stream, then `[DONE]`."""
        return event({"error": error_of(Failure.of(error))}) + DONE


def _end(index: int, reason: str) -> Json:
    return {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}
