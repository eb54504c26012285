"""A setting that is not honoured must stop the start: an operator who asked for a limit would believe to have one."""

import logging
from typing import Any

import pytest

from control_plane.errors import InvalidConfig
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.litellm_setup import WithoutValues
from control_plane.gateway.settings import setting_problems
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.support.provider import Provider


@pytest.mark.parametrize(
    ("router", "module", "said"),
    [
        ({"num_retrys": 1}, {}, "router_settings: num_retrys is not a supported setting. Did you mean num_retries?"),
        ({"cache_responses": True}, {}, "router_settings: cache_responses is not supported: teams would get"),
        ({}, {"callbacks": ["langfuse"]}, "litellm_settings: callbacks is not supported: calls are reported to the"),
        ({}, {"cache": True}, "litellm_settings: cache is not a supported setting."),
        ({}, {"drop_parms": True}, "Did you mean drop_params?"),
        ({}, {"api_key": "sk"}, "litellm_settings: api_key is not a supported setting."),
        ({"redis_host": "localhost"}, {}, "redis_host needs redis_port"),
    ],
)
async def test_what_is_not_supported_is_refused_by_name(
    deploy: Deploy, router: dict[str, Any], module: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidConfig, match=said.replace(".", r"\.").replace("?", r"\?")):
        await open_gateway(RouterConfig([deploy("ok")], router, module), lambda _: None)


def test_supported_settings_have_no_problems() -> None:
    assert setting_problems(["num_retries", "timeout"], ["drop_params", "request_timeout"]) == []


async def test_a_deployment_litellm_refuses_is_told_without_its_key() -> None:
    deployment = Deployment("x", "x", {"model": "nobody-knows-this", "api_key": "sk-very-secret"}, {})
    with pytest.raises(InvalidConfig, match="LiteLLM refuses the configuration") as failure:
        await open_gateway(RouterConfig([deployment]), lambda _: None)
    assert "sk-very-secret" not in str(failure.value)


async def test_litellm_settings_hold_for_the_calls(gateway_for: Opener, provider: Provider) -> None:
    gateway = await gateway_for("flaky1", settings={"num_retries": 1}, num_retries=None)
    await gateway.complete(make_call("flaky1"))
    assert provider.count("flaky1") == 2


async def test_settings_of_one_gateway_do_not_stay_for_the_next(gateway_for: Opener) -> None:
    import litellm  # noqa: PLC0415

    await gateway_for("ok", settings={"drop_params": False, "request_timeout": 7})
    assert (litellm.drop_params, litellm.request_timeout) == (False, 7)
    await gateway_for("ok")
    assert (litellm.drop_params, litellm.request_timeout) == (True, 600)


async def test_litellms_own_log_lines_keep_their_place_and_lose_their_values(
    gateway_for: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway_for("ok")
    logger = logging.getLogger("LiteLLM")
    assert logger.handlers == []
    assert any(isinstance(known, WithoutValues) for known in logger.filters)
    logger.warning("trouble with %s", "my-prompt")
    logger.error("my-prompt 100%")
    logger.error("it broke: %s", "my-prompt", exc_info=ValueError("my-prompt"))
    logger.info("not even said")
    said = [record.getMessage() for record in caplog.records if record.name == "LiteLLM"]
    assert len(said) == 3
    assert said[0].startswith("litellm: trouble with %s (test_litellms_own_log_lines")
    assert "my-prompt" not in caplog.text
