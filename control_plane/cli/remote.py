"""How an administrator's command asks a running server, and shows what it said: as a table, or as JSON for programs."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table

from control_plane.cli.guest import answered, client, reaching
from control_plane.master_key import find_master_key
from control_plane.settings import Settings

PAGE = 100
WIDE = 1000

Json = Mapping[str, Any]

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="CONTROL_PLANE_URL", help="The server to ask.", show_default="where this machine's listens"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of the server's answer, as JSON.")]
Most = Annotated[int, typer.Option("--limit", min=1, help="How many to list, at most.")]


def ask(url: str | None, method: str, *path: str, body: Json | None = None, query: Json | None = None) -> Json:
    """What the server answers to the master key. Raises: GuestFailed with its own sentence, or that nobody is there.

    `path`: its parts behind `/api`. What is None in body or query is left out. The same command is charged once: each
    carries an idempotency key of its own.
    """
    settings = Settings()
    master_key, _ = find_master_key(settings)
    address = url or f"http://{settings.host}:{settings.port}"

    async def asked() -> Json:
        with reaching(address):
            async with client(address, master_key) as http:
                return await answered(
                    http.request(
                        method,
                        "/".join(["/api", *(quote(part, safe="") for part in path)]),
                        json=None if body is None else _given(body),
                        params=_given(query or {}),
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


def show(answer: Json, *, as_json: bool) -> None:
    """Prints one thing: a line for each of its values."""
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    width = max(map(len, answer), default=0)
    for name, value in answer.items():
        typer.echo(f"{name:<{width}}  {_plain(value)}")


def show_all(rows: Sequence[Json], *columns: str, as_json: bool) -> None:
    """Prints many things: a row for each, with these of its values."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")  # an id that is cut is no id
    for row in rows:
        table.add_row(*(_plain(row[column]) for column in columns))
    is_seen = sys.stdout.isatty()  # a program that reads it wants no broken lines
    Console(highlight=False, markup=False, width=None if is_seen else WIDE).print(table)


def _given(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str() | int() | float():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
