"""Responses of endpoints with a single response, in OpenAI's form; of rerank in Cohere's. Pure."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import orjson

from control_plane.chat import Endpoint, EndpointResponse
from control_plane.errors import LlmCallFailed
from control_plane.units import usd

Json = dict[str, Any]


def whole(endpoint: Endpoint, answer: EndpointResponse, *, is_base64: bool) -> bytes:
    """The provider's answer, with the model's public name and what it costs. `is_base64`: the form of vectors.

    Raises: LlmCallFailed for an answer that is none.
    """
    body: Json = {name: value for name, value in answer.body.items() if value is not None}
    if endpoint != "rerank":
        body["model"] = answer.served.model
    if endpoint == "embeddings":
        body["usage"] = {"prompt_tokens": answer.usage.prompt_tokens, "total_tokens": answer.usage.total_tokens}
        if answer.cost is not None:
            body["usage"]["cost_usd"] = usd(answer.cost)
        body["data"] = [_embedding(item, is_base64=is_base64) for item in _items(body.get("data"))]
    return orjson.dumps(body)


def _items(data: Any) -> Sequence[Json]:
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
        raise LlmCallFailed
    return data


def _embedding(item: Json, *, is_base64: bool) -> Json:
    """A vector as the client wants it, whichever way the provider wrote it."""
    vector = item.get("embedding")
    if isinstance(vector, str):
        vector = _unpacked(vector)
    if not isinstance(vector, list):
        raise LlmCallFailed
    return {**item, "embedding": _packed(vector) if is_base64 else vector}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _unpacked(text: str) -> list[float]:
    try:
        packed = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, struct.error):
        raise LlmCallFailed from None
