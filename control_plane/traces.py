"""What a call did and for how long, for OpenTelemetry: a span for each room that it walks through. Home of its library.

Without an address to send them to, the library is left alone, and being in a room costs nothing. A span holds
ids, names and numbers: never a prompt, an answer or a key.
"""

import asyncio
import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from control_plane.errors import ControlPlaneError, InvalidConfig

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import Span as RecordingSpan
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

NAMES = {
    "error": "error.type",
    "model": "gen_ai.response.model",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
}
"""What OpenTelemetry has names for. All else is `control_plane.` and our word."""

PATH = "/v1/traces"
"""Where collectors listen for spans; whoever names it means the same."""

QUERY, REDACTED = "url.query", "REDACTED"
QUERY_NAME = re.compile(r"[a-z_]{1,32}")
"""A parameter of ours, or one like it; not a key that stands where a name should."""

QUIET_PATHS = ("/health", "/metrics")
"""Asked all the time, by machines."""

LAST_SPANS_S = 5.0
"""How long a process that ends tries to send what it has left."""


class CallSpan:
    """While somebody is in a room: `with` it, or `end()` it. This one nobody looks into."""

    def set(self, **facts: Any) -> None:
        """What is known now. None is not worth a note."""

    def end(self, error: str | None = None) -> None:
        """Left. `error`: the code of what went wrong."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.end()
        else:
            self.end(error.code if isinstance(error, ControlPlaneError) else type(error).__name__)


class Traces:
    """Where spans begin. This one has none, and is what there is without an address."""

    def __init__(self) -> None:
        """`telemetry` is FastAPI's `TelemetryConfig`: it makes the spans of requests, below which the rooms' are."""
        self.telemetry: Any = {"tracing": False, "metrics": False, "logs": False}

    def span(self, name: str, **facts: Any) -> CallSpan:  # noqa: ARG002 - nobody looks
        """Somebody goes into a room."""
        return NOWHERE

    async def aclose(self) -> None:
        """Sends what is left."""


NOWHERE = CallSpan()
NO_TRACES = Traces()


def traces_to(address: str | None, *, worker_id: UUID) -> Traces:
    """Traces that go to a collector (`http://collector:4318`); whatever else there is to set, OpenTelemetry's own
    variables do: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, …

    Raises: InvalidConfig when the library is not installed.
    """
    if address is None:
        return NO_TRACES
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise InvalidConfig(
            [
                "CONTROL_PLANE_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: pip install 'control-plane[otel]'"
            ]
        ) from None
    named = Resource.create({"service.name": "control-plane", "service.instance.id": str(worker_id)})
    exporter = OTLPSpanExporter(f"{address.rstrip('/').removesuffix(PATH)}{PATH}")
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(_without_values(SpanProcessor))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return _SentTraces(provider, exporter)


def without_values(query: str) -> str:
    """The names of a query's parameters. Their values are what clients sent: ids of users, or a key by mistake."""
    names = (part.partition("=")[0] for part in query.split("&"))
    return "&".join(f"{name if QUERY_NAME.fullmatch(name) else REDACTED}={REDACTED}" for name in names)


def _without_values(base: "type[SpanProcessor]") -> "SpanProcessor":
    """Redacts the query in the spans of requests, before they are sent."""

    class WithoutValues(base):  # type: ignore[misc, valid-type]  # the library is imported late
        def on_start(self, span: "RecordingSpan", parent_context: object = None) -> None:  # noqa: ARG002 - its signature
            query = (span.attributes or {}).get(QUERY)
            if query is not None:
                span.set_attribute(QUERY, without_values(str(query)))

    return WithoutValues()


class _SentTraces(Traces):
    """Sends spans in batches, from a thread of the library. A collector that is away costs spans, never a call."""

    def __init__(self, provider: "TracerProvider", exporter: "OTLPSpanExporter") -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("control_plane")
        self.telemetry = {
            "tracer_provider": provider,
            "tracing": True,
            "metrics": False,  # ours are at /metrics
            "logs": False,  # they hold what clients sent
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope["path"].startswith(QUIET_PATHS),
        }

    def span(self, name: str, **facts: Any) -> CallSpan:
        return _RecordedSpan(self._tracer, name, facts)

    async def aclose(self) -> None:
        sending = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        _, late = await asyncio.wait([sending], timeout=LAST_SPANS_S)
        if late:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it tries no more
        await sending


class _RecordedSpan(CallSpan):
    def __init__(self, tracer: "Tracer", name: str, facts: Mapping[str, Any]) -> None:
        self._span: Span = tracer.start_span(name, attributes=_attributes(facts))

    def set(self, **facts: Any) -> None:
        self._span.set_attributes(_attributes(facts))

    def end(self, error: str | None = None) -> None:
        if error is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415 - as above

            self.set(error=error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _attributes(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        NAMES.get(name, f"control_plane.{name}"): fact if isinstance(fact, str | int | float) else str(fact)
        for name, fact in facts.items()
        if fact is not None
    }
