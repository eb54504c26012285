"""`GET /v1/models`: only the models that a key may use."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import json_response
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.api.wires.openai.errors import ERRORS
from control_plane.errors import ModelGroupNotFound

router = APIRouter(prefix="/v1/models", tags=["openai"], responses=ERRORS, route_class=AuthenticatedRoute)

Json = dict[str, Any]

CREATED = 0
CREATED_AT = "1970-01-01T00:00:00Z"
"""A model group has no birthday, and clients want one."""


@router.get("", summary="List models")
async def list_models(principal: Caller, services: Services, request: Request) -> Response:
    """Model groups the key may use, and their models, in the file's order.

    In Anthropic's shape with an `anthropic-version` header.
    """
    names = await services.groups.names(principal)
    if _is_anthropic(request):
        models = [_anthropic(name) for name in names]
        first, last = (names[0], names[-1]) if names else (None, None)
        return json_response({"data": models, "has_more": False, "first_id": first, "last_id": last})
    return json_response({"object": "list", "data": [_openai(name) for name in names]})


@router.get("/{name:path}", summary="Get a model")
async def get_model(
    name: Annotated[str, Path(description="name of the model group or model")],
    principal: Caller,
    services: Services,
    request: Request,
) -> Response:
    """A model group or model the key may use; 404 for any other, whether or not it exists."""
    names = await services.groups.names(principal)
    if name not in names:
        raise ModelGroupNotFound(group=name, known=names)
    return json_response(_anthropic(name) if _is_anthropic(request) else _openai(name))


def _is_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _openai(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "control-plane"}


def _anthropic(name: str) -> Json:
    return {"id": name, "type": "model", "display_name": name, "created_at": CREATED_AT}
