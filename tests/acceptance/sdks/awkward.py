"""What SDKs are asked of the corpus, what each of them must make of it, and what must reach the provider when an answer is
sent back. An SDK is asked with a `Question` and gives an `Outcome`, both JSON, since some run in programs of their own.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from aiohttp import web

from control_plane.completion.fold import fold
from tests.corpus.apis import Api, ChatApi, MessagesApi, ResponsesApi, call_of
from tests.corpus.cases import Call, Case, Expected, Form
from tests.corpus.provider import MARK, CorpusProvider, prompt_for
from tests.corpus.reading import contents_of, read, reader_of
from tests.corpus.runner import group_of
from tests.corpus.shapes import Shape, call_differences, differences, with_parsed_arguments

Json = dict[str, Any]
Outcome = Json
"""`final`: the SDK's own object, as JSON, if it gave one; `error`: {`is_own`: of the SDK's class, `name`, `status`,
`message`}, if it raised; `second`: the outcome of the turn in which the answer was sent back, if there was one.
"""

CHAT, RESPONSES, MESSAGES = ChatApi(), ResponsesApi(), MessagesApi()

FIRST_TEXT = "openai/text"
"""The case that answers a second turn."""


def chosen(cases: Sequence[Case]) -> list[tuple[int, Case, Form]]:
    """One of each kind of answer that an SDK can tell from another."""
    found: dict[str, tuple[int, Case, Form]] = {}
    for number, case in enumerate(cases):
        for form in case.forms:
            found.setdefault(f"{form} {case.asks} {case.history} {_kind(case, form)}", (number, case, form))
    return list(found.values())


def _kind(case: Case, form: Form) -> Any:
    expected = case.expects[form]
    if expected.outcome == "failed":
        return expected.status, expected.error, bool(expected.text)
    if not is_worth_sending_back(expected):
        return expected.text, expected.finish, expected.native_finish, expected.estimated, expected.answers
    contents = contents_of(read(reader_of(case), [case.bytes[form]]))
    read_as: Any = fold(contents, 1 + len(expected.answers)) if form == "whole" else contents
    return expected.finish, expected.native_finish, MADE_ID.sub("", str(read_as))


MADE_ID = re.compile(r"call_[0-9a-f]{32}")


def is_worth_sending_back(expected: Expected) -> bool:
    """Whether an answer holds something that the next request must carry, or may stumble over."""
    return expected.outcome == "succeeded" and bool(
        expected.tool_calls or expected.reasoning or expected.refusal or expected.pictures or expected.citations
    )


@dataclass(frozen=True)
class Sdk:
    """One SDK at one API. `read`: makes a shape of its final object. `shown`: the fields of a shape that it keeps.
    `has_strict_streams`: its helper for streams demands that arguments are JSON. `has_plain_answers`: whether it is asked
    for plain texts, too.
    """

    name: str
    api: Api
    read: Callable[[Json], Shape]
    shown: Sequence[str]
    has_custom_calls: bool = False
    has_parsed_arguments: bool = False
    has_refusals_as_text: bool = False
    has_answers: bool = True
    has_strict_streams: bool = False
    has_plain_answers: bool = True

    def takes(self, case: Case, form: Form) -> bool:
        expected = case.expects[form]
        calls = expected.tool_calls
        if not self.has_plain_answers and expected.outcome == "succeeded" and not is_worth_sending_back(expected):
            return False
        if self.has_strict_streams and form == "stream" and expected.finish != "length" and any(map(_is_cut, calls)):
            return False
        is_served = self.has_custom_calls or all(call.kind == "function" for call in calls)
        return is_served and self.api.can_ask(case.asks) and (self.has_answers or "n" not in case.asks)

    def view(self, shape: Shape) -> Shape:
        seen = self.api.view(shape)
        if self.has_refusals_as_text:
            seen = replace(seen, text=seen.text + seen.refusal)
        return with_parsed_arguments(seen) if self.has_parsed_arguments else seen


@dataclass(frozen=True)
class Question:
    """One case that one SDK is asked for in one form."""

    sdk: Sdk
    case: Case
    number: int
    form: Form

    @property
    def key(self) -> str:
        return f"{self.sdk.name}-{self.case.name}-{self.form}"

    @property
    def seed(self) -> int:
        return crc32(self.key.encode())

    @property
    def expected(self) -> Expected:
        return self.case.expects[self.form]

    @property
    def is_sent_back(self) -> bool:
        return is_worth_sending_back(self.expected)

    def as_json(self) -> Json:
        """`body`: of the request, as the API has it; `asks`: its parameters in the words of chat completions."""
        model = group_of(self.case, "relay")
        prompt = prompt_for(self.number, self.form, self.seed)
        asks = self.case.asks
        request = self.sdk.api.request(model, prompt, asks, self.form, history=self.case.history, job_id="")
        return {
            "key": self.key,
            "api": self.sdk.api.name,
            "form": self.form,
            "model": model,
            "prompt": prompt,
            "history": self.case.history,
            "asks": dict(asks),
            "body": {name: value for name, value in request.body.items() if name not in ("stream", "stream_options")},
            "isSentBack": self.is_sent_back,
        }


def questions(sdks: Sequence[Sdk], cases: Sequence[Case]) -> list[Question]:
    return [
        Question(sdk, case, number, form)
        for sdk in sdks
        for number, case, form in chosen(cases)
        if sdk.takes(case, form)
    ]


@dataclass
class RememberingProvider(CorpusProvider):
    """Keeps what it was asked. The second request with a prompt, which holds the answer to the first, gets a plain text."""

    bodies: dict[tuple[int, Form, int], list[Json]] = field(default_factory=lambda: defaultdict(list))

    def case_for(self, number: int, form: Form, seed: int) -> Case:
        if self.asked[number, form, seed] > 1:
            return next(case for case in self.cases if case.name == FIRST_TEXT)
        return super().case_for(number, form, seed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if (found := MARK.search(body)) is not None:
            form: Form = "stream" if found[2] == b"stream" else "whole"
            self.bodies[int(found[1]), form, int(found[3])].append(json.loads(body))
        return await super().answer(request)


def problems(
    asked: Sequence[Question], outcomes: Mapping[str, Outcome], provider: RememberingProvider
) -> Iterator[str]:
    """What is wrong, a line each."""
    text = next(case for case in provider.cases if case.name == FIRST_TEXT).expects["whole"].text
    for question in asked:
        outcome = outcomes.get(question.key)
        if outcome is None:
            yield f"{question.key}: no outcome"
            continue
        found = list(_problems(question, outcome))
        if question.is_sent_back and not found:
            bodies = provider.bodies[question.number, question.form, question.seed]
            found += _second_problems(question, outcome.get("second") or {}, bodies, text)
        yield from (f"{question.key}: {problem}" for problem in found)


def _problems(question: Question, outcome: Outcome) -> Iterator[str]:
    expected, error = question.expected, outcome.get("error")
    if expected.outcome == "failed":
        if error is None:
            yield f"no error, but {outcome}"
        elif not error["is_own"] or (
            expected.status != 200 and error["status"] not in statuses_of(question.sdk.api, expected.status)
        ):
            yield f"the error is {error}, not the SDK's own with status {expected.status}"
        return
    if error is not None:
        yield f"raised {error}"
        return
    sdk = question.sdk
    got = sdk.view(sdk.read(outcome["final"]))
    want = with_completed_calls(sdk.view(Shape.of(expected)), got)
    yield from differences(want, got, shown=sdk.shown, counts=())


def statuses_of(api: Api, status: int) -> Sequence[int]:
    """Anthropic's SDK knows an overloaded provider by a status of its own."""
    return (503, 529) if api is MESSAGES and status == 503 else (status,)


