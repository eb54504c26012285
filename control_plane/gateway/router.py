"""The embedded LiteLLM Router. It chooses deployments, retries, falls back and streams; no other code calls providers.

Only messages and the parameters of `chat.CHAT_PARAMETERS` travel from a client to LiteLLM, which trusts all its input.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from control_plane.chat import (
    CHAT_PARAMETERS,
    ChatRequest,
    Completion,
    Ending,
    EndpointRequest,
    EndpointResponse,
    ModelRequest,
    ProviderCall,
    Rate,
    UsageEstimate,
)
from control_plane.completion.usage import Usage
from control_plane.errors import EndpointUnsupported, LlmCallFailed, ProviderError
from control_plane.gateway.attempts import Chosen, RelayedAttempt, Relaying, routed
from control_plane.gateway.bounds import AnswerBounds, Timing
from control_plane.gateway.deployments import RouterConfig
from control_plane.gateway.endpoints import METHODS, MODES, cost_of, plain_answer, usage_of
from control_plane.gateway.errors import is_unsupported, translate
from control_plane.gateway.estimates import dearest, estimate_usage
from control_plane.gateway.litellm_stream import LiteLlmStream
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.settling import said_cost, settle
from control_plane.gateway.reports import ATTEMPT, MARK, Attempt
from control_plane.gateway.shutdown import close_clients, close_redis, last_reports, take_out
from control_plane.gateway.streams import AnswerStream, PricedDeployment, call_timed_out
from control_plane.gateway.tap import Tap
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

FLUSH_S = 5.0
"""How long closing waits for LiteLLM's last reports; they usually need milliseconds."""


Complete = Callable[..., Awaitable[Any]]
"""`Router.acompletion`, or `litellm.acompletion` for a deployment that the Router has chosen."""

L = TypeVar("L")
R = TypeVar("R")


