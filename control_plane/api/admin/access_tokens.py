"""Access tokens for administration, and what a key or token may do."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from control_plane.api.admin.shared import ADMIN_ERRORS, PageCursor, PageLimit, id_in
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.errors import TokenNotFound
from control_plane.identity.models import AccessToken
from control_plane.identity.tokens import NewToken, has_ended
from control_plane.ids import OrganizationId, TeamId, parse_id
from control_plane.schemas import access as wire
from control_plane.services import Services as ServicesType
from control_plane.tenants.roles import TEAM_KEY, Place, Role

router = APIRouter(prefix="/api", tags=["administration"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute)


@router.post("/access-tokens", response_model=wire.TokenCreated, summary="Create an access token")
async def create(body: wire.CreateToken, principal: Caller, services: Services) -> Response:
    """Creates a token with one role at one place; `access_token` is shown only once.

    403 `permission_denied` for a role that permits more than your own there.
    """
    place = Place(
        None if body.team_id is None else TeamId(body.team_id),
        None if body.organization_id is None else OrganizationId(body.organization_id),
    )
    new = NewToken(body.name, Role(body.role), place, body.expires_at)
    issued = await services.access_tokens.create(principal, new)
    answer = _answer(issued.token, services)
    return rendered(wire.TokenCreated(**answer.model_dump(), access_token=issued.secret))


@router.get("/access-tokens", response_model=wire.TokenList, summary="List access tokens")
async def list_tokens(
    principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 100
) -> Response:
    """Tokens of the places where you may read them, by prefix, without secrets; ended ones too."""
    found = await services.access_tokens.list(principal, limit=limit + 1, after=id_in(cursor))
    page = [_answer(token, services) for token in found[:limit]]
    following = page[-1].token_id if len(found) > limit else None
    return rendered(wire.TokenList(tokens=page, next_cursor=following))


@router.delete("/access-tokens/{token_id}", response_model=wire.TokenAnswer, summary="Revoke an access token")
async def revoke(
    token_id: Annotated[str, Path(description="id of the token, from create and list; not the token itself")],
    principal: Caller,
    services: Services,
) -> Response:
    """Revokes the token; effective on every replica within 5 s. Idempotent."""
    parsed = parse_id(token_id)
    if parsed is None:
        raise TokenNotFound
    return rendered(_answer(await services.access_tokens.revoke(principal, parsed), services))


@router.get("/me", response_model=wire.Permissions, summary="Get your permissions")
async def me(principal: Caller) -> Response:
    """Who the sent key or token is, its roles, and what they permit."""
    permitted = (
        TEAM_KEY if principal.team_id is not None else {each for held in principal.roles for each in held.permissions}
    )
    return rendered(
        wire.Permissions(
            name=principal.audited.name,
            roles=[
                wire.RoleView(
                    role=held.role.value,
                    organization_id=held.place.organization_id,
                    team_id=held.place.team_id,
                )
                for held in principal.roles
            ],
            team_id=principal.team_id,
            permissions=sorted(permitted),
        )
    )


def _answer(token: AccessToken, services: ServicesType) -> wire.TokenAnswer:
    status = "active"
    if has_ended(token, services.clock()):
        status = "expired" if token.revoked_at is None else "revoked"
    return wire.TokenAnswer.model_validate(
        {
            **token.model_dump(exclude={"id", "secret_hash"}),
            "token_id": str(token.id),
            "status": status,
        }
    )
