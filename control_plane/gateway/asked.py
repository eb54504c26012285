"""What a request expects of its answer: how many choices, which tools, whether it may be empty. Pure."""

from control_plane.chat import ChatRequest
from control_plane.gateway.reading.answer import AnswerReader
from control_plane.gateway.reading.chunks import ChunkReader


def answers_asked(request: ChatRequest) -> int:
    """The number of choices that the request wants."""
    return int(request.parameters.get("n") or 1)


def tool_names(request: ChatRequest) -> tuple[str, ...]:
    """The names of the tools that a request offers; only the one that must be called, if it names one."""
    choice = request.parameters.get("tool_choice")
    if isinstance(choice, dict) and isinstance(function := choice.get("function"), dict) and function.get("name"):
        return (str(function["name"]),)
    return tuple(
        str(tool["function"].get("name") or "")
        for tool in request.parameters.get("tools") or ()
        if isinstance(tool.get("function"), dict)
    )


def may_be_empty(request: ChatRequest) -> bool:
    """Whether an answer without content makes sense: models end their turn so behind the results of tools."""
    return bool(request.messages) and request.messages[-1].get("role") in ("tool", "function", "assistant")


def chunk_reader(request: ChatRequest) -> ChunkReader:
    """Reads the chunks of an answer to this request."""
    return ChunkReader(answers=answers_asked(request), tools=tool_names(request), may_be_empty=may_be_empty(request))


def answer_reader(request: ChatRequest, *, max_bytes: int) -> AnswerReader:
    """Reads the bytes of an answer to this request, up to `max_bytes` of one document."""
    return AnswerReader(chunk_reader(request), max_bytes=max_bytes)
