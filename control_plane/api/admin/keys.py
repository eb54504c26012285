"""A team's virtual keys, created and revoked by the administrator."""

from datetime import timedelta

from fastapi import APIRouter, Response

from control_plane.administration.values import KeyTerms
from control_plane.api.admin import views
from control_plane.api.admin.shared import ADMIN_ERRORS, KeyPath, PageCursor, PageLimit, TeamPath, id_in, page_of
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.responses import rendered
from control_plane.api.http.routing import AuthenticatedRoute
from control_plane.errors import KeyNotFound, Unprocessable
from control_plane.ids import KeyId, TeamId, parse_id
from control_plane.rate_limits import RateLimits
from control_plane.schemas import admin as wire
from control_plane.services import Services as ServicesType
from control_plane.tenants.keys import KeyKind
from control_plane.tenants.roles import Permission

router = APIRouter(
    prefix="/api/teams/{team_id}/keys", tags=["administration"], responses=ADMIN_ERRORS, route_class=AuthenticatedRoute
)


@router.post("", response_model=wire.KeyCreated, summary="Create a key")
async def create(
    team_id: TeamPath, principal: Caller, services: Services, body: wire.CreateKey | None = None
) -> Response:
    """Creates another key of the team; `virtual_key` is shown only once."""
    terms = _terms(body or wire.CreateKey(), services)
    issued = await services.administration.keys.create(principal, TeamId(team_id), terms)
    return rendered(views.key_created(issued, services.clock()))


@router.get("", response_model=wire.KeyList, summary="List a team's keys")
async def list_keys(
    team_id: TeamPath, principal: Caller, services: Services, cursor: PageCursor = None, limit: PageLimit = 1000
) -> Response:
    """The team's keys by prefix, without secrets; expired and revoked ones too."""
    found = await services.administration.keys.list(principal, TeamId(team_id), limit=limit + 1, after=id_in(cursor))
    page, following = page_of(found, limit, lambda view: view.key.id)
    keys = [views.key(view, services.clock()) for view in page]
    return rendered(wire.KeyList(team_id=team_id, keys=keys, next_cursor=following))


@router.post("/{key_id}/rotate", response_model=wire.KeyCreated, summary="Rotate a key")
async def rotate(
    team_id: TeamPath, key_id: KeyPath, principal: Caller, services: Services, body: wire.RotateKey | None = None
) -> Response:
    """Creates a key with the same terms; the old one works for another `grace_seconds` (default 0)."""
    grace = timedelta(seconds=(body or wire.RotateKey()).grace_seconds)
    principal.require_anywhere(Permission.KEYS_WRITE)
    issued = await services.administration.keys.rotate(principal, TeamId(team_id), _key_id(key_id), grace=grace)
    return rendered(views.key_created(issued, services.clock()))


@router.put("/{key_id}/origins", response_model=wire.KeyAnswer, summary="Set a key's origins")
async def set_origins(
    team_id: TeamPath, key_id: KeyPath, principal: Caller, services: Services, body: wire.SetOrigins
) -> Response:
    """Sets the web origins whose pages may use the key; effective on every replica within 5 s."""
    principal.require_anywhere(Permission.KEYS_WRITE)
    view = await services.administration.keys.set_origins(principal, TeamId(team_id), _key_id(key_id), body.origins)
    return rendered(views.key(view, services.clock()))


@router.delete("/{key_id}", response_model=wire.KeyAnswer, summary="Revoke a key")
async def revoke(team_id: TeamPath, key_id: KeyPath, principal: Caller, services: Services) -> Response:
    """Revokes the key; effective on every replica within 5 s. Idempotent."""
    principal.require_anywhere(Permission.KEYS_WRITE)
    view = await services.administration.keys.revoke(principal, TeamId(team_id), _key_id(key_id))
    return rendered(views.key(view, services.clock()))


def _terms(body: wire.CreateKey, services: ServicesType) -> KeyTerms:
    """Raises: Unprocessable for a key that would have ended before it began."""
    now = services.clock()
    ends = body.expires_at if body.ttl_seconds is None else now + timedelta(seconds=body.ttl_seconds)
    if ends is not None and ends <= now:
        raise Unprocessable("expires_at must lie in the future.")
    return KeyTerms(
        name=body.name,
        default_model_group=body.default_model_group,
        expires_at=ends,
        kind=KeyKind(body.kind),
        origins=body.origins,
        model_groups=body.model_groups,
        job_type=body.job_type,
        rate_limits=RateLimits(body.rpm, body.tpm, body.max_parallel_calls, body.jobs_per_minute),
    )


def _key_id(text: str) -> KeyId:
    parsed = parse_id(text)
    if parsed is None:
        raise KeyNotFound
    return KeyId(parsed)
