"""How an administrator's command sends requests to a running server."""

import asyncio
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

import typer

from control_plane.cli.guest import GuestFailed, answered, client, reaching
from control_plane.cli.output import Json
from control_plane.master_key import existing_master_key
from control_plane.settings import Settings

PAGE = 100

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="CONTROL_PLANE_URL", help="The server to ask.", show_default="where this machine's listens"
    ),
]
Most = Annotated[int, typer.Option("--limit", min=1, help="How many to list, at most.")]


def ask(url: str | None, method: str, *path: str, body: Json | None = None, query: Json | None = None) -> Json:
    """What the server answers to the master key. Raises: GuestFailed with its own sentence, or that nobody is there.

    `path`: its parts behind `/api`. What is None in the query is left out; None in the body is null. The same command is
    charged once: each carries an idempotency key of its own.
    """
    for part in path:
        if part in {"", ".", ".."}:  # of a path it would be another resource
            raise GuestFailed(f"{part!r} is no id.")
    settings = Settings()
    master_key = existing_master_key(settings)
    address = url or f"http://{settings.host}:{settings.port}"

    async def asked() -> Json:
        with reaching(address):
            async with client(address, master_key) as http:
                return await answered(
                    http.request(
                        method,
                        "/".join(["/api", *(quote(part, safe="") for part in path)]),
                        json=body,
                        params=given(query or {}),
                        headers={"Idempotency-Key": uuid4().hex} if method == "POST" else {},
                    )
                )

    return asyncio.run(asked())


def ask_for_all(
    url: str | None, *path: str, name: str, limit: int | None = None, query: Json | None = None
) -> list[Json]:
    """The list of that name, over as many pages as it has. Raises: GuestFailed."""
    found: list[Json] = []
    cursor: object = None
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = ask(url, "GET", *path, query={**(query or {}), "limit": size, "cursor": cursor})
        found += page[name]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


def given(values: Json) -> Json:
    """Those of the values that the command line named."""
    return {name: value for name, value in values.items() if value is not None}
