"""Runs one attempt and reports its result to LiteLLM's Router (cooldowns, success counters).

The Router chooses the deployment, retries, cools down and falls back in either lane. LiteLLM's lane reports its
attempts itself; the relay's are reported here, with the same counters and rules.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from control_plane.chat import ChatRequest, Completion, Ending, ProviderCall, SpendReport
from control_plane.completion.usage import Usage
from control_plane.gateway.bounds import Timing
from control_plane.gateway.pricing.settling import settle
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.relay.checks import litellms_cost
from control_plane.gateway.relay.relay import Relay
from control_plane.gateway.relay.stream import RelayStream
from control_plane.gateway.relay.targets import Target
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

T = TypeVar("T")

Chosen = Mapping[str, Any]
"""The Router's description of the chosen deployment: its `litellm_params`, `model_info`, metadata."""

ROUTED_AS = "afile_content"
"""The kind of call whose path through the Router is the bare one: choice, retries, cooldowns, fallbacks, nothing else."""


async def routed(router: Any, run: Callable[[Chosen], Awaitable[T]], control: Mapping[str, Any]) -> T:
    """The result of the first attempt that succeeds. Raises: what the Router raises when none does."""
    results: list[T] = []

    async def attempt(**chosen: Any) -> None:  # the Router would count an answer's tokens, at half its own cost
        results.append(await run(chosen))

    await router.factory_function(attempt, call_type=ROUTED_AS)(**control)
    return results[-1]


class Relaying:
    """The relay's lane of one gateway. `targets` by LiteLLM's ids; `check_share` as in the LanePolicy."""

    def __init__(
        self,
        relay: Relay,
        targets: Mapping[str, Target],
        router: Any,
        report: Callable[[SpendReport], None],
        *,
        check_share: float,
    ) -> None:
        self.relay = relay
        self.models = frozenset(target.model_name for target in targets.values())
        self.router = router
        self.report = report
        self._targets = targets
        self._check_share = check_share

    def attempt(self, chosen: Chosen, call: ProviderCall, timing: Timing) -> "RelayedAttempt | None":
        """An attempt at what the Router chose; None when it is LiteLLM's to make."""
        target = self._targets.get(chosen["model_info"]["id"])
        if target is None or not target.takes(_chat(call)):
            return None
        is_checked = random.random() < self._check_share  # noqa: S311
        return RelayedAttempt(self, target, chosen, call, timing, is_checked=is_checked)


class RelayedAttempt:
    """One attempt in the relay's lane, reported to the Router and to the spend log."""

    def __init__(
        self,
        relaying: Relaying,
        target: Target,
        chosen: Chosen,
        call: ProviderCall,
        timing: Timing,
        *,
        is_checked: bool,
    ) -> None:
        """`is_checked`: LiteLLM's own logging prices it, too, and the spend log has that price."""
        self._relay = relaying.relay
        self._router = relaying.router
        self._report = relaying.report
        self._target = target
        self._chosen = chosen
        self._call = call
        self._timing = timing
        self._request = _chat(call)
        self._is_checked = is_checked
        self._started_at = datetime.now(UTC)

    async def complete(self) -> Completion:
        """A whole answer. Raises: LiteLLM's exceptions."""
        serving = self._target.serving
        try:
            events, chunks = await self._relay.complete(self._target, self._request, self._timing)
            usage, cost = await settle(serving.tag, self._request, chunks.usage, events, is_whole=True)
        except Exception as exc:
            self._failed(exc)
            raise
        self._settled(chunks, usage, cost, None)
        return Completion.of(events, Ending(chunks.finishes(), usage, cost), serving.served)

    async def stream(self) -> RelayStream:
        """A stream whose first event is here. Raises: LiteLLM's exceptions."""
        try:
            response = await self._relay.open(self._target, self._request, self._timing)
            stream = RelayStream(
                self._target,
                self._request,
                response,
                self._timing,
                release=self._relay.release,
                on_failure=self._cool,
                on_settled=self._settled,
            )
            await stream.prime()
        except Exception as exc:
            self._failed(exc)
            raise
        return stream

    def _failed(self, exc: Exception) -> None:
        self._cool(exc)
        self._report_attempt(None, Usage(), NanoUsd(0), exc)

    def _cool(self, exc: Exception) -> None:
        """The Router counts the failure and, by its rules, leaves the deployment out for a while."""
        metadata = self._chosen["litellm_metadata"]
        params = {"model_info": self._chosen["model_info"], "metadata": metadata, "litellm_metadata": metadata}
        told = {"exception": exc, "litellm_params": params, "litellm_metadata": metadata}
        self._router.deployment_callback_on_failure(told, None, None, None)

    def _settled(self, chunks: ChunkReader, usage: Usage, cost: NanoUsd | None, exc: Exception | None) -> None:
        """An answer that came to its end, or broke after it had begun."""
        from litellm.router_utils.router_callbacks.track_deployment_metrics import (  # noqa: PLC0415  # see litellm_setup.py
            increment_deployment_successes_for_current_minute,
        )

        if exc is None:
            increment_deployment_successes_for_current_minute(self._router, self._target.known_as)
            if self._is_checked and not usage.is_estimated:
                cost = litellms_cost(self._target, chunks, usage, self._call.call_id)
        self._report_attempt(chunks, usage, cost or NanoUsd(0), exc)

    def _report_attempt(self, chunks: ChunkReader | None, usage: Usage, cost: NanoUsd, exc: Exception | None) -> None:
        """A row of the spend log, as LiteLLM's callback would have it."""
        call_id = self._call.call_id
        report = SpendReport(
            call_id=call_id,
            request_id=(chunks.told_id if chunks else "") or str(call_id),
            status="success" if exc is None else "failure",
            model=str(self._chosen["model"]),
            model_group=str(self._chosen["litellm_metadata"].get("model_group") or ""),
            deployment_id=self._target.serving.served.deployment_id,
            provider=self._target.provider,
            cost=cost,
            usage=usage,
            started_at=self._started_at,
            ended_at=datetime.now(UTC),
            is_cached=False,
            error_class=None if exc is None else type(exc).__name__,
            lane="relay",
        )
        try:
            self._report(report)
        except Exception:  # as for LiteLLM's own reports: the call goes on
            log.exception("spend_report_lost", extra={"call_id": str(call_id)})


def _chat(call: ProviderCall) -> ChatRequest:
    assert isinstance(call.request, ChatRequest), "other endpoints are asked"
    return call.request
