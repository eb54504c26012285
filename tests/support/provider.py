"""The only stand-in of the test suite: a scripted OpenAI-compatible provider, a real HTTP server on loopback.

It runs inside the test's event loop, remembers every request, notices clients that leave, and goes on past a hold only
when the test says so: events, never sleeps. The behaviours and their answers are in `provider_plans.py`.
`python -m tests.support.provider` serves the same as a process of its own.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.support.patience import PATIENCE_S
from tests.support.provider_plans import (
    ERROR_EVENT,
    Plan,
    completion,
    embeddings,
    events,
    moderated,
    plan_of,
    reranked,
    scanned,
)


@dataclass(slots=True)
class Seen:
    """One request. `chunks_sent` counts pieces of the answer: content or tool arguments, not role, finish or usage.

    `finished`: we did everything the behaviour does, a deliberate break included; `closed_by_client`: the client went
    before that.
    """

    behaviour: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    chunks_sent: int = 0
    finished: bool = False
    closed_by_client: bool = False


@dataclass(slots=True)
class Provider:
    """Scripted answers by path: `provider.url("e500")` is the `api_base` of a deployment that always fails."""

    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    _released: dict[str, asyncio.Event] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closing: bool = False

    @classmethod
    @asynccontextmanager
    async def start(cls, port: int = 0) -> AsyncIterator[Self]:
        """Serves on a free loopback port until the block is left; what still holds is let go then."""
        provider = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{behaviour}/v1/chat/completions", provider.answer)
        for endpoint in ("v1/embeddings", "v1/moderations", "v2/rerank"):
            app.router.add_post(f"/{{behaviour}}/{endpoint}", provider.answer)
        app.router.add_post("/{behaviour}/v1/ocr", provider.answer)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            provider.port = runner.addresses[0][1]
            yield provider
        finally:
            provider.close()
            await runner.cleanup()

    def url(self, behaviour: str) -> str:
        """The `api_base` that behaves so. Raises: KeyError for an unknown behaviour."""
        plan_of(behaviour)
        return f"http://127.0.0.1:{self.port}/{behaviour}/v1"

    def seen(self, behaviour: str) -> list[Seen]:
        """The requests that behaviour got, in order."""
        return [request for request in self.requests if request.behaviour == behaviour]

    def count(self, behaviour: str) -> int:
        """How many requests that behaviour got."""
        return len(self.seen(behaviour))

    def release(self, behaviour: str) -> None:
        """Lets every request of a holding behaviour go on, present and future."""
        self._gate(behaviour).set()

    async def wait_requests(self, behaviour: str, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Until that behaviour got `count` requests. Raises: TimeoutError."""
        await self.until(lambda: self.count(behaviour) >= count, timeout_s=timeout_s)

    async def wait_chunks(self, behaviour: str, chunks: int, *, timeout_s: float = PATIENCE_S) -> None:
        """Until one request of that behaviour was sent `chunks` pieces of its answer. Raises: TimeoutError."""
        await self.until(lambda: any(r.chunks_sent >= chunks for r in self.seen(behaviour)), timeout_s=timeout_s)

    async def wait_closed(self, behaviour: str, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Until clients have left `count` unfinished requests of that behaviour. Raises: TimeoutError."""
        await self.until(
            lambda: sum(r.closed_by_client for r in self.seen(behaviour)) >= count,
            timeout_s=timeout_s,
        )

    async def wait_finished(self, behaviour: str, count: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Until `count` requests of that behaviour have been answered to the end. Raises: TimeoutError."""
        await self.until(lambda: sum(r.finished for r in self.seen(behaviour)) >= count, timeout_s=timeout_s)

    async def until(self, claim: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
        """Until the claim holds, asked again after every change of a request. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not claim():
                await self._changed.wait()

    def forget(self) -> None:
        """As if it had just begun; what still holds is let go."""
        for gate in self._released.values():
            gate.set()
        self._released.clear()
        self.requests.clear()

    def close(self) -> None:
        """Lets everything go."""
        self._is_closing = True
        for gate in self._released.values():
            gate.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request as its behaviour says."""
        behaviour = request.match_info["behaviour"]
        plan = plan_of(behaviour, self.count(behaviour))
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(behaviour, request.path, headers, await request.json())
        self.requests.append(seen)
        self._tell()
        try:
            return await self._perform(plan, request, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.closed_by_client = not seen.finished and not self._is_closing
            raise
        finally:
            self._tell()

    async def _perform(self, plan: Plan, request: web.Request, seen: Seen) -> web.StreamResponse:
        if plan.holds_headers:
            await self._gate(seen.behaviour).wait()
        if plan.raw is not None:
            seen.finished = True
            headers = {"Content-Type": "application/json", **(plan.headers or {})}
            return web.Response(status=plan.status, text=plan.raw, headers=headers)
        if seen.body.get("stream"):
            return await self._stream(plan, request, seen)
        return await self._buffered(plan, request, seen)

    async def _buffered(self, plan: Plan, request: web.Request, seen: Seen) -> web.StreamResponse:
        """Holds, breaks and error events of a stream become: a late body, no body, a 500."""
        answer = self._answer(plan, seen)
        response = web.StreamResponse(
            status=200 if plan.error_at is None else 500, headers={"Content-Type": "application/json"}
        )
        await response.prepare(request)
        if plan.break_at is not None:
            _drop(request, seen)
            return response
        if plan.hold_at is not None:
            await self._gate(seen.behaviour).wait()
        await asyncio.sleep(plan.pause_s)
        await response.write(json.dumps(answer if plan.error_at is None else ERROR_EVENT).encode())
        seen.finished = True
        await response.write_eof()
        return response

    def _answer(self, plan: Plan, seen: Seen) -> dict[str, Any]:
        match seen.path.rpartition("/")[2]:
            case "embeddings":
                return embeddings(plan, seen.body)
            case "moderations":
                return moderated(seen.body)
            case "rerank":
                return reranked(seen.body)
            case "ocr":
                return scanned(seen.body)
            case _:
                return completion(plan, seen.body, response_id=self._response_id())

    async def _stream(self, plan: Plan, request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        sequence = events(
            plan,
            seen.body,
            response_id=self._response_id(),
            include_usage=bool((seen.body.get("stream_options") or {}).get("include_usage")),
        )
        for position, event in enumerate(sequence):
            if position == plan.hold_at:
                await self._gate(seen.behaviour).wait()
            if position == plan.break_at:
                _drop(request, seen)
                return response
            if position == plan.error_at:
                seen.finished = True
                await response.write(_sse(ERROR_EVENT))
                return response
            await response.write(_sse(event))
            if 1 <= position <= len(plan.words):
                seen.chunks_sent += 1
                self._tell()
            await asyncio.sleep(plan.pause_s)
        seen.finished = True
        if not plan.is_cut:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _gate(self, behaviour: str) -> asyncio.Event:
        gate = self._released.setdefault(behaviour, asyncio.Event())
        if self._is_closing:
            gate.set()
        return gate

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _response_id(self) -> str:
        return f"chatcmpl-{self.port}-{len(self.requests)}"


def _sse(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


def _drop(request: web.Request, seen: Seen) -> None:
    """Closes the connection in the middle of the body."""
    seen.finished = True
    assert request.transport is not None
    request.transport.close()


async def _serve(port: int) -> None:
    async with Provider.start(port) as provider:
        print(provider.port, flush=True)  # noqa: T201  # the parent process reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible provider on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one, printed on the first line")
    asyncio.run(_serve(parser.parse_args().port))
