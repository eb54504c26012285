"""A model's answer in the respond API's form, whole or composed from the chunks of a stream. Pure."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from control_plane.api.wires.openai_fields import thinking_block
from control_plane.api.wires.respond import schema as wire
from control_plane.chat import Completion, Ending, ServedBy
from control_plane.completion.events import Refusal, Text
from control_plane.completion.fold import Message, ToolCall
from control_plane.schemas.base import MAX_DEPTH


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
    arguments = parsed_arguments(call.arguments)
    if isinstance(arguments, str):
        warnings.append(
            f"tool_calls: the arguments of {call.id!r} are not a JSON object; they are passed on as the model wrote them."
        )
    return wire.AnsweredToolCall(id=call.id, name=call.name, arguments=arguments)


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
