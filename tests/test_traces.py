"""What a collector receives of a call: a span for each step, with the ids and no message text. It never fails a call."""

import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from control_plane import traces
from control_plane.errors import InvalidConfig
from control_plane.ids import new_id
from control_plane.settings import Settings
from tests.calls.sse import streaming
from tests.support.server import new_team, serving

WALK = ["access", "limits", "files", "intent", "cache", "provider", "record"]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass(frozen=True)
class Span:
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    is_error: bool


@dataclass
class Collector:
    """An OTLP receiver on loopback."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator["Collector"]:
        collector = cls()
        app = web.Application()
        app.router.add_post("/v1/traces", collector.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield collector
        finally:
            await runner.cleanup()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw += body
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = _facts(sent.resource.attributes)
            for scope in sent.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        _facts(span.attributes),
                        span.status.code == span.status.STATUS_CODE_ERROR,
                    )
                    for span in scope.spans
                ]
        return web.Response()

    def below(self, parent: Span) -> list[str]:
        return [span.name for span in self.spans if span.parent == parent.id]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def _facts(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is traced does not depend on the database."""
    return sqlite_url


PATIENT = "patient-4711"


async def test_a_span_for_each_step_with_the_ids_and_no_message_text(settings: Settings) -> None:
    secret = "my diagnosis"
    async with Collector.start() as collector:
        sending = settings.model_copy(update={"otlp_endpoint": f"{collector.url}/v1/traces"})  # as some write it
        async with serving(sending) as server, new_team(server) as team:
            job = await team.create_job()
            # given a request that is part of a trace already
            heads = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            body = {"model_group": "ok", "messages": [{"role": "user", "content": secret}]}
            made = await team.http.post(f"/api/jobs/{job}/llm-call", json=body, headers=heads)
            call = made.json()["call_id"]
            async with streaming(team, job, "ok", text=secret) as stream:
                await stream.rest()
            assert (await team.call(job, "e500")).status_code == 500
            assert (await team.call(job, "nowhere")).status_code == 404
            await team.http.get("/health/live")
            await team.http.get(f"/api/jobs/{job}?key={team.key}&user_id={PATIENT}&{team.key}")
        # when the services have closed, all of it was sent
        assert collector.resource["service.name"] == "control-plane"
        requests = collector.named("POST /api/jobs/{job_id}/llm-call")
        first = next(span for span in requests if span.trace == TRACE)
        assert first.parent == PARENT
        assert collector.below(first) == WALK
        record = next(span for span in collector.named("record") if span.trace == TRACE)
        assert record.attributes == {
            "control_plane.job_id": job,
            "control_plane.call_id": call,
            "control_plane.model_group": "ok",
            "control_plane.status": "succeeded",
            "control_plane.deployment": "ok-1",
            "control_plane.lane": "relay",
            "control_plane.cost_nano_usd": 31000,
            "control_plane.is_cached": False,
            "gen_ai.response.model": "model-ok",
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 10,
        }
        for name in ("intent", "cache", "provider"):
            span = next(each for each in collector.named(name) if each.trace == TRACE)
            assert (span.attributes["control_plane.job_id"], span.attributes["control_plane.call_id"]) == (job, call)
        (streamed,) = collector.named("POST /api/jobs/{job_id}/llm-call-stream")
        assert collector.below(streamed) == [*WALK[:-1], "stream", "record"]
        # and what went wrong is said where it did
        (failed,) = [span for span in collector.named("provider") if span.is_error]
        assert failed.attributes["error.type"] == "llm_call_failed"
        (refused,) = [span for span in collector.named("access") if span.is_error]
        assert refused.attributes["error.type"] == "model_group_not_found"
        assert not [span for span in collector.spans if "health" in span.name]
        (asked,) = collector.named("GET /api/jobs/{job_id}")
        assert asked.attributes["url.query"] == "key=REDACTED&user_id=REDACTED&REDACTED=REDACTED"
        for unspeakable in (secret, PATIENT, "one two three", team.key, "sk-provider-secret"):
            assert unspeakable.encode() not in collector.raw


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LAST_SPANS_S", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        sending = settings.model_copy(update={"otlp_endpoint": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
        async with serving(sending) as server, new_team(server) as team:
            job = await team.create_job()
            assert (await team.call(job)).status_code == 200
            assert (await team.complete(job)).json()["costs"]["credits_charged"] == 1
    said = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert said
    assert not [record for record in said if record.exc_info or record.levelno > logging.ERROR]


def test_without_the_library_an_address_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidConfig, match=r"pip install 'control-plane\[otel\]'"):
        traces.traces_to("http://collector:4318", worker_id=new_id())
    assert traces.traces_to(None, worker_id=new_id()) is traces.NO_TRACES
