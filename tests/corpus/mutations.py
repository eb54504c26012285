"""Answers of the corpus, changed at random: what a provider might send instead."""

import json
import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from tests.corpus.cases import Case, Form

ODD: Sequence[Any] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    1e300,
    float("nan"),
    float("inf"),
    "",
    " ",
    "null",
    "0",
    "text",
    "\ud83d",
    "\ude00x",
    "\x00",
    "a" * 5000,
    [],
    [None],
    [[]],
    ["text"],
    [{}],
    {},
    {"text": "t"},
    {"type": "text", "text": "t"},
    {"error": "x"},
    {"a": {"b": {"c": []}}},
)
"""What may stand in the place of any value."""


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is a value inside of a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places_in(inner, (*path, key))
    return found


def changed(value: Any, chance: random.Random) -> Any:
    """The value with something of it dropped, repeated, swapped or replaced."""
    copy = deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        places = places_in(copy)
        if not places:
            return copy
        *path, last = chance.choice(places)
        holder = copy
        for key in path:
            holder = holder[key]
        match chance.randrange(5):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, list):
                holder.insert(last, deepcopy(holder[last]))
            case 2:
                other_path = chance.choice(places)
                holder[last] = deepcopy(_at(copy, other_path))
            case _:
                holder[last] = deepcopy(chance.choice(ODD))
    return copy


def _at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def documents_of(data: bytes) -> list[Any]:
    """The documents of an answer, as far as they are JSON."""
    found = []
    for line in data.split(b"\n"):
        try:
            found.append(json.loads(line.removeprefix(b"data:").strip() or b"x"))
        except (ValueError, RecursionError):
            continue
    return found


def mutated(case: Case, form: Form, seed: int) -> bytes:
    """Bytes that a provider might send in the place of the case's, the same for the same seed."""
    chance = random.Random(seed)
    data = case.bytes[form]
    if chance.random() < 0.25:
        return _cut(data, chance)
    documents = documents_of(data)
    if not documents:
        return _cut(data, chance)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(documents))
        match chance.randrange(6):
            case 0:
                documents.insert(place, documents[place])
            case 1 if len(documents) > 1:
                del documents[place]
            case 2:
                other = chance.randrange(len(documents))
                documents[place], documents[other] = documents[other], documents[place]
            case _:
                documents[place] = changed(documents[place], chance)
    if form == "whole" and len(documents) == 1:
        return json.dumps(documents[0]).encode()
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents) + b"data: [DONE]\n\n"


def _cut(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            return data[:place]
        case 1:
            return data[place:]
        case 2:
            return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
        case _:
            other = chance.randrange(len(data))
            return data[: max(place, other)] + data[min(place, other) :]
