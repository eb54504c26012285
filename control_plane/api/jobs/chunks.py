"""The stream of the Job API: OpenAI's chunks, as S0 has them. The last one has an empty delta, the finish reason and
the usage.
"""

import time
from typing import Any

from control_plane.api.http.page_headers import shown
from control_plane.api.http.problem import Problem
from control_plane.api.http.responses import call_headers
from control_plane.api.http.sse import DONE, Frame, SseResponse, Stream, event
from control_plane.api.wires.openai_fields import Deltas, finish_of
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Ending
from control_plane.completion.events import Content
from control_plane.errors import ControlPlaneError, ModelTimeout


class JobChunks:
    """Writes one stream. `is_cached`: the response comes from the response cache, which the last chunk reports."""

    def __init__(self, call_id: str, model: str, *, is_cached: bool) -> None:
        self._marks = {"cached": True} if is_cached else {}
        self._deltas = Deltas()
        self._is_begun = False
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        choice = {"index": 0, "delta": Frame.MARK, "finish_reason": None}
        self._frame = Frame({**self._head, "choices": [choice]})

    def chunk(self, content: Content) -> bytes:
        """One event. Of several choices, which a model group may configure, only the first."""
        if content.choice:
            return b""
        delta = self._deltas.delta(content)
        if delta is None:
            return b""
        if not self._is_begun:
            self._is_begun = True
            delta = {"role": "assistant", **delta}
        return self._frame.around(delta)

    def ending(self, ending: Ending) -> bytes:
        """The reason with the usage, then `[DONE]`: two events, each whole."""
        used = ending.usage
        counted = {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.total_tokens,
        }
        choice = {"index": 0, "delta": {}, **finish_of(ending.finish)}
        return event({**self._head, "choices": [choice], "usage": counted, **self._marks}) + DONE

    def error(self, error: ControlPlaneError) -> bytes:
        """The failure as an event, then `[DONE]`."""
        kind = "timeout_error" if isinstance(error, ModelTimeout) else "api_error"
        return event({"error": {"message": Problem.of(error).message, "type": kind, "code": error.code}}) + DONE


def streamed(stream: Stream, call: InFlightCall, *, keep_alive_s: float, is_for_page: bool = False) -> SseResponse:
    """A call's stream as an answer. `is_for_page`: without what only the team's servers see."""
    chunks = JobChunks(str(call.intent.call_id), stream.served.model, is_cached=call.is_cached and not is_for_page)
    headers = call_headers(call)
    return SseResponse(stream, chunks, headers=shown(headers) if is_for_page else headers, keep_alive_s=keep_alive_s)
