"""A streamed answer as the respond API's events: `token`, `tool_call`, `done`, `error`, then `[DONE]`."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from control_plane.api.http.problem import Problem
from control_plane.api.http.sse import DONE
from control_plane.api.wires.respond.errors import respond_error
from control_plane.api.wires.respond.response import respond_answer
from control_plane.api.wires.respond.schema import RespondError
from control_plane.chat import Ending, ServedBy
from control_plane.completion.events import Content, Refusal, Text
from control_plane.completion.fold import ToolCall, fold
from control_plane.errors import ControlPlaneError
from control_plane.schemas.base import Answer


class Token(Answer):
    """Some text."""

    text: str


class RespondEvents:
    """Writes one stream. A tool call is one event, when complete; `done` is the whole answer."""

    def __init__(
        self, served: ServedBy, warnings: Sequence[str], on_tool_calls: Callable[[Sequence[ToolCall]], None]
    ) -> None:
        """`on_tool_calls`: called with the tool calls of a stream that came to its end."""
        self._on_tool_calls = on_tool_calls
        self._served = served
        self._warnings = warnings
        self._events: list[Content] = []

    def chunk(self, content: Content) -> bytes:
        """The text of an event, or nothing yet. Of several answers, the first."""
        if content.choice:
            return b""
        self._events.append(content)
        if isinstance(content, Text | Refusal):
            return _event("token", Token(text=content.text))
        return b""

    def ending(self, ending: Ending) -> bytes:
        """The tool calls, the whole answer, `[DONE]`."""
        message = fold(self._events)[0]
        self._on_tool_calls(message.tool_calls)
        answer = respond_answer(message, self._served, ending, self._warnings)
        calls = b"".join(_event("tool_call", call) for call in answer.tool_calls)
        return calls + _event("done", answer) + DONE

    def error(self, error: ControlPlaneError) -> bytes:
        """The failure, as the response to a buffered request would report it, then `[DONE]`."""
        _, body = respond_error(Problem.of(error))
        return _event("error", RespondError.model_validate(body)) + DONE


def _event(name: str, body: BaseModel) -> bytes:
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n".encode()
