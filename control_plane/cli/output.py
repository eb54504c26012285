"""Prints results: lines and tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

WIDE = 1000

Json = Mapping[str, Any]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the API's response as JSON; a list as all its items. Its keys: /docs.")
]


_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff{_DIRECTIONS}]")
"""Characters that control a terminal, or that it cannot write: controls, changes of direction, halves of characters."""


def visible(text: str, *, keep: str = "") -> str:
    """The text with what a terminal would obey as escapes: customers and servers may have written anything.

    `keep`: which of it stays, as line feeds in a sentence of several lines.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def echo(text: str, *, err: bool = False) -> None:
    """Lines for people, on standard output or standard error."""
    typer.echo(visible(text, keep="\n\t"), err=err)


def json_text(value: object, *, indent: int | None = 2) -> str:
    """JSON for programs that is safe to display, too. `indent` None: on one line."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def print_json(value: object) -> None:
    """JSON on standard output."""
    typer.echo(json_text(value))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def show(values: Json, *, as_json: bool) -> None:
    """Prints one thing: a line for each of its values, a table below for each list of things."""
    if as_json:
        print_json(values)
        return
    tables = {name: value for name, value in values.items() if _are_rows(value)}
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if name not in tables:
            echo(f"{visible(name):<{width}}  {plain(value)}")
    for name, rows in tables.items():
        echo(f"\n{visible(name)}")
        show_all(rows, *rows[0], as_json=False)


def show_all(rows: Sequence[Json], *columns: str, as_json: bool) -> None:
    """Prints many things: a row for each, with these of its values."""
    if as_json:
        print_json(list(rows))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        is_number = any(isinstance(row.get(column), int | float) and row[column] not in {True, False} for row in rows)
        table.add_column(
            visible(column), overflow="fold", justify="right" if is_number else "left"
        )  # an id that is cut is no id
    for row in rows:
        table.add_row(*(plain(row.get(column)) for column in columns))
    is_seen = sys.stdout.isatty()  # a program that reads it wants no broken lines
    Console(highlight=False, markup=False, emoji=False, width=None if is_seen else WIDE).print(table)


def plain(value: object) -> str:
    """A value in a cell or a line, on one line."""
    if value is None or value in ([], {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.9f}".rstrip("0").rstrip(".")
        case list() if not any(isinstance(item, dict | list) for item in value):
            return ", ".join(map(plain, value))
        case dict() if not any(isinstance(item, dict | list) for item in value.values()):
            return ", ".join(f"{visible(name)}={plain(item)}" for name, item in value.items())
        case _:
            return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def explain(sentence: str) -> None:
    """Prints an error for people, without a traceback."""
    shown = visible(sentence, keep="\n")
    print(f"control-plane: {shown}", file=sys.stderr)  # noqa: T201
