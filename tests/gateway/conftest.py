"""Gateways over the scripted provider, closed after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from control_plane.chat import ChatRequest, Lane, ProviderCall, SpendReport
from control_plane.gateway.bounds import AnswerBounds
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.relay.eligibility import LanePolicy
from control_plane.gateway.router import Gateway
from control_plane.ids import CallId, JobId, TeamId, new_id
from tests.support.provider import Provider

INPUT_USD, OUTPUT_USD = 1e-6, 2e-6
"""Prices per token of every deployment made here, unless a test says otherwise."""

HI = ({"role": "user", "content": "hi there"},)

Opener = Callable[..., Awaitable[Gateway]]
Deploy = Callable[..., Deployment]


def make_call(*models: str, messages: Sequence[Any] = HI, **parameters: Any) -> ProviderCall:
    return ProviderCall(
        call_id=CallId(new_id()),
        job_id=JobId(new_id()),
        team_id=TeamId("acme"),
        models=models,
        request=ChatRequest(messages, parameters),
    )


@pytest.fixture
def deploy(provider: Provider) -> Deploy:
    """A deployment whose model name is its behaviour."""

    def make(
        behaviour: str, *, name: str | None = None, info: dict[str, Any] | None = None, **params: Any
    ) -> Deployment:
        name = name or behaviour
        return Deployment(
            id=f"{name}#1",
            model_name=name,
            params={
                "model": "openai/gpt-4o",
                "api_base": provider.url(behaviour),
                "api_key": "sk-test",
                **params,
            },
            info={"input_cost_per_token": INPUT_USD, "output_cost_per_token": OUTPUT_USD} if info is None else info,
        )

    return make


@pytest.fixture
def reports() -> list[SpendReport]:
    """What the gateways of this test reported."""
    return []


@pytest.fixture(params=["relay", "litellm"])
def lane(request: pytest.FixtureRequest) -> Lane:
    """Which way the deployments are asked: what a client, a bill and an operator see must be the same."""
    found: Lane = request.param
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def gateway_for(deploy: Deploy, reports: list[SpendReport], lane: Lane) -> AsyncIterator[Opener]:
    """Opens a gateway over behaviours or deployments: no retries unless asked for."""
    async with AsyncExitStack() as stack:

        async def make(
            *served: str | Deployment,
            settings: dict[str, Any] | None = None,
            redis: str | None = None,
            bounds: AnswerBounds | None = None,
            **router: Any,
        ) -> Gateway:
            config = RouterConfig(
                deployments=[deploy(item) if isinstance(item, str) else item for item in served],
                router_settings={"num_retries": 0, **router},
                litellm_settings=settings or {},
            )
            policy = LanePolicy("auto" if lane == "relay" else "litellm")
            gateway = await open_gateway(config, reports.append, lanes=policy, bounds=bounds, redis_url=redis)
            stack.push_async_callback(gateway.aclose)
            return gateway

        yield make
