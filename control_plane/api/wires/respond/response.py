"""A model's answer in the respond API's form: whole, and as the events of its streams: `token`, `tool_call`, `done`,
`error`, then `[DONE]`.
"""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from control_plane.api.http.problem import Problem
from control_plane.api.http.sse import DONE
from control_plane.api.wires.openai_fields import thinking_block
from control_plane.api.wires.respond import schema as wire
from control_plane.api.wires.respond.errors import RespondError, respond_error
from control_plane.api.wires.tool_arguments import parse_arguments
from control_plane.chat import Completion, Ending, ServedBy
from control_plane.completion.events import Content, Refusal, Text
from control_plane.completion.fold import Message, ToolCall, fold
from control_plane.errors import ControlPlaneError
from control_plane.schemas.base import Answer


def from_completion(answer: Completion, warnings: Sequence[str]) -> wire.RespondAnswer:
    """A whole answer."""
    return respond_answer(answer.message, answer.served, answer.ending, warnings)


def respond_answer(message: Message, served: ServedBy, ending: Ending, warnings: Sequence[str]) -> wire.RespondAnswer:
    """The response, from a buffered or a streamed answer."""
    all_warnings = list(warnings)
    usage = ending.usage
    said = "".join(part.text for part in message.parts if isinstance(part, Text | Refusal))
    text = wire.AnsweredPart(type="text", text=said, image_url=None)
    pictures = [
        wire.AnsweredPart(type="image_url", text=None, image_url=wire.AnsweredPicture(url=picture.url))
        for picture in message.pictures
    ]
    return wire.RespondAnswer(
        provider=served.provider,
        model=served.model_name or served.model,
        finish_reason=ending.finish.reason,
        native_finish_reason=ending.finish.native,
        usage=wire.AnsweredUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            cached_tokens=usage.cached_tokens or None,
            cache_write_tokens=usage.cache_write_tokens or None,
            reasoning_tokens=usage.reasoning_tokens or None,
        ),
        message=wire.AnsweredMessage(
            role="assistant",
            content=[text, *pictures],
            reasoning_content=message.reasoning or None,
            thinking_blocks=[thinking_block(part) for part in message.thoughts if part.signature or part.redacted]
            or None,
            reasoning_details=[dict(detail) for detail in message.reasoning_details] or None,
            annotations=[dict(citation.annotation) for citation in message.citations] or None,
        ),
        tool_calls=[_tool_call(call, all_warnings) for call in message.tool_calls],
        warnings=all_warnings,
    )


def _tool_call(call: ToolCall, warnings: list[str]) -> wire.AnsweredToolCall:
    arguments = parse_arguments(call.arguments)
    if isinstance(arguments, str):
        warnings.append(
            f"tool_calls: the arguments of {call.id!r} are not a JSON object; they are passed on as the model wrote them."
        )
    return wire.AnsweredToolCall(id=call.id, name=call.name, arguments=arguments)


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
