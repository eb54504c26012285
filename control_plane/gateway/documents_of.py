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
                "message": with_sources(choice.message.model_dump(exclude_none=True)),
                "finish_reason": choice.finish_reason,
                "logprobs": plain(getattr(choice, "logprobs", None)),
            }
            for choice in response.choices
        ],
        "usage": plain(usage),
    }


def with_sources(said: dict[str, Any]) -> dict[str, Any]:
    """A message, or a piece of one, with Anthropic's citations in OpenAI's form: LiteLLM puts them beside it."""
    specific = said.get("provider_specific_fields")
    if not isinstance(specific, dict) or said.get("annotations"):
        return said
    found = _flat([specific.get("citation"), specific.get("citations")])
    return {**said, "annotations": [_annotation(citation) for citation in found]} if found else said


def _flat(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value]
    return [each for item in value for each in _flat(item)] if isinstance(value, list) else []


def _annotation(citation: dict[str, Any]) -> dict[str, Any]:
    """A citation of the web or of a document of the request's, with what is cited."""
    title = citation.get("title") or citation.get("document_title") or citation.get("source")
    about = {"url": str(citation.get("url") or ""), "title": str(title or "")}
    rest = {name: value for name, value in citation.items() if name not in (*about, "supported_text") and value}
    return {"type": "url_citation", "url_citation": {**about, **rest}}


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
    said["delta"] = {"content": delta.content} if is_text else with_sources(delta.model_dump(exclude_none=True))
    return said


RARE = ("reasoning_content", "thinking_blocks", "provider_specific_fields", "images", "audio", "annotations")
