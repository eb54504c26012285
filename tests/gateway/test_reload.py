"""A gateway that takes over from another: what is in flight ends as it began, and nothing of the old one stays."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.chat import SpendReport
from control_plane.errors import InvalidConfig, LlmCallFailed, ProviderUnavailable
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from tests.gateway.conftest import INPUT_USD, OUTPUT_USD, Deploy, Opener, make_call
from tests.support.provider import Provider

STILL_HELD = 9
"""LiteLLM lets go of the last ones a little later; something that every reload left would be there 99 times."""


def dearer(deployment: Deployment, times: int = 1000) -> Deployment:
    prices = {"input_cost_per_token": INPUT_USD * times, "output_cost_per_token": OUTPUT_USD * times}
    return replace(deployment, info={**deployment.info, **prices})


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_a_call_costs_what_it_did_when_it_began(
    gateway_for: Opener, deploy: Deploy, provider: Provider, reports: list[SpendReport]
) -> None:
    """LiteLLM asks a price list that all Routers of the process share, at the end of a call."""
    old = await gateway_for("hold")
    streamed = await old.stream(make_call("hold"))
    waiting = asyncio.create_task(old.complete(make_call("hold")))
    await provider.wait_requests("hold", 2)
    config = RouterConfig([dearer(deploy("hold"))], {"num_retries": 0})
    new = await open_gateway(config, reports.append, before=old)
    provider.release("hold")
    answer = await new.complete(make_call("hold"))
    assert answer.cost == 31_000_000
    async for _ in streamed:
        pass
    assert (await streamed.settle())[1] == (await waiting).cost == 31_000
    await old.aclose()
    assert (await new.complete(make_call("hold"))).cost == 31_000_000, "closing the old one left the new price"
    await new.aclose()
    assert sorted(report.cost for report in reports) == [31_000, 31_000, 31_000_000, 31_000_000]
    assert {report.deployment_id for report in reports} == {"hold#1"}


async def test_a_deployment_that_rests_goes_on_resting(gateway_for: Opener, provider: Provider) -> None:
    old = await gateway_for("e401", cooldown_time=60)
    with pytest.raises(LlmCallFailed):
        await old.complete(make_call("e401"))
    new = await open_gateway(old.config, print, before=old)
    with pytest.raises(ProviderUnavailable):
        await new.complete(make_call("e401"))
    await new.aclose()
    assert provider.count("e401") == 1


async def test_what_litellm_refuses_leaves_the_old_settings_in_force(gateway_for: Opener) -> None:
    import litellm  # noqa: PLC0415

    old = await gateway_for("ok", settings={"drop_params": False, "request_timeout": 7})
    wrong = RouterConfig([Deployment("x", "x", {"model": "nobody-knows-this"}, {})])
    with pytest.raises(InvalidConfig):
        await open_gateway(wrong, print, before=old)
    assert (litellm.drop_params, litellm.request_timeout) == (False, 7)
    assert (await old.complete(make_call("ok"))).usage.total_tokens == 21


async def test_a_hundred_reloads_leave_nothing_behind(
    gateway_for: Opener, deploy: Deploy, provider: Provider, reports: list[SpendReport]
) -> None:
    """Each with a call, while a stream of the first goes on: no objects, tasks or open files of LiteLLM's or ours."""
    import litellm  # noqa: PLC0415

    first = await gateway_for("hold", "ok")
    stream = await first.stream(make_call("hold"))
    gc.collect()  # other tests' Routers
    gateway, sizes = first, []
    for count in range(101):
        config = RouterConfig([deploy("hold"), dearer(deploy("ok"), count + 2)], {"num_retries": 0})
        new = await open_gateway(config, reports.append, before=gateway)
        await new.complete(make_call("ok"))
        if gateway is not first:
            await gateway.aclose()
        gateway = new
        if count in (1, 100):
            gc.collect()
            routers = sum(isinstance(each, litellm.Router) for each in gc.get_objects())
            lists = (litellm.callbacks, litellm.success_callback, litellm._async_success_callback)
            sizes.append((routers, *map(len, lists), len(litellm.model_cost), len(asyncio.all_tasks()), open_files()))
    grown = [after - before for before, after in zip(*sizes, strict=True)]
    assert max(grown) <= STILL_HELD, sizes
    provider.release("hold")
    assert len([event async for events in stream for event in events]) == 10
    await stream.settle()
    await first.aclose()
    await gateway.aclose()
    assert len(reports) == 102
