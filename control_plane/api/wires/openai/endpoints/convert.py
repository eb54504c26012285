"""Endpoints with a single response, between OpenAI's form and the call path: embeddings, moderations, rerank. Pure."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import orjson

from control_plane.api.wires.openai import schema as wire
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Endpoint, EndpointRequest, EndpointResponse
from control_plane.errors import LlmCallFailed
from control_plane.units import usd

Json = dict[str, Any]

TOKEN_TEXT = "xxxx"  # noqa: S105 - as much text as a token usually stands for
DOCUMENTS_PER_SEARCH = 100
"""Documents that providers of rerank count as one search."""


def embeddings(body: wire.EmbeddingsBody) -> EndpointRequest:
    """The request. Vectors are always requested as numbers and converted to the client's format."""
    arguments: Json = {"input": body.input, "encoding_format": "float"}
    if body.dimensions is not None:
        # else LiteLLM would silently leave it out for models that it does not list as supporting it
        arguments |= {"dimensions": body.dimensions, "allowed_openai_params": ["dimensions"]}
    return EndpointRequest("embeddings", arguments, _texts(body.input))


def moderations(body: wire.ModerationsBody) -> EndpointRequest:
    """The request."""
    return EndpointRequest("moderations", {"input": body.input}, _texts(body.input))


def rerank(body: wire.RerankBody) -> EndpointRequest:
    """The request. A search is a query over up to 100 documents."""
    arguments: Json = {"query": body.query, "documents": body.documents}
    for name in ("top_n", "return_documents", "max_chunks_per_doc"):
        value = getattr(body, name)
        if value is not None:
            arguments[name] = value
    texts = [body.query, *(text if isinstance(text, str) else str(text) for text in body.documents)]
    return EndpointRequest("rerank", arguments, texts, units=-(-len(body.documents) // DOCUMENTS_PER_SEARCH))


def rendered(
    endpoint: Endpoint,
    body: wire.EmbeddingsBody | wire.ModerationsBody | wire.RerankBody,
    _call: InFlightCall,
    answer: EndpointResponse,
) -> bytes:
    """The provider's answer, with the model's public name and what it costs. Raises: LlmCallFailed for one that is none."""
    whole: Json = {name: value for name, value in answer.body.items() if value is not None}
    if endpoint != "rerank":
        whole["model"] = answer.served.model
    if endpoint == "embeddings":
        whole["usage"] = {"prompt_tokens": answer.usage.prompt_tokens, "total_tokens": answer.usage.total_tokens}
        if answer.cost is not None:
            whole["usage"]["cost_usd"] = usd(answer.cost)
        as_text = isinstance(body, wire.EmbeddingsBody) and body.encoding_format == "base64"
        whole["data"] = [_embedding(item, as_text=as_text) for item in _items(whole.get("data"))]
    return orjson.dumps(whole)


def _items(data: Any) -> Sequence[Json]:
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        raise LlmCallFailed
    return data


def _embedding(item: Json, *, as_text: bool) -> Json:
    """A vector as the client wants it, whichever way the provider wrote it."""
    vector = item.get("embedding")
    if isinstance(vector, str):
        vector = _unpacked(vector)
    if not isinstance(vector, list):
        raise LlmCallFailed
    return {**item, "embedding": _packed(vector) if as_text else vector}


def _texts(given: str | Sequence[Any]) -> list[str]:
    """The texts of an input, or as much text as its tokens stand for: it is what the hold is counted by."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [TOKEN_TEXT * len(given)]
    return [item if isinstance(item, str) else TOKEN_TEXT * len(item) for item in given]


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _unpacked(text: str) -> list[float]:
    try:
        packed = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, struct.error):
        raise LlmCallFailed from None
