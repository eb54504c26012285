"""A streamed answer as the respond API's events: `token`, `tool_call`, `done`, `error`, then `[DONE]`."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from control_plane.api.failures import Failure
from control_plane.api.respond.answers import Pieces, ToolCall
from control_plane.api.respond.errors import respond_error
from control_plane.api.sse import DONE
from control_plane.chat import Chunk, Ending, Served
from control_plane.errors import HouseError
from control_plane.schemas.base import Answer
from control_plane.schemas.respond import RespondError


class Token(Answer):
    """Some text."""

    text: str


class RespondEvents:
    """Writes one stream. Tool calls come whole, when all their fragments are there; `done` is the whole answer."""

    def __init__(
        self, served: Served, warnings: Sequence[str], on_tool_calls: Callable[[Sequence[ToolCall]], None]
    ) -> None:
        """`on_tool_calls` hears of the tool calls of a stream that came to its end."""
        self._on_tool_calls = on_tool_calls
        self._served = served
        self._warnings = warnings
        self._pieces = Pieces()

    def chunk(self, chunk: Chunk) -> bytes:
        """The text of a piece, or nothing yet."""
        text = self._pieces.add(chunk)
        return _event("token", Token(text=text)) if text else b""

    def ending(self, ending: Ending) -> bytes:
        """The tool calls, the whole answer, `[DONE]`."""
        self._on_tool_calls(self._pieces.tool_calls())
        answer = self._pieces.answer(self._served, ending, self._warnings)
        calls = b"".join(_event("tool_call", call) for call in answer.tool_calls)
        return calls + _event("done", answer) + DONE

    def error(self, error: HouseError) -> bytes:
        """The failure, as a buffered request would hear it, then `[DONE]`."""
        _, body = respond_error(Failure.of(error))
        return _event("error", RespondError.model_validate(body)) + DONE


def _event(name: str, body: BaseModel) -> bytes:
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n".encode()
