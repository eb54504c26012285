"""What is read of a provider's answer does not depend on how the network cut it."""

import random
from collections.abc import Sequence
from zlib import crc32

import pytest

from control_plane.completion.events import Broken, Event
from control_plane.gateway.reading.blame import blame
from control_plane.gateway.reading.faults import fault_of_text
from tests.corpus.cases import Case, Form, all_cases
from tests.corpus.reading import CODES, bytewise, cut_at, forms, read, reader_of, shape_of
from tests.corpus.shapes import Shape, differences

CASES = all_cases()
ANSWERS = forms(CASES)
REFUSALS = [case for case in CASES if case.status >= 400]

FIELDS = (
    "text",
    "reasoning",
    "refusal",
    "pictures",
    "citations",
    "finish",
    "native_finish",
    "stop_sequence",
    "answers",
)
COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

MOST_BORDERS = 40
"""Borders that are tried of a longer answer; of a shorter one all are."""


def shape_at(case: Case, pieces: Sequence[bytes]) -> Shape:
    reader = reader_of(case)
    events: list[Event] = read(reader, pieces)
    assert sum(isinstance(event, Broken) for event in events) <= 1
    assert not any(isinstance(event, Broken) for event in events[:-1]), "something follows the end of a broken answer"
    return shape_of(reader, events)


def problems_of(case: Case, form: Form, got: Shape) -> list[str]:
    expected = case.expects[form]
    if form == "whole" and expected.error is not None:  # what came before the failure never reaches a client
        return [] if got.error == expected.error else [f"error: {got.error!r}, not {expected.error!r}"]
    counts = () if expected.estimated and not expected.usage else COUNTS
    return differences(Shape.of(expected), got, shown=FIELDS, counts=counts)


@pytest.mark.parametrize(("case", "form"), ANSWERS, ids=[f"{case.name}-{form}" for case, form in ANSWERS])
def test_an_answer_is_read_the_same_wherever_the_network_cut_it(case: Case, form: Form) -> None:
    data = case.bytes[form]
    where = f"tests/corpus/{case.name}.yaml ({form}): {case.why}"
    assert not (problems := problems_of(case, form, shape_at(case, [data]))), f"{where}\n" + "\n".join(problems)
    if len(data) < 20_000:
        assert not (problems := problems_of(case, form, shape_at(case, bytewise(data)))), (
            f"{where}, byte by byte\n" + "\n".join(problems)
        )
    borders: Sequence[int] = range(1, len(data))
    if len(borders) > MOST_BORDERS:
        borders = random.Random(crc32(case.name.encode())).sample(borders, MOST_BORDERS)
    for border in borders:
        problems = problems_of(case, form, shape_at(case, cut_at(data, border)))
        assert not problems, f"{where}, cut at {border}\n" + "\n".join(problems)


@pytest.mark.parametrize("case", REFUSALS, ids=[case.name for case in REFUSALS])
def test_whose_fault_a_refusal_is_follows_from_what_the_provider_reports(case: Case) -> None:
    found = CODES[blame(fault_of_text(case.status, case.bytes["whole"]))]
    assert found == case.expects["whole"].error, f"tests/corpus/{case.name}.yaml: {case.why}"
