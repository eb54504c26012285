"""What this process counts, for Prometheus. Home of its client library; a registry of its own for each house.

Money is counted in nano-USD, so that the sums are those of the bills: a float is exact up to nine million dollars.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counts what has become durable: calls when their record is, jobs when their bill is."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = self._counter("calls", "Calls that ended.", "status", "model_group")
        self._cost = self._counter("cost_nano_usd", "Provider cost of billable calls.", "model_group")
        self._price = self._counter("price_nano_usd", "That cost with the markup.", "model_group")
        self._unbilled = self._counter(
            "unbilled_nano_usd", "Provider cost of calls that are not billed.", "model_group"
        )
        self._tokens = self._counter("tokens", "Tokens of billable calls.", "kind")
        self._unpriced = self._counter("unpriced_calls", "Calls whose price nobody knows.", "model_group")
        self._jobs = self._counter("jobs", "Jobs that were closed.", "status")
        self._credits = self._counter("credits_charged", "Credits that closed jobs were charged.")
        self._refusals = self._counter("limit_refusals", "Calls and jobs refused by a rate limit.", "owner", "kind")
        self._fallbacks = self._counter("limits_fallbacks", "Times Redis went away and limits were counted alone.")
        self._shared = Gauge(
            "control_plane_limits_shared", "1 while limits are counted together in Redis.", registry=self._registry
        )

        self._tasks = Gauge("control_plane_tasks", "Tasks in the event loop.", registry=self._registry)

        self._in_flight = Gauge(
            "control_plane_calls_in_flight", "Calls that run in this process.", registry=self._registry
        )

    def watch_calls(self, running: Callable[[], float]) -> None:
        """How many calls run is asked when somebody wants to know."""
        self._in_flight.set_function(running)

    def call_ended(
        self,
        *,
        status: str,
        model_group: str,
        cost: int,
        price: int,
        prompt_tokens: int,
        completion_tokens: int,
        is_billable: bool,
        is_unpriced: bool,
    ) -> None:
        """A call's record is durable."""
        self._calls.labels(status, model_group).inc()
        if is_billable:
            self._cost.labels(model_group).inc(cost)
            self._price.labels(model_group).inc(price)
            self._tokens.labels("prompt").inc(prompt_tokens)
            self._tokens.labels("completion").inc(completion_tokens)
        else:
            self._unbilled.labels(model_group).inc(cost)
        if is_unpriced:
            self._unpriced.labels(model_group).inc()

    def job_closed(self, *, status: str, charged: int) -> None:
        """A job's bill is durable."""
        self._jobs.labels(status).inc()
        self._credits.inc(charged)

    def limit_reached(self, *, owner: str, kind: str) -> None:
        """A call or job was refused. `owner`: team, key or model group; `kind`: of what there was too much."""
        self._refusals.labels(owner, kind).inc()

    def limits_fell_back(self) -> None:
        """Redis went away, and this process counts alone."""
        self._fallbacks.inc()

    def limits_are_shared(self, is_shared: bool) -> None:
        """Whether this process counts limits together with the others."""
        self._shared.set(is_shared)

    def exposed(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self._tasks.set(len(asyncio.all_tasks()))
        return generate_latest(self._registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"control_plane_{name}", says, labels, registry=self._registry)
