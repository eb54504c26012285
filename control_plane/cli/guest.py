"""How a command is a customer of a server: a team of its own, and a key for as long as it needs it."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from control_plane.errors import HouseError

CREDITS = 100


class GuestFailed(HouseError):
    """The server did not do what a customer would expect."""


def client(url: str, key: str) -> httpx.AsyncClient:
    """A client with this key. Raises: GuestFailed for what is no address."""
    try:
        parsed = httpx.URL(url)
        is_address = parsed.scheme in {"http", "https"} and bool(parsed.host)
    except (httpx.InvalidURL, UnicodeError):
        is_address = False
    if not is_address:
        raise GuestFailed(f"{url!r} is no address of a server; write http://127.0.0.1:8003.")
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """While the block talks to that address. Raises: GuestFailed when nobody is there."""
    try:
        yield
    except httpx.HTTPError as error:
        raise GuestFailed(f"{url} cannot be reached: {str(error) or type(error).__name__}.") from None


async def answered(asked: Awaitable[httpx.Response]) -> dict[str, Any]:
    """The JSON of a successful answer. Raises: GuestFailed with the server's own sentence."""
    response = await asked
    path, status = response.request.url.raw_path.partition(b"?")[0].decode(), response.status_code
    try:
        body = response.json()
    except ValueError:
        raise GuestFailed(f"{path} answered {status}, and not as the control plane does.") from None
    if not response.is_success:
        raise GuestFailed(f"{path} answered {status}: {_reason(body)}")
    if not isinstance(body, dict):
        raise GuestFailed(f"{path} answered {status}, and not as the control plane does.")
    return body


def _reason(body: object) -> str:
    """The server's own sentence, whichever of its APIs answers."""
    error = body.get("detail", body.get("error")) if isinstance(body, dict) else None
    return str(error.get("message")) if isinstance(error, dict) else str(error)


async def key_of(admin: httpx.AsyncClient, team: str, *, lives_s: int) -> dict[str, Any]:
    """A fresh key of the team, which is made the first time, and given new credits when it has none."""
    made = await admin.post("/api/teams/create", json={"team_id": team, "credits_allocated": CREDITS})
    if not made.is_success:  # it is there already
        credits_ = await answered(admin.get(f"/api/teams/{team}/credits"))
        if credits_["credits_available"] < 1:
            await answered(admin.post(f"/api/teams/{team}/credits/add", json={"credits": CREDITS, "reason": "demo"}))
    return await answered(admin.post(f"/api/teams/{team}/keys", json={"name": "demo", "ttl_seconds": lives_s}))
