"""A model's answer as the respond API says it, whole or put together from the pieces of a stream. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from control_plane.chat import Answer, Chunk, Ending, Served, text_of
from control_plane.completion.finish import FinishReason
from control_plane.completion.usage import Usage
from control_plane.schemas import respond as wire
from control_plane.schemas.base import MAX_DEPTH

ToolCall = Mapping[str, Any]
"""A tool call in OpenAI's form."""


def from_answer(answer: Answer, warnings: Sequence[str]) -> wire.RespondAnswer:
    """A buffered answer."""
    return _answer(answer.served, answer.finish_reason, answer.usage, answer.content or "", answer.tool_calls, warnings)


class Pieces:
    """Puts a streamed answer together. Of several answers, the first."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> str:
        """Takes one piece in; what it adds to the text, for the client to see at once."""
        if chunk.index:
            return ""
        for fragment in chunk.delta.get("tool_calls") or ():
            self._add_call(fragment)
        text: str = text_of(chunk.delta) or ""
        if text:
            self._texts.append(text)
        return text

    def tool_calls(self) -> Sequence[ToolCall]:
        """The tool calls as far as they came."""
        return [self._calls[index] for index in sorted(self._calls)]

    def answer(self, served: Served, ending: Ending, warnings: Sequence[str]) -> wire.RespondAnswer:
        """The whole of it."""
        text = "".join(self._texts)
        return _answer(served, ending.finish_reason, ending.usage, text, self.tool_calls(), warnings)

    def _add_call(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function") or {}
        call = self._calls.setdefault(fragment.get("index") or 0, {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] = call["id"] or fragment.get("id") or ""
        call["function"]["name"] = call["function"]["name"] or function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def _answer(
    served: Served,
    finish_reason: FinishReason,
    usage: Usage,
    text: str,
    calls: Sequence[Mapping[str, Any]],
    warnings: Sequence[str],
) -> wire.RespondAnswer:
    all_warnings = list(warnings)
    return wire.RespondAnswer(
        provider=served.provider,
        model=served.model_name or served.model,
        finish_reason=finish_reason,
        usage=wire.AnsweredUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        ),
        message=wire.AnsweredMessage(role="assistant", content=[wire.AnsweredPart(type="text", text=text)]),
        tool_calls=[_tool_call(call, all_warnings) for call in calls],
        warnings=all_warnings,
    )


def _tool_call(call: Mapping[str, Any], warnings: list[str]) -> wire.AnsweredToolCall:
    function = call.get("function") or {}
    text = function.get("arguments") or ""
    arguments = parsed_arguments(text)
    if isinstance(arguments, str):
        warnings.append(
            f"tool_calls: the arguments of {call.get('id')!r} are not a JSON object; they are passed on as the model "
            "wrote them."
        )
    return wire.AnsweredToolCall(id=call.get("id") or "", name=function.get("name") or "", arguments=arguments)


def parsed_arguments(text: str) -> dict[str, Any] | str:
    """The arguments of a tool call as an object, {} where the model wrote nothing; the text itself where it is none."""
    if not text.strip():
        return {}
    try:
        arguments = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return arguments if isinstance(arguments, dict) and not _is_deep(arguments) else text


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Whether it is nested deeper than an answer can be written."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_is_deep(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value))
