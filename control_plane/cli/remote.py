"""How an administrator's command sends requests to a running server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

import typer

from control_plane.cli.answers import ApiCallFailed, Shape
from control_plane.cli.output import Json
from control_plane.cli.requests import Connection, connected
from control_plane.master_key import existing_master_key
from control_plane.settings import Settings

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="CONTROL_PLANE_URL", help="The server to ask.", show_default="where this machine's listens"
    ),
]
Most = Annotated[int, typer.Option("--limit", min=1, help="How many to list, at most.")]


def ask(
    url: str | None, method: str, *path: str, shape: type[Shape], body: Json | None = None, query: Json | None = None
) -> Json:
    """What the server answers to the master key. Raises: ApiCallFailed with its own sentence, or that nobody is there.

    `path`: its parts behind `/api`. `shape`: what must be in the answer. What is None in the query is left out; None in the
    body is null. The same command is charged once: each carries an idempotency key of its own.
    """
    headers = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
    with _connected(url) as server:
        answer = server.request(method, _joined(path), json=body, params=given(query or {}), headers=headers)
    return answer.json(shape)


def ask_for_all(
    url: str | None, *path: str, name: str, shape: type[Shape], limit: int | None = None, query: Json | None = None
) -> Sequence[Json]:
    """The list of that name, over as many pages as it has. `shape`: of each of its rows. Raises: ApiCallFailed."""
    with _connected(url) as server:
        return server.rows(_joined(path), name, shape, query=given(query or {}), limit=limit)


@contextmanager
def _connected(url: str | None) -> Iterator[Connection]:
    settings = Settings()
    with connected(url or f"http://{settings.host}:{settings.port}", existing_master_key(settings)) as server:
        yield server


def _joined(parts: Sequence[str]) -> str:
    for part in parts:
        if part in {"", ".", ".."}:  # of a path it would be another resource
            raise ApiCallFailed(f"{part!r} is no id.")
    return "/".join(["/api", *(quote(part, safe="") for part in parts)])


def given(values: Json) -> Json:
    """Those of the values that the command line named."""
    return {name: value for name, value in values.items() if value is not None}
