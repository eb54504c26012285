"""Which answers may be given again, and that no two requests share one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.cache.rules import cache_key, is_repeatable
from control_plane.chat import ChatRequest, EndpointRequest, ProviderCall
from control_plane.ids import CallId, JobId, TeamId, new_id

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "send_mail"}}]


@pytest.mark.parametrize(
    ("parameters", "max_temperature", "expected"),
    [
        ({}, 1.0, True),
        ({}, 0.9, False),  # models take 1 when nobody says anything
        ({"temperature": None}, 0.9, False),
        ({"temperature": 0}, 0.0, True),
        ({"temperature": 0.7}, 0.7, True),
        ({"temperature": 0.71}, 0.7, False),
        ({"temperature": 1.3}, 1.0, False),
        ({"temperature": 0, "tools": TOOLS}, 1.0, False),
        ({"tools": []}, 1.0, True),
    ],
)
def test_answers_with_tools_or_of_too_high_a_temperature_are_not_given_again(
    parameters: dict[str, Any], max_temperature: float, *, expected: bool
) -> None:
    assert is_repeatable(ChatRequest(HELLO, parameters), max_temperature) is expected


def test_an_endpoint_that_answers_at_once_answers_the_same_each_time() -> None:
    assert is_repeatable(EndpointRequest("embeddings", {"input": "Hello"}), 0.0)


def call(request: ChatRequest | EndpointRequest, *, team: str = "a", models: tuple[str, ...] = ("m",)) -> ProviderCall:
    return ProviderCall(CallId(new_id()), JobId(new_id()), TeamId(team), models, request)


def name(said: ProviderCall, group: str = "G", generation: str = "1", form: str = "whole") -> str | None:
    return cache_key(said, group, generation, form)


USUAL = name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1})))


def test_the_same_request_in_another_call_and_in_another_order_has_the_same_answer() -> None:
    turned = [{"content": "Hello", "role": "user"}]
    assert name(call(ChatRequest(turned, {"seed": 1, "temperature": 0}))) == USUAL


@pytest.mark.parametrize(
    "other",
    [
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1}), team="b")),
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1}), models=("m", "n"))),
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1})), group="H"),
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1})), generation="2"),
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 1})), form="stream"),
        name(call(ChatRequest(HELLO, {"temperature": 0, "seed": 2}))),
        name(call(ChatRequest(HELLO, {"temperature": 0}))),
        name(call(ChatRequest([*HELLO, *HELLO], {"temperature": 0, "seed": 1}))),
        name(call(ChatRequest([{"role": "user", "content": "hello"}], {"temperature": 0, "seed": 1}))),
    ],
)
def test_whatever_else_is_asked_or_asks_has_another_answer(other: str | None) -> None:
    assert other is not None
    assert other != USUAL


def test_endpoints_do_not_share_answers() -> None:
    said = {"input": "Hello"}
    assert name(call(EndpointRequest("embeddings", said))) != name(call(EndpointRequest("moderations", said)))


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
REQUESTS = st.builds(
    lambda team, texts, seed: (team, tuple(texts), seed),
    st.sampled_from(["a", "a:b", "b"]),
    st.lists(TEXTS, max_size=3),
    st.none() | st.integers(0, 3),
)


@given(REQUESTS, REQUESTS)
def test_two_requests_share_an_answer_only_when_they_are_the_same(
    one: tuple[str, tuple[str, ...], int | None], other: tuple[str, tuple[str, ...], int | None]
) -> None:
    def named(team: str, texts: tuple[str, ...], seed: int | None) -> str | None:
        messages = [{"role": "user", "content": text} for text in texts]
        return name(call(ChatRequest(messages, {} if seed is None else {"seed": seed}), team=team))

    assert (named(*one) == named(*other)) == (one == other)


def test_what_no_reader_of_json_would_agree_on_has_no_name() -> None:
    assert name(call(ChatRequest(HELLO, {"seed": 2**70}))) is None
    assert name(call(ChatRequest([{"role": "user", "content": "\ud800"}]))) is None
