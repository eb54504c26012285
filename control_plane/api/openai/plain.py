"""What answers at once, between OpenAI's shape and the call path: embeddings, moderations, rerank. Pure."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

from control_plane.calls.service import AnsweredCall
from control_plane.chat import Endpoint, PlainAnswer, PlainRequest
from control_plane.schemas import openai as wire
from control_plane.units import usd

Json = dict[str, Any]

TOKEN_TEXT = "xxxx"  # noqa: S105 - as much text as a token usually stands for
DOCUMENTS_PER_SEARCH = 100
"""What providers of rerank count as one search."""


def embeddings(body: wire.EmbeddingsBody) -> PlainRequest:
    """The request. Vectors are always asked for as numbers: what the client wants them as is made of those."""
    arguments: Json = {"input": body.input, "encoding_format": "float"}
    if body.dimensions is not None:
        # else LiteLLM would leave it out, silently, for models it does not know to take it
        arguments |= {"dimensions": body.dimensions, "allowed_openai_params": ["dimensions"]}
    return PlainRequest("embeddings", arguments, _texts(body.input))


def moderations(body: wire.ModerationsBody) -> PlainRequest:
    """The request."""
    return PlainRequest("moderations", {"input": body.input}, _texts(body.input))


def rerank(body: wire.RerankBody) -> PlainRequest:
    """The request. A search is a query over up to 100 documents."""
    arguments: Json = {"query": body.query, "documents": body.documents}
    for name in ("top_n", "return_documents", "max_chunks_per_doc"):
        value = getattr(body, name)
        if value is not None:
            arguments[name] = value
    texts = [body.query, *(text if isinstance(text, str) else str(text) for text in body.documents)]
    return PlainRequest("rerank", arguments, texts, units=-(-len(body.documents) // DOCUMENTS_PER_SEARCH))


def answer(
    endpoint: Endpoint,
    body: wire.EmbeddingsBody | wire.ModerationsBody | wire.RerankBody,
    answered: AnsweredCall[PlainAnswer],
) -> Json:
    """The provider's answer, with the model's public name and what it costs."""
    said = answered.answer
    whole: Json = {name: value for name, value in said.body.items() if value is not None}
    if endpoint != "rerank":
        whole["model"] = said.served.model
    if endpoint == "embeddings":
        whole["usage"] = {"prompt_tokens": said.usage.prompt_tokens, "total_tokens": said.usage.total_tokens}
        if said.cost is not None:
            whole["usage"]["cost_usd"] = usd(said.cost)
        if isinstance(body, wire.EmbeddingsBody) and body.encoding_format == "base64":
            whole["data"] = [{**item, "embedding": _packed(item["embedding"])} for item in whole["data"]]
    return whole


def _texts(given: str | Sequence[Any]) -> list[str]:
    """The texts of an input, or as much text as its tokens stand for: it is what the hold is counted by."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [TOKEN_TEXT * len(given)]
    return [item if isinstance(item, str) else TOKEN_TEXT * len(item) for item in given]


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
