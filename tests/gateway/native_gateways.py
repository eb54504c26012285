"""Gateways over the native provider, and one answer as it comes out of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from control_plane.chat import ServedBy, SpendReport
from control_plane.completion.events import Content
from control_plane.completion.finish import Finish
from control_plane.completion.fold import Message, fold
from control_plane.completion.usage import Usage
from control_plane.errors import ProviderError
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.relay.eligibility import LanePolicy
from control_plane.gateway.router import Gateway
from control_plane.units import NanoUsd
from tests.gateway.conftest import make_call
from tests.gateway.native_answers import WIRES, Wire, deployment
from tests.gateway.native_provider import NativeProvider, Reply

TOOL = {"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}}}}


@dataclass(frozen=True)
class Outcome:
    """What a client gets. `failure`: of the stream, behind its events."""

    events: Sequence[Content]
    finish: Finish
    usage: Usage
    cost: NanoUsd | None
    served: ServedBy
    failure: ProviderError | None = None
    input_usage: Usage | None = None

    @property
    def message(self) -> Message:
        return fold(self.events)[0]


@dataclass
class Native:
    """A gateway with a deployment of each wire, all of them at one provider."""

    provider: NativeProvider
    gateway: Gateway
    reports: list[SpendReport] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def over(cls, provider: NativeProvider, *more: Deployment) -> AsyncIterator["Native"]:
        reports: list[SpendReport] = []
        deployments = [*(deployment(wire, provider) for wire in WIRES.values()), *more]
        config = RouterConfig(deployments, {"num_retries": 0, "disable_cooldowns": True}, {"drop_params": True})
        gateway = await open_gateway(config, reports.append, lanes=LanePolicy("litellm"))
        try:
            yield cls(provider, gateway, reports)
        finally:
            await gateway.aclose()

    async def get(self, wire: Wire, reply: Reply, *, is_stream: bool, **parameters: Any) -> Outcome:
        """The outcome of one answer. Raises: ProviderError where there is none."""
        self.provider.replies[wire.name] = reply
        return await self.ask(wire.name, is_stream=is_stream, **parameters)

    async def ask(self, *models: str, is_stream: bool, **parameters: Any) -> Outcome:
        """As get, of whatever the provider replies to these models."""
        call = make_call(*models, **parameters)
        if not is_stream:
            whole = await self.gateway.complete(call)
            return Outcome(whole.events, whole.ending.finish, whole.usage, whole.cost, whole.served)
        stream = await self.gateway.stream(call)
        events: list[Content] = []
        failure, begun = None, stream.input_usage
        try:
            async for together in stream:
                events += together  # those before a failure count
        except ProviderError as error:
            failure = error
        finally:
            await stream.aclose()
        usage, cost = await stream.settle()
        return Outcome(events, stream.finishes()[0], usage, cost, stream.served, failure, begun)
