"""Dependencies of routes: the services, and authentication."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers

from control_plane.api.http.page_headers import asked_by_page
from control_plane.errors import InvalidKey, JobTokenRefused, PublishableKey
from control_plane.identity.tokens import AccessTokens, is_access_token
from control_plane.jobs.tokens import JobTokenService, is_job_token
from control_plane.services import Services as ServicesType
from control_plane.tenants.principal import Principal
from control_plane.tenants.service import KeyService


def services_of(request: Request) -> ServicesType:
    """The running services."""
    services: ServicesType = request.app.state.services
    return services


async def running_services(request: Request) -> ServicesType:
    """As `services_of`, for routes: a dependency that is not `async` would cost each request a thread."""
    return services_of(request)


Services = Annotated[ServicesType, Depends(running_services)]


async def principal(request: Request) -> Principal:
    """Authenticates `Authorization: Bearer …` or `x-api-key`, once per request.

    Raises: InvalidKey, PublishableKey, JobTokenRefused: keys and tokens of pages are authenticated in `api/http/cors.py`
    and `api/jobs/calls.py`.
    """
    known: Principal | None = getattr(request.state, "principal", None)
    if known is not None:
        return known
    found = await holder_of_key(request)
    refuse_pages(found)
    request.state.principal = found
    return found


def refuse_pages(principal: Principal) -> None:
    """Raises: JobTokenRefused, PublishableKey for what stands in web pages."""
    if principal.grant is not None:
        raise JobTokenRefused
    if principal.is_publishable:
        raise PublishableKey


def key_in(headers: Headers) -> str:
    """The key of a request, as `Authorization: Bearer …` or `x-api-key`; empty without one."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        secret = headers.get("x-api-key", "")
    return secret.strip()


def secret_of(request: Request) -> str:
    """As `key_in`. Raises: InvalidKey without one."""
    secret = key_in(request.headers)
    if not secret:
        raise InvalidKey
    return secret


def _authenticator(services: ServicesType, secret: str) -> KeyService | JobTokenService | AccessTokens:
    """The service that authenticates secrets of that kind."""
    if is_access_token(secret) and not services.keys.is_master_key(secret):  # which may begin as it likes
        return services.access_tokens
    return services.job_tokens if is_job_token(secret) else services.keys


async def holder_of_key(request: Request) -> Principal:
    """Authenticates any kind of key, or a job token. Raises: InvalidKey."""
    secret = secret_of(request)
    services = services_of(request)
    found = await _authenticator(services, secret).authenticate(secret)
    asked_by_page.set(found.is_publishable)
    return found


Caller = Annotated[Principal, Depends(principal)]
