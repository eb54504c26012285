"""Requests that are tried again until they are answered. Each POST carries a key, so that nothing is done twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from .errors import ConnectionFailed, InvalidResponse, status_error

V = TypeVar("V", bound=BaseModel)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
RETRIED_CONFLICT = "idempotency_in_flight"


class Transport:
    """One connection pool with the team's key."""

    def __init__(self, http: httpx.AsyncClient, *, max_retries: int) -> None:
        self._http = http
        self._max_retries = max_retries

    async def get(self, path: str, kind: type[V]) -> V:
        """The response to a GET. Raises: StatusError, ConnectionFailed, InvalidResponse."""
        return _read(await self._answered(self._http.build_request("GET", path)), kind)

    async def post(self, path: str, body: Mapping[str, Any], kind: type[V]) -> V:
        """The response to a POST. Raises: StatusError, ConnectionFailed, InvalidResponse."""
        return _read(await self._answered(self._keyed(path, body)), kind)

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        """A stream that has begun. What comes before that is tried again. Raises: StatusError, ConnectionFailed."""
        response = await self._answered(self._keyed(path, body), stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _keyed(self, path: str, body: Mapping[str, Any]) -> httpx.Request:
        given = {name: value for name, value in body.items() if value is not None}
        return self._http.build_request("POST", path, json=given, headers={"Idempotency-Key": uuid4().hex})

    async def _answered(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        tries = 0
        while True:
            is_last = tries >= self._max_retries
            try:
                response = await self._http.send(request, stream=stream)
            except httpx.RequestError as error:
                if is_last:
                    raise ConnectionFailed(f"{type(error).__name__} at {request.url.path}") from error
                wait_s = _backoff(tries)
            else:
                if response.is_success:
                    return response
                await response.aread()
                failure = status_error(response.status_code, _json(response), response.headers.get("x-request-id"))
                is_passing = failure.status in RETRIED or failure.code == RETRIED_CONFLICT
                if is_last or not is_passing:
                    raise failure
                wait_s = max(_backoff(tries), _retry_after(response))
            tries += 1
            await asyncio.sleep(wait_s)


def _backoff(tries: int) -> float:
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tries) * random.uniform(0.5, 1))  # noqa: S311 - spreads retries


def _retry_after(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return min(float(said), 60.0) if said.isdecimal() else 0.0


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return {"error": {"message": response.reason_phrase or "The server gave no reason."}}


def _read(response: httpx.Response, kind: type[V]) -> V:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise InvalidResponse(
            f"{response.request.url} is not answered by the control plane, or by one of another version"
        ) from error
