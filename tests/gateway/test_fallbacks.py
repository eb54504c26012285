"""Which models are asked, how often, and in which order: counted at the provider."""

import pytest

from control_plane.errors import ContextLengthExceeded, LlmCallFailed, ProviderRefused
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.support.provider import Provider


@pytest.mark.parametrize("is_stream", [False, True])
async def test_models_are_asked_in_their_order_and_no_other(
    gateway_for: Opener, provider: Provider, is_stream: bool
) -> None:
    # given a Router with a fallback of its own to a model the group does not name
    gateway = await gateway_for("e500", "e429", "garbage", "ok", "e503", fallbacks=[{"e500": ["e503"]}])
    call = make_call("e500", "e429", "ok", "garbage")
    if is_stream:
        stream = await gateway.stream(call)
        served = stream.served
        await stream.aclose()
    else:
        served = (await gateway.complete(call)).served
    assert served.deployment_id == "ok#1"
    assert [request.behaviour for request in provider.requests] == ["e500", "e429", "ok"]


async def test_a_long_list_is_walked_to_its_end(gateway_for: Opener, provider: Provider) -> None:
    # LiteLLM's own limit is five fallbacks
    broken = ["e500", "e502", "e503", "e429", "e422", "e400", "garbage"]
    gateway = await gateway_for(*broken, "ok")
    answer = await gateway.complete(make_call(*broken, "ok"))
    assert answer.served.deployment_id == "ok#1"
    assert [request.behaviour for request in provider.requests] == [*broken, "ok"]


async def test_a_single_model_has_the_routers_own_fallbacks(gateway_for: Opener) -> None:
    gateway = await gateway_for("e500", "ok", fallbacks=[{"e500": ["ok"]}])
    assert (await gateway.complete(make_call("e500"))).served.deployment_id == "ok#1"


@pytest.mark.parametrize("behaviour", ["context", "policy", "e400", "e401", "e403", "e404", "timeout", "break0"])
async def test_every_kind_of_failure_falls_back(gateway_for: Opener, deploy: Deploy, behaviour: str) -> None:
    gateway = await gateway_for(deploy(behaviour, timeout=0.3 if behaviour == "timeout" else 5), "ok")
    assert (await gateway.complete(make_call(behaviour, "ok"))).served.deployment_id == "ok#1"
    stream = await gateway.stream(make_call(behaviour, "ok"))
    assert stream.served.deployment_id == "ok#1"
    await stream.aclose()


async def test_when_all_fail_the_first_models_error_is_told(gateway_for: Opener) -> None:
    gateway = await gateway_for("context", "e500")
    with pytest.raises(ContextLengthExceeded):
        await gateway.complete(make_call("context", "e500"))
    with pytest.raises(LlmCallFailed):
        await gateway.complete(make_call("e500", "context"))


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2)])
async def test_retries_happen_in_one_place(
    gateway_for: Opener, provider: Provider, retries: int, requests: int, is_stream: bool
) -> None:
    # given; LiteLLM waits half a second and more between tries, unless there is another deployment
    gateway = await gateway_for("e500", num_retries=retries)
    with pytest.raises(LlmCallFailed):
        await (gateway.stream if is_stream else gateway.complete)(make_call("e500"))
    assert provider.count("e500") == requests


async def test_a_retry_that_works_is_the_answer(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("flaky1", num_retries=1)
    assert (await gateway.complete(make_call("flaky1"))).message.text
    assert provider.count("flaky1") == 2


async def test_a_refused_request_is_not_tried_again(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("e400", num_retries=2)
    with pytest.raises(ProviderRefused):
        await gateway.complete(make_call("e400"))
    assert provider.count("e400") == 1
