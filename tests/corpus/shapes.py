"""What a client got, in one shape for all APIs, and what of it each API can show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.corpus.cases import Call, Expected


@dataclass(frozen=True)
class Shape:
    """One answer as a client got it. `usage`: the counts that the API reports."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[Call] = ()
    pictures: Sequence[str] = ()
    citations: Sequence[str] = ()
    finish: str | None = None
    native_finish: str | None = None
    stop_sequence: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    cost_usd: float | None = None
    error: str | None = None
    answers: Sequence["Shape"] = ()

    @classmethod
    def of(cls, expected: Expected) -> "Shape":
        return cls(
            text=expected.text,
            reasoning=expected.reasoning,
            refusal=expected.refusal,
            tool_calls=expected.tool_calls,
            pictures=expected.pictures,
            citations=expected.citations,
            finish=expected.finish,
            native_finish=expected.native_finish,
            stop_sequence=expected.stop_sequence,
            usage=expected.usage,
            error=expected.error,
            answers=tuple(cls.of(answer) for answer in expected.answers),
        )


DETAILS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens")
"""Counts that are 0 where a case does not name them."""


def differences(want: Shape, got: Shape, *, shown: Sequence[str], counts: Sequence[str]) -> list[str]:
    """Where the two differ, in the fields that the API shows. A failed answer has no end and no usage."""
    problems = []
    if want.error != got.error:
        problems.append(f"error: {got.error!r}, not {want.error!r}")
    ends = () if want.error else ("finish", "native_finish", "stop_sequence")
    problems += [
        f"{name}: {getattr(got, name)!r}, not {getattr(want, name)!r}"
        for name in ("text", "reasoning", "refusal", "pictures", "citations", *ends)
        if name in shown and getattr(want, name) != getattr(got, name)
    ]
    problems += call_differences(want.tool_calls, got.tool_calls)
    if not want.error:
        for name in counts:
            value = want.usage.get(name, 0 if name in DETAILS else None)
            if value is not None and got.usage.get(name) != value:
                problems.append(f"usage.{name}: {got.usage.get(name)!r}, not {value!r}")
    if "answers" in shown and len(want.answers) != len(got.answers):
        problems.append(f"{len(got.answers)} more answers, not {len(want.answers)}")
    elif "answers" in shown:
        for number, (one, other) in enumerate(zip(want.answers, got.answers, strict=True), start=1):
            problems += [f"answer {number}: {said}" for said in differences(one, other, shown=shown, counts=())]
    return problems


def call_differences(want: Sequence[Call], got: Sequence[Call]) -> list[str]:
    problems = []
    if [(call.kind, call.name, call.arguments) for call in want] != [
        (call.kind, call.name, call.arguments) for call in got
    ]:
        problems.append(f"tool_calls: {got!r}, not {want!r}")
    else:
        problems += [
            f"id of {one.name}: {other.id!r}, not {one.id!r}"
            for one, other in zip(want, got, strict=True)
            if one.id is not None and one.id != other.id
        ]
    ids = [call.id for call in got]
    if not all(ids) or len(set(ids)) != len(ids):
        problems.append(f"ids of tool calls: {ids!r}")
    return problems


def with_parsed_arguments(shape: Shape) -> Shape:
    """As the APIs have it whose tools take objects: equal objects are equal, and what is none stays as it was written."""
    calls = tuple(replace(call, kind="function", arguments=parsed(call.arguments)) for call in shape.tool_calls)
    return replace(shape, tool_calls=calls)


def parsed(arguments: str) -> str:
    if not arguments.strip():
        return "{}"
    try:
        found = json.loads(arguments)
    except ValueError:
        return arguments
    if not isinstance(found, dict):
        return arguments
    for name in ("INVALID_JSON", "input"):
        if found.keys() == {name} and isinstance(found[name], str):
            return str(found[name])
    return json.dumps(found, sort_keys=True)
