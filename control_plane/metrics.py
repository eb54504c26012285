"""Prometheus metrics of this process. The only user of its client library; each `Services` has its own registry.

Money is counted in nano-USD, so that the sums are those of the bills: a float is exact up to nine million dollars.
"""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

OURS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
PROVIDERS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


MOST_TEAMS = 200
"""Teams with their own label: each is a permanent series."""


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
        self._unpriced = self._counter("unpriced_calls", "Calls without a known price.", "model_group")
        self._jobs = self._counter("jobs", "Jobs that were closed.", "status")
        self._credits = self._counter("credits_charged", "Credits that closed jobs were charged.")
        self._refusals = self._counter("limit_refusals", "Calls and jobs refused by a rate limit.", "owner", "kind")
        self._lookups = self._counter("cache_lookups", "Lookups in the response cache.", "outcome")
        self._fallbacks = self._counter("limits_fallbacks", "Times Redis went away and limits were counted alone.")
        self._shared = self._gauge("limits_shared", "1 while limits are counted together in Redis.")
        self._config = Info("control_plane_config", "The version of the YAML in force here.", registry=self._registry)
        self._refused = self._gauge("config_refused", "1 while the YAML as it stands could not be put in force here.")
        self._lease_age = self._gauge(
            "lease_age_ratio",
            "Share of its lease that is over since this process last renewed it; at 1 it counts as dead.",
        )
        self._skew = self._gauge("clock_skew_seconds", "How far the database's clock is ahead of this process' own.")
        self._tasks = self._gauge("tasks", "Tasks in the event loop.")
        self._in_flight = self._gauge("calls_in_flight", "Calls that run in this process.")
        self._lines_dropped = self._gauge(
            "log_lines_dropped", "Log lines dropped because the log stream was full.", "level"
        )
        self._lines: Callable[[], Mapping[str, int]] = dict
        self._waiting = self._gauge("writes_waiting", "Intents and records that wait for the next group commit.")
        self._queue = self._histogram("queue_seconds", "From a write's arrival to its turn.", OURS_S, "turn")
        self._team_queue = self._counter(
            "team_queue_seconds", "Seconds that a team's writes waited for their turn.", "team"
        )
        self._overloaded = self._counter(
            "overloaded", "Requests refused since their turn would have come too late.", "turn", "team"
        )
        self._teams: set[Hashable] = set()
        self._flush = self._histogram("group_commit_seconds", "One group commit.", OURS_S)
        self._open = self._histogram(
            "call_admission_seconds", "Ours before a call: group, limits, hold, durable intent.", OURS_S
        )
        self._record = self._histogram(
            "call_settlement_seconds", "Ours after a call: until its record is durable.", OURS_S
        )
        self._provider = self._histogram(
            "provider_seconds", "From a call's durable intent to the end of its answer.", PROVIDERS_S, "model_group"
        )
        self._first_chunk = self._histogram(
            "time_to_first_token_seconds", "The same to a stream's first piece.", PROVIDERS_S, "model_group"
        )
        self._held = self._gauge("credits_held", "Credits that open jobs of all teams hold.")
        self._unexplained = self._gauge(
            "reconciliation_unexplained", "What the last reconciliation could not explain.", "source"
        )
        self._drift = self._gauge(
            "reconciliation_drift_nano_usd", "What was reported there, minus what was recorded.", "source"
        )
        self._reconciled = self._gauge("reconciliation_timestamp_seconds", "When the last one was made.", "source")

    def watch(
        self,
        *,
        running: Callable[[], float],
        waiting: Callable[[], float],
        lines_dropped: Callable[[], Mapping[str, int]],
        is_config_refused: Callable[[], bool],
    ) -> None:
        """Gauges that are read at each scrape: running calls, waiting writes, dropped log lines by level, and whether
        the current YAML was rejected.
        """
        self._lines = lines_dropped
        self._in_flight.set_function(running)
        self._waiting.set_function(waiting)
        self._refused.set_function(is_config_refused)

    def watch_lease(self, *, age: Callable[[], float]) -> None:
        """Reads the age of the lease at each scrape."""
        self._lease_age.set_function(age)

    def clock_differs(self, seconds: float) -> None:
        """The seconds by which the database's clock is ahead of ours."""
        self._skew.set(seconds)

    def call_opened(self, seconds: float) -> None:
        """A call's intent is durable, so long after its request."""
        self._open.observe(seconds)

    def call_took(self, *, model_group: str, ms: int, first_chunk_ms: int | None) -> None:
        """Duration of a call at its provider. Lost calls have none."""
        self._provider.labels(model_group).observe(ms / 1000)
        if first_chunk_ms is not None:
            self._first_chunk.labels(model_group).observe(first_chunk_ms / 1000)

    def call_recorded(self, seconds: float) -> None:
        """A call's record took so long to become durable."""
        self._record.observe(seconds)

    def write_waited(self, turn: str, team: Hashable, seconds: float) -> None:
        """A write of this class, for a team or none, had its turn after so long."""
        self._queue.labels(turn).observe(seconds)
        self._team_queue.labels(self._team(team)).inc(max(0, seconds))

    def overloaded(self, turn: str, team: Hashable) -> None:
        """A team's request was refused, because its turn would have come too late."""
        self._overloaded.labels(turn, self._team(team)).inc()

    def _team(self, team: Hashable) -> str:
        """A team's label; those beyond the first share one."""
        if team is None:
            return "none"
        if team not in self._teams:
            if len(self._teams) >= MOST_TEAMS:
                return "others"
            self._teams.add(team)
        return str(team)

    def flushed(self, seconds: float) -> None:
        """A group commit ended, well or not."""
        self._flush.observe(seconds)

    def holds_are(self, credits_held: int) -> None:
        """The current holds of open jobs."""
        self._held.set(credits_held)

    def reconciliation_was(self, source: str, *, unexplained: int, drift: int, made_at: float) -> None:
        """The results of the last reconciliation with this source."""
        self._unexplained.labels(source).set(unexplained)
        self._drift.labels(source).set(drift)
        self._reconciled.labels(source).set(made_at)

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

    def cache_looked_up(self, outcome: str) -> None:
        """A cache lookup. `outcome`: hit, miss, or unavailable, when Redis did not respond."""
        self._lookups.labels(outcome).inc()

    def limits_fell_back(self) -> None:
        """Redis went away, and this process counts alone."""
        self._fallbacks.inc()

    def limits_are_shared(self, is_shared: bool) -> None:
        """Whether this process counts limits together with the others."""
        self._shared.set(is_shared)

    def config_is(self, generation: str) -> None:
        """This version of the YAML is in force in this process now."""
        self._config.info({"generation": generation})

    def exposed(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self._tasks.set(len(asyncio.all_tasks()))
        for level, lines in self._lines().items():
            self._lines_dropped.labels(level).set(lines)
        return generate_latest(self._registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"control_plane_{name}", says, labels, registry=self._registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"control_plane_{name}", says, labels, registry=self._registry)

    def _histogram(self, name: str, says: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"control_plane_{name}", says, labels, registry=self._registry, buckets=buckets)
