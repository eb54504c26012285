"""Endpoints with a single response: `POST /v1/embeddings`, `/v1/moderations`, `/v1/rerank`."""

from dataclasses import dataclass

from fastapi import APIRouter, Response

from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.wires.openai.endpoints.request import parse_embeddings, parse_moderations, parse_rerank
from control_plane.api.wires.openai.endpoints.response import whole
from control_plane.api.wires.openai.endpoints.schema import EmbeddingsBody, ModerationsBody, RerankBody
from control_plane.api.wires.openai.errors import ERRORS
from control_plane.api.wires.run_call import CallContextDep, Wire, run_call
from control_plane.calls.in_flight import InFlightCall
from control_plane.chat import Endpoint, EndpointResponse

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)


@dataclass(frozen=True, slots=True)
class EndpointWire(Wire):
    """`is_base64`: the form of vectors."""

    endpoint: Endpoint
    is_base64: bool = False

    def render(self, call: InFlightCall, answer: EndpointResponse) -> bytes:  # noqa: ARG002 - ours, not in the response
        """The provider's answer."""
        return whole(self.endpoint, answer, is_base64=self.is_base64)


@router.post("/embeddings", summary="Create embeddings")
async def embeddings(body: EmbeddingsBody, context: CallContextDep) -> Response:
    """As OpenAI's, with `encoding_format` and `dimensions`. Billed as a call."""
    wire = EndpointWire("embeddings", is_base64=body.encoding_format == "base64")
    return await run_call(context, parse_embeddings(body), wire)


@router.post("/moderations", summary="Create a moderation")
async def moderations(body: ModerationsBody, context: CallContextDep) -> Response:
    """As OpenAI's. Billed as a call."""
    return await run_call(context, parse_moderations(body), EndpointWire("moderations"))


@router.post("/rerank", summary="Rerank documents")
async def rerank(body: RerankBody, context: CallContextDep) -> Response:
    """Ranks documents by their relevance to a query, as Cohere's. Billed as a call."""
    return await run_call(context, parse_rerank(body), EndpointWire("rerank"))