class Gateway:
    """The embedded LiteLLM Router: completions, fallbacks, streams. Made by `open_gateway`.

    Callers enter it before a call and leave it afterwards, so that it is not closed in between.
    """

    def __init__(  # noqa: PLR0913 - all that was built of one version of the YAML
        self,
        config: RouterConfig,
        router: Any,
        servings: Mapping[str, PricedDeployment],
        primaries: Mapping[str, PricedDeployment],
        rates: Mapping[str, Rate],
        relaying: Relaying,
        *,
        mark: str,
        reporter: Any,
        bounds: AnswerBounds,
    ) -> None:
        """`servings` by LiteLLM's id; `primaries`, the first deployment, and `rates`, the dearest, by `model_name`."""
        self.config = config
        self._relaying = relaying
        self.router = router
        self._servings = servings
        self._by_deployment = {serving.served.deployment_id: serving for serving in servings.values()}
        self._primaries = primaries
        self._dearest = rates
        self._rates: dict[tuple[str, ...], Rate] = {}
        self._mark = mark
        self._reporter = reporter
        self._bounds = bounds
        self._is_closed = False
        self._calls = 0
        self._is_unused = asyncio.Event()
        self._is_unused.set()

    def enter(self) -> None:
        """A call begins that may use this gateway until it leaves."""
        self._calls += 1
        self._is_unused.clear()

    def leave(self) -> None:
        """A call that entered has ended."""
        self._calls -= 1
        if not self._calls:
            self._is_unused.set()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Entered while the block runs."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    async def unused(self) -> None:
        """Until every call has left."""
        await self._is_unused.wait()

    async def complete(self, call: ProviderCall) -> Completion:
        """The whole answer of the first of `call.models` that gives one.

        Raises: ProviderError, of the first model, when all fail. Cancelling closes the connection to the provider.
        """
        return await self._routed(call, self._complete, RelayedAttempt.complete)

    async def stream(self, call: ProviderCall) -> AnswerStream:
        """The answer as it arrives, from its first chunk with content on.

        Raises: ProviderError as `complete` does. Cancelling closes the connection to the provider. The caller closes
        the stream.
        """
        return await self._routed(call, self._stream, RelayedAttempt.stream)

    async def call_endpoint(self, call: ProviderCall) -> EndpointResponse:
        """The response of an endpoint beside chat completions. Raises: as `complete`; EndpointUnsupported."""
        assert isinstance(call.request, EndpointRequest), "chat calls are completed or streamed"
        attempt = Attempt()
        timing = Timing(self._bounds)
        arguments = {**call.request.arguments, **self._control(call, attempt)}
        try:
            with timing.current():
                async with asyncio.timeout_at(timing.ends_at):
                    response = await getattr(self.router, METHODS[call.request.endpoint])(**arguments)
            serving = self._who(attempt, call)
            usage = await usage_of(serving.tag, call.request, response)
            return plain_answer(call.request, response, served=serving.served, usage=usage, tag=serving.tag)
        except Exception as exc:  # noqa: BLE001  # as in complete
            if is_unsupported(exc):
                raise EndpointUnsupported(group=call.models[0], endpoint=call.request.endpoint) from None
            raise _failed(exc, timing) from None  # as in complete

    def estimate_usage(self, models: Sequence[str], request: ModelRequest) -> UsageEstimate:
        """The most usage of a call, at the dearest deployment of these models. No tokenizer: microseconds."""
        rate = self._rates.get(tuple(models))
        if rate is None:
            rate = self._rates[tuple(models)] = dearest(self._dearest[model] for model in models)
        return estimate_usage(request, rate)

    def takes(self, models: Sequence[str], request: EndpointRequest) -> bool:
        """Whether any of the models supports the request's endpoint, as far as its mode is known."""
        return any(self._primaries[model].tag.mode in (MODES[request.endpoint], None) for model in models)

    def price(self, deployment_id: str, usage: Usage) -> NanoUsd | None:
        """The price of plain tokens at a deployment. None when it is unknown, or for a deployment that does not exist,
        or where something else than tokens costs: pages, searches.
        """
        serving = self._by_deployment.get(deployment_id)
        if serving is None or serving.tag.rate.unit:
            return None
        return prices.cost_of(serving.tag, usage)

    async def estimate(self, call: ProviderCall) -> tuple[Usage, NanoUsd | None]:
        """Prompt tokens and their price at the primary model, for a call whose client left before the first piece."""
        tag = self._primaries[call.models[0]].tag
        usage = await prices.estimate(tag, call.request, ())
        return usage, prices.cost_of(tag, usage)

    async def aclose(self) -> None:
        """Waits, up to FLUSH_S, for the last reports, then releases everything LiteLLM keeps for this gateway.

        Calls and streams must have ended before. May be called any number of times.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            async with asyncio.timeout(FLUSH_S):
                await last_reports()
        except TimeoutError:  # no sign about this one where other gateways are busy
            log.info("spend_reports_awaited", extra={"timeout_s": FLUSH_S})
        finally:
            await self._relaying.relay.aclose()
            self.router.discard()
            await close_redis(self.router)
            if take_out(self._reporter):
                await close_clients()

    def _who(self, attempt: Attempt, call: ProviderCall) -> PricedDeployment:
        return self._servings.get(attempt.deployment_id) or self._primaries[call.models[0]]

    async def _routed(
        self,
        call: ProviderCall,
        through_litellm: Callable[[Complete, ProviderCall, Attempt, Timing], Awaitable[L]],
        relayed: Callable[[RelayedAttempt], Awaitable[R]],
    ) -> L | R:
        """The result of the first attempt that succeeds, each in the lane of its deployment."""
        attempt = Attempt()
        timing = Timing(self._bounds)
        control = self._control(call, attempt)

        async def run(chosen: Chosen) -> L | R:
            relaying = self._relaying.attempt(chosen, call, timing)
            return await (relayed(relaying) if relaying else through_litellm(directly(chosen), call, attempt, timing))

        try:
            async with asyncio.timeout_at(timing.ends_at):
                if self._relaying.models.intersection(call.models):
                    return await routed(self.router, run, control)
                return await through_litellm(partial(self.router.acompletion, **control), call, attempt, timing)
        except Exception as exc:  # noqa: BLE001  # LiteLLM raises its own classes, ValueError, AttributeError …
            raise _failed(exc, timing) from None  # the provider's text stays out of tracebacks

    async def _complete(
        self, acompletion: Complete, call: ProviderCall, attempt: Attempt, timing: Timing
    ) -> Completion:
        request = chat_request(call)
        tap = Tap(request, timing)
        async with tap.open():
            response = await acompletion(**chat_arguments(call))
        serving = self._who(attempt, call)
        chunks, events = tap.answer_of(response)
        attempt.cost = said_cost(serving.tag, chunks.usage)
        usage, cost = await settle(serving.tag, request, chunks.usage, events, is_whole=True)
        if cost is None:
            cost = cost_of(response, serving.tag)
        return Completion.of(events, Ending(chunks.finishes(), usage, cost), serving.served)

    async def _stream(
        self, acompletion: Complete, call: ProviderCall, attempt: Attempt, timing: Timing
    ) -> LiteLlmStream:
        request = chat_request(call)
        tap = Tap(request, timing)
        async with tap.open():
            source = await acompletion(**chat_arguments(call), stream=True, stream_options={"include_usage": True})
        if source is None:  # LiteLLM's answer to a 422, if an operator turned its HTTP handler off
            raise LlmCallFailed
        stream = LiteLlmStream(source, request, tap, attempt, lambda: self._who(attempt, call))
        await stream.prime()
        return stream

    def _control(self, call: ProviderCall, attempt: Attempt) -> dict[str, Any]:
        """The models of a call in their order, and the mark of LiteLLM's reports about it."""
        primary, *others = call.models
        if not self._primaries.keys() >= {primary, *others}:
            raise ValueError("a model that is not in the configuration")  # a deployment's id would be taken, too
        control: dict[str, Any] = {
            "model": primary,
            "litellm_call_id": str(call.call_id),
            "litellm_metadata": {
                "spend_logs_metadata": {"job_id": str(call.job_id), "team_id": str(call.team_id)},
                MARK: self._mark,
                ATTEMPT: attempt,
            },
        }
        if others:
            control["fallbacks"] = others
        return control


def _failed(exc: Exception, timing: Timing) -> ProviderError:
    """The error of a failed call in any case: a call that had all its time is over."""
    return call_timed_out(timing) if timing.is_over else translate(exc)


def chat_request(call: ProviderCall) -> ChatRequest:
    """The chat request."""
    assert isinstance(call.request, ChatRequest), "other endpoints are asked, not completed or streamed"
    return call.request


def chat_arguments(call: ProviderCall) -> dict[str, Any]:
    """All LiteLLM arguments of a chat, newly made: the Router writes into them."""
    request = chat_request(call)
    arguments = {name: value for name, value in request.parameters.items() if name in CHAT_PARAMETERS}
    arguments["messages"] = [dict(message) for message in request.messages]
    arguments["_skip_mcp_handler"] = True  # tools would make LiteLLM load and perhaps call MCP servers
    return arguments


def directly(chosen: Chosen) -> Complete:
    """LiteLLM's completion at a deployment that the Router chose among others that are relayed.

    Its callbacks read the Router's metadata under the name that chat completions have for it.
    """
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    metadata = {name: value for name, value in chosen["litellm_metadata"].items() if name not in (MARK, ATTEMPT)}
    return partial(litellm.acompletion, **{**chosen, "metadata": metadata, "stream": False})
