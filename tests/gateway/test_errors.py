"""Each failure of a provider has one name for our clients, and none of its text."""

import logging

import pytest

from control_plane.errors import (
    ContentPolicyViolated,
    ContextLengthExceeded,
    LlmCallFailed,
    ModelTimeout,
    ProviderError,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from control_plane.gateway.errors import RETRY_AFTER_S
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.support.provider import Provider
from tests.support.provider_plans import RETRY_AFTER_S as PROVIDERS_RETRY_AFTER_S

CASES = [
    ("e400", ProviderRefused),
    ("e401", ProviderMisconfigured),
    ("e403", ProviderMisconfigured),
    ("e404", ProviderMisconfigured),
    ("e408", ModelTimeout),
    ("e422", ProviderRefused),
    ("e429", ProviderRateLimited),
    ("e500", LlmCallFailed),
    ("e502", ProviderUnavailable),
    ("e503", ProviderUnavailable),
    ("context", ContextLengthExceeded),
    ("policy", ContentPolicyViolated),
    ("garbage", LlmCallFailed),
    ("break0", LlmCallFailed),
    ("timeout", ModelTimeout),
]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(("behaviour", "expected"), CASES)
async def test_every_failure_has_its_name(
    gateway_for: Opener, deploy: Deploy, behaviour: str, expected: type[ProviderError], is_stream: bool
) -> None:
    gateway = await gateway_for(deploy(behaviour, timeout=0.3 if behaviour == "timeout" else 5))
    call = gateway.stream if is_stream else gateway.complete
    with pytest.raises(ProviderError) as failure:
        await call(make_call(behaviour))
    error = failure.value
    assert type(error) is expected
    assert error.status not in {401, 403, 404}
    assert error.message == (expected.__doc__ or "").partition("\n")[0]  # ours, not the provider's
    if error.status in {429, 503}:
        assert error.retry_after_s
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None  # no provider text in a traceback


async def test_the_providers_retry_after_is_passed_on(gateway_for: Opener) -> None:
    gateway = await gateway_for("e429", "e503")
    with pytest.raises(ProviderRateLimited) as limited:
        await gateway.complete(make_call("e429"))
    assert limited.value.retry_after_s == PROVIDERS_RETRY_AFTER_S
    with pytest.raises(ProviderUnavailable) as unavailable:
        await gateway.complete(make_call("e503"))
    assert unavailable.value.retry_after_s == RETRY_AFTER_S


async def test_a_group_cooling_down_is_unavailable_for_that_long(gateway_for: Opener, provider: Provider) -> None:
    # given one 401, after which LiteLLM leaves the deployment alone
    gateway = await gateway_for("e401", cooldown_time=30)
    with pytest.raises(LlmCallFailed):
        await gateway.complete(make_call("e401"))
    # when
    with pytest.raises(ProviderUnavailable) as failure:
        await gateway.complete(make_call("e401"))
    # then
    assert failure.value.retry_after_s == 30
    assert provider.count("e401") == 1


async def test_the_log_names_the_deployment_and_repeats_no_text(
    gateway_for: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await gateway_for("e401", "e500", "rolebreak", "errchunk")
    secret = "my-secret-prompt"
    messages = [{"role": "user", "content": secret}]
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(LlmCallFailed):
            await gateway.complete(make_call("e401", messages=messages))
        with pytest.raises(ProviderError):
            await gateway.stream(make_call("e500", "rolebreak", messages=messages))
        with pytest.raises(LlmCallFailed):
            async for _ in await gateway.stream(make_call("errchunk", messages=messages)):
                pass
    record = next(record for record in caplog.records if record.message == "provider_error")
    assert record.__dict__["deployment"] == "e401#1"
    assert record.__dict__["status"] == 401
    assert record.__dict__["error_class"] == "AuthenticationError"
    said = "\n".join(f"{record.getMessage()} {record.exc_text} {record.__dict__}" for record in caplog.records)
    for private in (secret, "sk-test", "sk-prov", "Incorrect API key", "had an error"):
        assert private not in said
    assert not [
        record for record in caplog.records if record.name.startswith("LiteLLM") and record.levelno < logging.WARNING
    ]
