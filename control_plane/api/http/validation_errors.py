"""Validation errors for people: the path as the client wrote it, and what the value must be instead. Pure.

pydantic's own paths name members of unions (`list[union[…]]`, `function-after[…]`) that no client wrote, and it reports
each member's failure. Here the paths lead into the body, and of a union only the intended member is reported. The
client's value is not repeated: it may be long, hold a secret, or be a NaN that JSON cannot represent.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

Path = tuple[str | int, ...]
"""The path of a value: `("messages", 0, "content")`."""

KINDS: Mapping[str, str] = {
    "string": "a string",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a JSON object",
    "model": "a JSON object",
    "none": "null",
}
"""The required kind of a value, by the beginning of pydantic's error type (`string_type`, `int_parsing`,
`int_from_float`).
"""

KIND_ENDINGS = ("_type", "_parsing", "_from_float", "_attributes_type", "_parsing_size")
"""Endings of the error types that only mean a wrong type of value."""

OF_LENGTH = ("too_short", "too_long")

MOST_LOOKED_AT = 300
"""Problems of one request. A client mends the first; and each is compared with the others of its union."""

TAG_MISSING, TAG_INVALID = "union_tag_not_found", "union_tag_invalid"

WORDINGS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"^(Value error|Assertion failed), ", ""),
        (r"^Field required$", "is required"),
        (r" after validation, not \d+$", ""),
        (r"^(Input|String|List|Dictionary|Tuple|Value|Data|Number) should (be|have|match|contain) ", r"must \2 "),
        (r"^.* instances are not allowed as a Sequence value$", "must be a list"),
        (r"^must be an instance of Sequence$", "must be a list"),
        (r"^must have timezone info$", "must have a time zone, as 2026-01-31T12:00:00Z"),
        (r"^must be a valid (datetime|date)\b.*", r"must be a valid \1, as 2026-01-31T12:00:00Z or 2026-01-31"),
    )
)
"""pydantic's wording, and ours."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One problem of pydantic's. `members`: of which unions it is about which member, by the place of the union."""

    path: Path
    kind: str
    words: str
    members: Mapping[Path, str]


def readable(problems: Iterable[Mapping[str, Any]], body: Any) -> list[dict[str, Any]]:
    """The problems as `loc`, `msg` and `type`, one for a place. `body`: what the client sent, as far as it is JSON."""
    by_source: dict[str, list[_Found]] = defaultdict(list)
    for problem in islice(problems, MOST_LOOKED_AT):
        source, *steps = problem["loc"] or ("body",)
        by_source[str(source)].append(_found(problem, steps, body if source == "body" else None))
    return [
        {"loc": [source, *path], "msg": words, "type": kind}
        for source, found in by_source.items()
        for path, kind, words in _merged(_meant(found))
    ]


def _found(problem: Mapping[str, Any], steps: Sequence[str | int], body: Any) -> _Found:
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    if body is None:
        return _Found(tuple(steps[:1]), kind, _words(problem), {})
    path: list[str | int] = []
    members: dict[Path, str] = {}
    value = body
    for number, step in enumerate(steps):
        if _leads_on(value, step):
            value = value[step]
        elif not (isinstance(value, dict) and kind == "missing" and number == len(steps) - 1):
            members.setdefault(tuple(path), str(step))
            continue
        path.append(step)
    if kind in (TAG_MISSING, TAG_INVALID):
        if not isinstance(value, dict):
            return _Found(tuple(path), "model_type", "must be a JSON object", members)
        path.append(str(context["discriminator"]).strip("'"))
    words = _words(problem)
    if isinstance(value, str) and kind in OF_LENGTH:
        words = words.replace(" item", " character")
    return _Found(tuple(path), kind, words, members)


def _leads_on(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)


def _words(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx") or {}
    if kind == TAG_MISSING:
        return "is required"
    if kind == TAG_INVALID:
        return f"must be one of {context['expected_tags']}"
    if (needed := _kind_needed(kind)) is not None:
        return f"must be {needed}"
    words = str(problem["msg"])
    for pattern, ours in WORDINGS:
        words = pattern.sub(ours, words)
    return words


def _kind_needed(kind: str) -> str | None:
    """The required kind of a value, where nothing else is wrong with it."""
    begin = kind.partition("_")[0]
    return KINDS.get(begin) if kind.endswith(KIND_ENDINGS) or kind == "none_required" else None


def _meant(found: list[_Found]) -> list[_Found]:
    """Without the problems of members of unions that were not meant: the one that got furthest was, with the fewest."""
    dropped: set[tuple[Path, str]] = set()
    for place in {place for each in found for place in each.members}:
        members: dict[str, list[_Found]] = defaultdict(list)
        for each in found:
            if place in each.members:
                members[each.members[place]].append(each)
        deep = {name: each for name, each in members.items() if all(len(one.path) > len(place) for one in each)}
        if deep:
            best = min(deep, key=lambda name: (len(deep[name]), -_position(deep[name], len(place))))
            dropped |= {(place, name) for name in members if name != best}
    return [each for each in found if dropped.isdisjoint(each.members.items())]


def _position(found: list[_Found], depth: int) -> int:
    """At which item of a list the first problem is: the later, the more was as this member wants it."""
    return min(step if isinstance(step, int) else 0 for step in (each.path[depth] for each in found))


def _merged(found: list[_Found]) -> list[tuple[Path, str, str]]:
    """One problem for a place: what it may be in each member of a union, in one sentence."""
    by_path: dict[Path, dict[str, str]] = defaultdict(dict)
    of_right_kind = {each.path for each in found if _kind_needed(each.kind) is None}
    for each in found:
        if each.path in of_right_kind and _kind_needed(each.kind) is not None:
            continue  # that a value of the right kind for one member is none for another
        by_path[each.path].setdefault(each.words, each.kind)
    merged = []
    for path, words in by_path.items():
        begin = "must be "
        if len(words) > 1 and all(each.startswith(begin) for each in words):
            said = begin + " or ".join(each.removeprefix(begin) for each in words)
        else:
            said = "; or ".join(words)
        merged.append((path, next(iter(words.values())), said))
    return merged
