"""How a command is a customer of a server: a team of its own, and a key for as long as it needs it."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus

import httpx
from pydantic import ValidationError

from control_plane.cli import requests
from control_plane.cli.answers import ApiCallFailed, Chunk, Credits, NewKey, reason_in
from control_plane.cli.requests import request, whole
from control_plane.gateway.reading.sse import DONE, EventTooLong, SseEvent, SseReader

CREDITS = 100


async def key_of(admin: httpx.AsyncClient, team: str, *, lives_s: int) -> NewKey:
    """A fresh key of the team, which is made the first time, and given new credits when it has none."""
    made = await request(admin, "POST", "/api/teams/create", json={"team_id": team, "credits_allocated": CREDITS})
    if not made.is_success:  # it is there already
        credits_ = (await request(admin, "GET", f"/api/teams/{team}/credits")).read(Credits)
        if credits_.credits_available < 1:
            more = {"credits": CREDITS, "reason": "demo"}
            (await request(admin, "POST", f"/api/teams/{team}/credits/add", json=more)).read(Credits)
    wanted = {"name": "demo", "ttl_seconds": lives_s}
    return (await request(admin, "POST", f"/api/teams/{team}/keys", json=wanted)).read(NewKey)


async def stream(
    http: httpx.AsyncClient,
    path: str,
    body: Mapping[str, object],
    take: Callable[[Chunk], object],
    headers: Mapping[str, str] | None = None,
) -> None:
    """Takes the pieces of a stream, to the end that means that all is recorded, within the time of a request.

    Raises: ApiCallFailed, httpx.HTTPError.
    """
    try:
        async with (
            asyncio.timeout(requests.REQUEST_S),
            http.stream("POST", path, json=body, headers=headers) as response,
        ):
            if response.status_code != HTTPStatus.OK:
                refusal = await whole(response)
                raise ApiCallFailed(f"A stream answered {refusal.status}: {refusal.reason}")
            reader = SseReader()
            async for received in response.aiter_bytes():
                for event in reader.feed(received):
                    if event.data == DONE:
                        return
                    take(_chunk(event))
    except TimeoutError:
        raise ApiCallFailed(f"A stream has not ended within {requests.REQUEST_S:g} s.") from None
    except EventTooLong as error:
        raise ApiCallFailed(f"A stream is not one of the control plane's: {error}.") from None
    raise ApiCallFailed("A stream ended without its [DONE].")


def _chunk(event: SseEvent) -> Chunk:
    if isinstance(event.document, dict) and "error" in event.document:
        raise ApiCallFailed(f"A stream failed: {reason_in(event.document) or 'no reason is given'}")
    try:
        return Chunk.model_validate(event.document)
    except ValidationError:
        raise ApiCallFailed("A stream is not one of the control plane's.") from None
