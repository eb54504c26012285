"""Converts requests to endpoints with a single response to the call path's form: embeddings, moderations, rerank. Pure."""

from collections.abc import Sequence
from typing import Any

from control_plane.api.wires.job_headers import take_job_id
from control_plane.api.wires.openai.endpoints.schema import EmbeddingsBody, ModerationsBody, RerankBody
from control_plane.api.wires.run_call import ParsedCall
from control_plane.chat import EndpointRequest

Json = dict[str, Any]

TOKEN_TEXT = "xxxx"  # noqa: S105 - as much text as a token usually stands for
DOCUMENTS_PER_SEARCH = 100
"""Documents that providers of rerank count as one search."""


def parse_embeddings(body: EmbeddingsBody) -> ParsedCall:
    """The call. Vectors are always requested as numbers and converted to the client's format."""
    arguments: Json = {"input": body.input, "encoding_format": "float"}
    if body.dimensions is not None:
        # else LiteLLM would silently leave it out for models that it does not list as supporting it
        arguments |= {"dimensions": body.dimensions, "allowed_openai_params": ["dimensions"]}
    return _parsed(EndpointRequest("embeddings", arguments, _texts(body.input)), body)


def parse_moderations(body: ModerationsBody) -> ParsedCall:
    """The call."""
    return _parsed(EndpointRequest("moderations", {"input": body.input}, _texts(body.input)), body)


def parse_rerank(body: RerankBody) -> ParsedCall:
    """The call. A search is a query over up to 100 documents."""
    arguments: Json = {"query": body.query, "documents": body.documents}
    for name in ("top_n", "return_documents", "max_chunks_per_doc"):
        value = getattr(body, name)
        if value is not None:
            arguments[name] = value
    texts = [body.query, *(text if isinstance(text, str) else str(text) for text in body.documents)]
    units = -(-len(body.documents) // DOCUMENTS_PER_SEARCH)
    return _parsed(EndpointRequest("rerank", arguments, texts, units=units), body)


def _parsed(request: EndpointRequest, body: EmbeddingsBody | ModerationsBody | RerankBody) -> ParsedCall:
    job_id, metadata = take_job_id(body.metadata)
    return ParsedCall(
        request=request,
        chars=sum(map(len, request.texts)),
        model_group=body.model,
        job_type=request.endpoint,
        job_id=job_id,
        user_id=body.user,
        metadata=metadata,
    )


def _texts(given: str | Sequence[Any]) -> list[str]:
    """The texts of an input, or as much text as its tokens stand for: it is what the hold is counted by."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [TOKEN_TEXT * len(given)]
    return [item if isinstance(item, str) else TOKEN_TEXT * len(item) for item in given]
