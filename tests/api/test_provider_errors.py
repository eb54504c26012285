"""Whose fault a failed call is, in every API's words: the provider's own code reaches the client, its text does not."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from control_plane.api.http.problem import ErrorRenderer, Problem, job_api_error
from control_plane.api.wires.anthropic.errors import anthropic_error
from control_plane.api.wires.openai.errors import openai_error
from control_plane.api.wires.respond.errors import respond_error
from control_plane.completion.events import ProviderFault
from control_plane.errors import (
    LlmCallFailed,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    fault_of,
)

WIRES: Mapping[str, ErrorRenderer] = {
    "jobs": job_api_error,
    "openai": openai_error,
    "anthropic": anthropic_error,
    "respond": respond_error,
}
SAID = {"status": 400, "code": "invalid_value", "type": "invalid_request_error", "param": "messages[0].content"}


def failed(error: ProviderError, **said: Any) -> ProviderError:
    """As the gateway makes it."""
    error.fault = ProviderFault(**said)
    return error


def shown(wire: str, error: ProviderError) -> tuple[int, dict[str, Any]]:
    status, body = WIRES[wire](Problem.of(error))
    return status, body["error"]


@pytest.mark.parametrize("wire", WIRES)
def test_the_providers_words_reach_the_client_and_its_text_does_not(wire: str) -> None:
    status, error = shown(wire, failed(ProviderRefused(), **SAID, text="You sent a SECRET prompt"))
    assert status == 400
    assert "SECRET" not in str(error)
    if wire == "respond":
        assert {name: error[f"provider_{name}"] for name in SAID} == SAID
    else:
        assert error["provider"] == SAID


@pytest.mark.parametrize("wire", WIRES)
def test_keys_of_the_operator_are_redacted_in_them(wire: str) -> None:
    _, error = shown(wire, failed(ProviderRefused(), status=400, code="key sk-live-12345678", param="org-Abcdef123"))
    assert "sk-live" not in str(error)
    assert "Abcdef" not in str(error)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "error", [ProviderUnavailable(), RateLimited(owner="team", kind="requests", limit=1, retry_after_ms=1)]
)
def test_an_error_without_a_report_names_no_provider(wire: str, error: Any) -> None:
    _, said = shown(wire, error)
    assert not {"provider", "provider_code", "provider_type", "provider_param"} & said.keys()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("status", [401, 402, 403, 404, 429])
def test_the_operators_trouble_is_never_the_clients(wire: str, status: int) -> None:
    """A 401 would have the client's developer look for another key, a 402 for another card."""
    error = failed(ProviderMisconfigured(), status=status, code="insufficient_quota")
    answered, said = shown(wire, error)
    assert answered == 500
    assert said["code"] == "llm_call_failed"
    assert "operator" in said["message"]
    assert error.level == logging.ERROR
    assert isinstance(error, LlmCallFailed)
    assert "WWW-Authenticate" not in Problem.of(error).headers


@pytest.mark.parametrize("wire", WIRES)
def test_an_overloaded_provider_says_when_to_come_back(wire: str) -> None:
    error = failed(ProviderOverloaded(retry_after_s=12.0), status=529, type="overloaded_error")
    status, said = shown(wire, error)
    assert status == (529 if wire == "anthropic" else 503)
    assert said["code"] == "provider_unavailable"
    assert Problem.of(error).headers["Retry-After"] == "12"
    assert "Retry-After" in Problem.of(ProviderOverloaded()).headers


def test_anthropics_clients_take_it_for_what_it_is() -> None:
    _, said = shown("anthropic", failed(ProviderOverloaded(), status=529))
    assert said["type"] == "overloaded_error"
    status, _ = shown("anthropic", failed(ProviderUnavailable(), status=503))
    assert status == 503


def test_respond_names_the_status_of_a_fault_inside_an_answer() -> None:
    _, said = shown("respond", failed(ProviderRateLimited(), status=429))
    assert said["provider_status"] == 429


def test_a_fault_is_found_in_any_error_that_has_one() -> None:
    assert fault_of(failed(ProviderRefused(), status=400)) == ProviderFault(400)
    assert fault_of(ProviderRefused()) is None
    assert fault_of(ValueError("x")) is None
