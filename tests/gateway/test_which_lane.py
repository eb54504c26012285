"""Which deployments are relayed, and that LiteLLM still has what the relay reaches into."""

import inspect
from typing import Any

import pytest

from control_plane.gateway import litellm_setup
from control_plane.gateway.attempts import ROUTED_AS
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.relay.eligibility import LanePolicy, why_not_relayed
from tests.gateway.conftest import make_call
from tests.gateway.test_lanes import Lanes, completed
from tests.support.provider import Provider


def why_not(
    *,
    params: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    provider: str = "openai",
    mode: str | None = "chat",
    router: dict[str, Any] | None = None,
    litellm: dict[str, Any] | None = None,
    policy: LanePolicy | None = None,
) -> str | None:
    deployment = Deployment("a#1", "a", {"model": f"{provider}/mine", **(params or {})}, info or {})
    return why_not_relayed(
        deployment,
        provider,
        mode=mode,
        router_settings=router or {},
        litellm_settings=litellm or {},
        policy=policy or LanePolicy(),
    )


@pytest.mark.parametrize(
    "usual",
    [
        {},
        {"provider": "hosted_vllm", "mode": None},
        {"params": {"api_key": "sk", "timeout": 5, "temperature": 0.1, "order": 1, "extra_headers": {"a": "b"}}},
        {
            "router": {
                "num_retries": 2,
                "cooldown_time": 5,
                "redis_url": "redis://x",
                "routing_strategy": "simple-shuffle",
            }
        },
        {"litellm": {"drop_params": True, "ssl_verify": True, "modify_params": False}},
    ],
)
def test_what_means_the_same_in_both_lanes_is_relayed(usual: dict[str, Any]) -> None:
    assert why_not(**usual) is None


@pytest.mark.parametrize(
    ("unusual", "reason"),
    [
        ({"policy": LanePolicy("litellm")}, "switched off"),
        ({"info": {"lane": "litellm"}}, "switched off"),
        ({"provider": "anthropic"}, "anthropic is not"),
        ({"mode": "responses"}, "mode is responses"),
        ({"params": {"mock_response": "hi"}}, "litellm_params: mock_response"),
        ({"params": {"rpm": 5}}, "litellm_params: rpm"),
        ({"router": {"enable_pre_call_checks": True}}, "router_settings: enable_pre_call_checks"),
        ({"router": {"routing_strategy": "usage-based-routing-v2"}}, "routing_strategy"),
        ({"litellm": {"ssl_verify": "/etc/ca.pem"}}, "litellm_settings: ssl_verify"),
        ({"litellm": {"modify_params": True}}, "litellm_settings: modify_params"),
    ],
)
def test_what_could_mean_something_else_is_litellms(unusual: dict[str, Any], reason: str) -> None:
    assert reason in (why_not(**unusual) or "")


async def test_a_group_may_have_deployments_of_both_lanes(provider: Provider) -> None:
    """A fallback goes from one lane to the other and back, each attempt in its own."""
    url = provider.url("e500")

    def deployment(name: str, **info: Any) -> Deployment:
        params = {"model": "openai/mine", "api_base": provider.url("ok") if name == "good" else url, "api_key": "sk"}
        return Deployment(f"{name}#1", name, params, {"input_cost_per_token": 1, "output_cost_per_token": 1, **info})

    lanes = await Lanes.over(deployment("one"), deployment("two", lane="litellm"), deployment("good"))
    answer = await lanes.gateways["relay"].complete(make_call("one", "two", "good"))
    await lanes.aclose()
    assert (answer.served.deployment_id, answer.served.lane) == ("good#1", "relay")
    reports = [(each.deployment_id, each.status, each.lane) for each in lanes.reports["relay"]]
    assert sorted(reports) == [
        ("good#1", "success", "relay"),
        ("one#1", "failure", "relay"),
        ("two#1", "failure", "litellm"),
    ]


async def test_a_deployment_of_litellms_lane_cools_down_beside_relayed_ones(provider: Provider) -> None:
    def deployment(behaviour: str, **info: Any) -> Deployment:
        params = {"model": "openai/mine", "api_base": provider.url(behaviour), "api_key": "sk"}
        return Deployment(behaviour, "both", params, {"input_cost_per_token": 1, "output_cost_per_token": 1, **info})

    lanes = await Lanes.over(deployment("e401", lane="litellm"), deployment("ok"), cooldown_time=60)
    while not provider.count("e401"):
        await completed(lanes.gateways["relay"], make_call("both"))
    provider.requests.clear()
    for _ in range(12):
        await completed(lanes.gateways["relay"], make_call("both"))
    await lanes.aclose()
    assert provider.count("e401") == 0


def test_litellm_still_has_what_the_relay_reaches_into() -> None:
    """A new LiteLLM that moved one of these must fail here, before it fails a call."""
    litellm = litellm_setup.load({})
    from litellm.litellm_core_utils.litellm_logging import Logging  # noqa: PLC0415
    from litellm.utils import get_optional_params  # noqa: PLC0415

    router = litellm.Router(model_list=[])
    assert ROUTED_AS in inspect.getsource(router.factory_function)
    for name in ("_ageneric_api_call_with_fallbacks", "deployment_callback_on_failure", "_get_timeout"):
        assert callable(getattr(router, name))
    assert {"model", "custom_llm_provider", "messages"} <= inspect.signature(get_optional_params).parameters.keys()
    assert "result" in inspect.signature(Logging._response_cost_calculator).parameters
    assert litellm.__file__
    router.discard()
