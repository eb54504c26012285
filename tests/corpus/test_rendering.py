"""Every API renders every answer of the corpus right, whole and as a stream, as its clients read it."""

import pytest

from control_plane.completion.events import Broken
from tests.corpus.apis import APIS, Api
from tests.corpus.cases import FORMS, Case, Form, all_cases
from tests.corpus.reading import contents_of, forms, read, reader_of
from tests.corpus.rendering import rendered
from tests.corpus.shapes import Shape, differences

ANSWERS = forms(all_cases())


@pytest.mark.parametrize("api", APIS, ids=[api.name for api in APIS])
@pytest.mark.parametrize(("case", "form"), ANSWERS, ids=[f"{case.name}-{form}" for case, form in ANSWERS])
def test_an_api_renders_an_answer_whole_and_as_a_stream(case: Case, form: Form, api: Api) -> None:
    reader = reader_of(case)
    events = read(reader, [case.bytes[form]])
    expected = case.expects[form]
    is_broken = any(isinstance(event, Broken) for event in events)
    if is_broken and (form == "whole" or not contents_of(events)):
        return  # an error status, which no renderer of answers writes
    if not api.can_ask(case.asks):
        return
    for written in FORMS:
        if written == "whole" and is_broken:
            continue
        got = api.read(rendered(api, written, reader, events))
        counts = () if expected.estimated else api.counts
        problems = differences(api.view(Shape.of(expected)), api.view(got), shown=api.shown, counts=counts)
        assert not problems, f"tests/corpus/{case.name}.yaml ({form}, written as {written}): {case.why}\n" + "\n".join(
            problems
        )
