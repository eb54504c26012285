"""Requests with retries. Each POST carries an idempotency key, so that nothing is done twice."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from .errors import ConnectionFailed, InvalidResponse, StatusError, status_error

V = TypeVar("V", bound=BaseModel)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
MOST_ANSWER_BYTES = 256_000_000
"""Four times what the server takes of a provider; more is not an answer of its."""
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
RETRIED_CONFLICT = "idempotency_in_flight"


class Transport:
    """One connection pool with the team's key. `timeout_s`: for one try, from its first byte to the answer's last.

    Of a stream the time counts until it begins.
    """

    def __init__(self, http: httpx.AsyncClient, *, max_retries: int, timeout_s: float) -> None:
        self._http = http
        self._max_retries = max_retries
        self._timeout_s = timeout_s

    async def get(self, path: str, kind: type[V]) -> V:
        """The response to a GET. Raises: StatusError, ConnectionFailed, InvalidResponse."""
        return _read(await self._answered(self._http.build_request("GET", path)), kind)

    async def post(self, path: str, body: Mapping[str, Any], kind: type[V], *, retries: int | None = None) -> V:
        """The response to a POST. Raises: StatusError, ConnectionFailed, InvalidResponse."""
        return _read(await self._answered(self._keyed(path, body), retries=retries), kind)

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        """A stream that has begun. What comes before that is tried again. Raises: StatusError, ConnectionFailed."""
        response = (await self._answered(self._keyed(path, body), is_stream=True)).response
        try:
            yield response
        finally:
            await response.aclose()

    def _keyed(self, path: str, body: Mapping[str, Any]) -> httpx.Request:
        given = {name: value for name, value in body.items() if value is not None}
        return self._http.build_request("POST", path, json=given, headers={"Idempotency-Key": uuid4().hex})

    async def _answered(
        self, request: httpx.Request, *, is_stream: bool = False, retries: int | None = None
    ) -> "_Answer":
        most = self._max_retries if retries is None else retries
        tries = 0
        while True:
            is_last = tries >= most
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._tried(request, is_stream=is_stream)
            except TimeoutError as error:
                if is_last:
                    raise ConnectionFailed(f"no answer within {self._timeout_s:g} s at {request.url.path}") from error
                wait_s = _backoff(tries)
            except httpx.RequestError as error:
                if is_last:
                    raise ConnectionFailed(f"{type(error).__name__} at {request.url.path}") from error
                wait_s = _backoff(tries)
            else:
                if answer.response.is_success:
                    return answer
                failure = answer.failure()
                is_passing = failure.status in RETRIED or failure.code == RETRIED_CONFLICT
                if is_last or not is_passing:
                    raise failure
                wait_s = max(_backoff(tries), _retry_after(answer.response))
            tries += 1
            await asyncio.sleep(wait_s)

    async def _tried(self, request: httpx.Request, *, is_stream: bool) -> "_Answer":
        """One try. A stream that has begun is open; anything else is read to its end, and closed."""
        response = await self._http.send(request, stream=True)
        if is_stream and response.is_success:
            return _Answer(response)
        try:
            return _Answer(response, await _whole(response))
        finally:
            await response.aclose()


@dataclass(frozen=True, slots=True)
class _Answer:
    response: httpx.Response
    content: bytes = b""

    def failure(self) -> StatusError:
        """The error that it is."""
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            body = {"error": {"message": self.response.reason_phrase or "The server gave no reason."}}
        return status_error(self.response.status_code, body, self.response.headers.get("x-request-id"))


async def _whole(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MOST_ANSWER_BYTES:
            raise InvalidResponse(f"{response.request.url} answers with more than {MOST_ANSWER_BYTES} bytes")
    return bytes(content)


def _backoff(tries: int) -> float:
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tries) * random.uniform(0.5, 1))  # noqa: S311 - spreads retries


def _retry_after(response: httpx.Response) -> float:
    said = response.headers.get("retry-after", "")
    return min(float(said), 60.0) if said.isdecimal() else 0.0


def _read(answer: _Answer, kind: type[V]) -> V:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise InvalidResponse(
            f"{answer.response.request.url} is not answered by the control plane, or by one of another version"
        ) from error
