"""The corpus: answers of providers as files, with what a customer must get of each.

A case is a file `tests/corpus/<provider>/<name>.yaml`; adding one is all that a new fault needs. Its fields:

    why:       what would break for a customer, in one sentence
    provider:  LiteLLM's prefix of the provider. In the relay's lane one that is not relayed is asked as `openai`.
    wire:      `openai` (the default) is asked in both lanes and read by the pure reader; any other only in LiteLLM's lane
    model:     the model's name at the provider, where it matters
    params:    more `litellm_params`; info: more `model_info`, prices among them; base: behind the address, `/v1` by default
    asks:      parameters of the request, in the words of chat completions; APIs that cannot ask them are left out
    history:   `tool`: the request ends with the result of a tool
    stream:    the bytes of the streamed answer, as text; or
    events:    a list of JSON documents, each written as `data: …` with an empty line behind it, `[DONE]` behind the last
               unless `done: false`; or stream_base64
    whole:     the body of the buffered answer: JSON data, or text; or whole_base64
    same_bytes: the form that has no bytes of its own is answered with those of the other. Always so for error statuses.
    status, headers:  of the HTTP response
    ends:      `eof`, or `drop`: the connection breaks behind the last byte
    expect:    what comes out (`Expected`); expect_stream and expect_whole replace fields of it for one form
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

FOLDER = Path(__file__).parent

Form = Literal["whole", "stream"]
FORMS: tuple[Form, ...] = ("whole", "stream")

FIELDS = frozenset(
    {
        "why",
        "provider",
        "wire",
        "model",
        "params",
        "info",
        "base",
        "asks",
        "history",
        "stream",
        "events",
        "done",
        "stream_base64",
        "whole",
        "whole_base64",
        "same_bytes",
        "status",
        "headers",
        "ends",
        "expect",
        "expect_stream",
        "expect_whole",
    }
)

CONTENT_TYPES: Mapping[Form, str] = {"whole": "application/json", "stream": "text/event-stream"}


@dataclass(frozen=True)
class Call:
    """A tool call. `id` None: any that is not empty."""

    name: str
    arguments: str = ""
    id: str | None = None
    kind: str = "function"


@dataclass(frozen=True)
class Expected:
    """What must come out. `usage` holds the counts that matter; `estimated`: at least one was counted here.

    `cost_usd` None: the tokens at the usual price. `outcome`, `error` and `status` belong together: a stream that fails
    behind its first event has status 200. `is_overloaded`: the provider says so, for which Anthropic's API has a status of
    its own. `retry_after`: the header, in seconds. `cached`: whether the answer may be given again; None: if it ended as
    usual and no tools were asked for. `answers`: those behind the first, where several were asked for.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[Call] = ()
    pictures: Sequence[str] = ()
    citations: Sequence[str] = ()
    finish: str | None = "stop"
    native_finish: str | None = None
    stop_sequence: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    estimated: bool = False
    unpriced: bool = False
    cost_usd: float | None = None
    outcome: Literal["succeeded", "failed"] = "succeeded"
    error: str | None = None
    status: int = 200
    is_overloaded: bool = False
    retry_after: int | None = None
    cached: bool | None = None
    answers: Sequence["Expected"] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Expected":
        said = dict(given)
        said["tool_calls"] = tuple(Call(**call) for call in said.get("tool_calls", ()))
        said["pictures"] = tuple(said.get("pictures", ()))
        said["citations"] = tuple(said.get("citations", ()))
        said["answers"] = tuple(cls.of(answer) for answer in said.get("answers", ()))
        if said.get("error") is not None:
            said = {"outcome": "failed", "status": 500, "finish": None, **said}
        if "usage" in said and "estimated" in said["usage"]:
            said["usage"] = dict(said["usage"])
            said["estimated"] = said["usage"].pop("estimated")
        return cls(**said)


@dataclass(frozen=True, eq=False)
class Case:
    """One file."""

    name: str
    why: str
    provider: str
    bytes: Mapping[Form, bytes]
    content_types: Mapping[Form, str]
    expects: Mapping[Form, Expected]
    wire: str = "openai"
    model: str = "test-model"
    params: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    base: str = "/v1"
    asks: Mapping[str, Any] = field(default_factory=dict)
    history: str = "user"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_dropped: bool = False

    @property
    def forms(self) -> Sequence[Form]:
        return [form for form in FORMS if form in self.bytes]

    @property
    def has_usual_price(self) -> bool:
        return not any("cost" in name for name in self.info)


def read_case(file: Path) -> Case:
    given = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)  # ten times as fast: every collection reads 370 files
    strange = given.keys() - FIELDS
    assert not strange, f"{file}: unknown fields {sorted(strange)}"
    status = given.get("status", 200)
    found = _bytes_of(given)
    kinds = {form: CONTENT_TYPES[form] for form in found}
    if (given.get("same_bytes") or status >= 400) and len(found) == 1:
        (only,) = found
        found = dict.fromkeys(FORMS, found[only])
        kinds = dict.fromkeys(FORMS, CONTENT_TYPES[only])
    expects = {form: Expected.of({**given["expect"], **given.get(f"expect_{form}", {})}) for form in found}
    same = ("why", "provider", "wire", "model", "params", "info", "asks", "history", "base")
    return Case(
        name=file.relative_to(FOLDER).with_suffix("").as_posix(),
        bytes=found,
        content_types=kinds,
        expects=expects,
        status=status,
        headers={name: str(value) for name, value in given.get("headers", {}).items()},
        is_dropped=given.get("ends") == "drop",
        **{name: given[name] for name in same if name in given},
    )


def _bytes_of(given: Mapping[str, Any]) -> dict[Form, bytes]:
    found: dict[Form, bytes] = {}
    if "whole" in given:
        whole = given["whole"]
        found["whole"] = whole.encode() if isinstance(whole, str) else json.dumps(whole).encode()
    elif "whole_base64" in given:
        found["whole"] = base64.b64decode(given["whole_base64"])
    if "stream" in given:
        found["stream"] = given["stream"].encode()
    elif "events" in given:
        written = [f"data: {json.dumps(event)}\n\n" for event in given["events"]]
        found["stream"] = "".join([*written, "data: [DONE]\n\n" if given.get("done", True) else ""]).encode()
    elif "stream_base64" in given:
        found["stream"] = base64.b64decode(given["stream_base64"])
    assert found, "a case has bytes"
    return found


@cache
def all_cases() -> Sequence[Case]:
    return [read_case(file) for file in sorted(FOLDER.glob("*/*.yaml"))]
