"""LiteLLM's objects as the JSON that `reading.chunks` reads: of providers whose wire is another than OpenAI's. Pure."""

from typing import Any


def chunk_document(chunk: Any) -> dict[str, Any]:
    """A chunk of a stream. Runs for every piece: a piece of text is not dumped."""
    return {"id": chunk.id, "model": chunk.model, "choices": [_choice(choice) for choice in chunk.choices]}


def whole_document(response: Any) -> dict[str, Any]:
    """A whole answer."""
    usage = getattr(response, "usage", None)
    return {
        "id": response.id,
        "model": response.model,
        "choices": [
            {
                "index": choice.index,
                "message": choice.message.model_dump(exclude_none=True),
                "finish_reason": choice.finish_reason,
                "logprobs": plain(getattr(choice, "logprobs", None)),
            }
            for choice in response.choices
        ],
        "usage": plain(usage),
    }


def plain(value: Any) -> Any:
    """A value of litellm's as JSON data."""
    return value.model_dump() if hasattr(value, "model_dump") else value


def _choice(choice: Any) -> dict[str, Any]:
    delta = choice.delta
    said: dict[str, Any] = {"index": choice.index, "finish_reason": choice.finish_reason}
    if choice.__dict__.get("logprobs") is not None:
        said["logprobs"] = plain(choice.logprobs)
    is_text = (
        delta.content
        and not delta.tool_calls
        and not delta.function_call
        and not any(getattr(delta, name, None) for name in RARE)
    )
    said["delta"] = {"content": delta.content} if is_text else delta.model_dump(exclude_none=True)
    return said


RARE = ("reasoning_content", "thinking_blocks", "provider_specific_fields", "images", "audio", "annotations")
