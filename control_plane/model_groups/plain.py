"""Checks any value of the file: JSON, a database, a header and the environment of the process must be able to carry it.
A file with anything else would be in force and fail at each call, or at the first list of groups.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.model_groups.problems import Path, Problems

UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""Postgres and C keep no U+0000; UTF-8 has no halves of characters."""


def report_unwritable(values: Mapping[str, Any], problems: Problems) -> bool:
    """Report text with characters that cannot be kept, and variables that no process can have; whether there is any.

    The text is not repeated: it may be a secret.
    """
    has_any = False
    for path, value in _everything(values, ()):
        found = UNWRITABLE.search(value) if isinstance(value, str) else None
        if found is not None:
            has_any = True
            code = ord(found[0])
            half = ", half of a character (write it as it is, or as \\U and 8 digits)" if code else ""
            problems.add(path, f"a text here holds U+{code:04X}{half}, which cannot be kept")
    variables = values.get("environment_variables")
    for name in variables if isinstance(variables, dict) else ():
        if not name or "=" in name:
            has_any = True
            problems.add(("environment_variables", name), "the name of a variable must not be empty or hold '='")
    return has_any


def report_no_json(values: Mapping[str, Any], problems: Problems) -> None:
    """Report what JSON cannot represent: dates, sets, bytes, NaN."""
    for path, value in _everything(values, ()):
        if isinstance(value, float) and not math.isfinite(value):
            problems.add(path, "a value must be a finite number")
        elif not isinstance(value, dict | list | str | int | float | None):
            problems.add(path, f"YAML reads a value here as {type(value).__name__}, not as text; put it in quotes")


def _everything(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every value, and every key at the place of its value. Keys that are no text were reported already."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield (*path, key), key
                yield from _everything(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _everything(inner, (*path, index))