def with_completed_calls(want: Shape, got: Shape) -> Shape:
    """Arguments that end too early are completed by each SDK in its own way, to an object."""
    if len(want.tool_calls) != len(got.tool_calls):
        return want
    calls = tuple(
        replace(call, arguments=other.arguments) if _is_cut(call) and is_object(other.arguments) else call
        for call, other in zip(want.tool_calls, got.tool_calls, strict=True)
    )
    return replace(want, tool_calls=calls)


def _is_cut(call: Call) -> bool:
    return call.kind == "function" and bool(call.arguments) and not is_object(call.arguments)


def is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def _second_problems(question: Question, second: Outcome, bodies: Sequence[Json], text: str) -> Iterator[str]:
    if second.get("error") is not None or "final" not in second:
        yield f"second turn: {second.get('error') or 'not asked'}"
        return
    said = question.sdk.read(second["final"]).text
    if said != text:
        yield f"second turn: the answer is {said!r}"
    if len(bodies) != 2:
        yield f"second turn: the provider was asked {len(bodies)} times"
        return
    yield from (f"second turn: {problem}" for problem in _history_problems(question, bodies[1]["messages"]))


def _history_problems(question: Question, messages: Sequence[Json]) -> Iterator[str]:
    """What is wrong with the conversation that reached the provider behind the first question."""
    calling = [place for place, message in enumerate(messages) if message.get("tool_calls")]
    calling = [place for place in calling if messages[place]["tool_calls"][0]["id"] != "call_before"]
    expected = question.expected
    if not expected.tool_calls:
        if calling or messages[-1]["role"] != "user":
            yield f"the conversation is {messages!r}"
        return
    if len(calling) != 1:
        yield f"{len(calling)} messages with tool calls in {messages!r}"
        return
    calls = messages[calling[0]]["tool_calls"]
    made = with_parsed_arguments(Shape(tool_calls=tuple(call_of(call) for call in calls)))
    want = with_completed_calls(with_parsed_arguments(Shape.of(expected)), made)
    yield from call_differences(want.tool_calls, made.tool_calls)
    results = messages[calling[0] + 1 :]
    if [result.get("role") for result in results] != ["tool"] * len(calls):
        yield f"behind the calls come {results!r}"
    elif [result["tool_call_id"] for result in results] != [call["id"] for call in calls]:
        yield f"the results' ids are {results!r}, the calls' {calls!r}"
