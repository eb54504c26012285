"""Server-sent events: events that arrive together in one write, comments while a stream is silent, and an end for every
stream.

Any end of the stream records the call: the whole answer, the provider's failure, a client that left, a server that
stops. `[DONE]` is written after the record is durable and never without it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import anyio
import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from control_plane.api.http.disconnect import cancel_when_disconnected
from control_plane.calls.rules import CLIENT_CLOSED, DRAINED
from control_plane.chat import Ending, ServedBy
from control_plane.completion.events import Content
from control_plane.errors import ControlPlaneError, ShuttingDown

log = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
TOGETHER = 64
"""Events in one write at most."""
LAST_WORDS_S = 1.0  # how long a stopping server tries to notify the client

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Connection": "keep-alive"}


class Stream(Protocol):
    """A streamed call: in a job, or with a job of its own."""

    @property
    def served(self) -> ServedBy: ...  # noqa: D102

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Sequence[Content]: ...

    async def end(self, render: Callable[[Ending], bytes]) -> bytes: ...  # noqa: D102

    async def abandon(self, error_code: str) -> None: ...  # noqa: D102


class EventRenderer(Protocol):
    """The stream format of one API."""

    def chunk(self, content: Content) -> bytes:
        """An event of the answer, rendered; empty when it adds nothing yet."""

    def ending(self, ending: Ending) -> bytes:
        """The events after the last piece, up to `[DONE]`."""

    def error(self, error: ControlPlaneError) -> bytes:
        """The events of a failure, up to `[DONE]`."""


class SseResponse(Response):
    """Writes a stream to a client. `is_whole`: its answer came to its end, and the record is durable.

    Beside the writer there is one task, which sees the client leave, and one timer, which keeps the connection alive.
    """

    media_type = "text/event-stream"

    def __init__(
        self, stream: Stream, renderer: EventRenderer, *, headers: Mapping[str, str], keep_alive_s: float
    ) -> None:
        super().__init__(headers={**HEADERS, **headers})
        del self.headers["content-length"]
        self._stream = stream
        self._renderer = renderer
        self._keep_alive_s = keep_alive_s
        self._written_at = time.monotonic()
        self._is_writing = False
        self._is_complete = False
        self.is_whole = False
        self._send: Send
        self._scope: anyio.CancelScope
        self._timer: asyncio.TimerHandle
        self._keeping_alive: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Writes until the end. The stream is abandoned, which is nothing after a proper end, whatever happens."""
        self._send = send
        reason = CLIENT_CLOSED
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with anyio.CancelScope() as self._scope:
                await self._write_watched(receive)
        except asyncio.CancelledError:
            reason = DRAINED
            await self._say_goodbye()
            raise
        finally:
            await self._abandon(reason)

    async def _write_watched(self, receive: Receive) -> None:
        watching = asyncio.create_task(cancel_when_disconnected(receive, self._scope))
        self._keep_alive()
        try:
            await self._write_all()
        finally:
            watching.cancel()
            self._timer.cancel()
            if self._keeping_alive is not None:
                self._keeping_alive.cancel()

    async def _write_all(self) -> None:
        pieces: list[bytes] = []
        try:
            async for contents in self._stream:
                for content in contents:
                    if len(pieces) == TOGETHER:
                        await self._write_pieces(pieces)
                    pieces.append(self._renderer.chunk(content))
                await self._write_pieces(pieces)
            last = await self._stream.end(self._renderer.ending)
            self.is_whole = True
        except ControlPlaneError as error:
            log.log(error.level, "stream_failed", extra={"code": error.code})
            last = await self._failed(error)
        except Exception:
            log.exception("stream_failed")
            last = await self._failed(ControlPlaneError())
        await self._write(b"".join((*pieces, last)), more=False)

    async def _write_pieces(self, pieces: list[bytes]) -> None:
        written = b"".join(pieces)
        pieces.clear()
        if written:
            await self._write(written)

    async def _failed(self, error: ControlPlaneError) -> bytes:
        """The failure's event, once everything that follows from the failure is durable, too."""
        await self._abandon(error.code)
        return self._renderer.error(error)

    async def _abandon(self, reason: str) -> None:
        try:
            await self._stream.abandon(reason)
        except ControlPlaneError as error:  # no client is left for it
            log.log(error.level, "stream_abandoned", extra={"code": error.code})

    async def _write(self, event: bytes, *, more: bool = True) -> None:
        self._written_at = time.monotonic()
        self._is_writing = True
        try:
            await self._send({"type": "http.response.body", "body": event, "more_body": more})
        except OSError:
            self._scope.cancel()  # the client left between two writes
        self._is_writing = False
        self._is_complete = not more

    def _keep_alive(self) -> None:
        """Writes a comment after enough silence, and schedules the next check."""
        quiet_for = time.monotonic() - self._written_at
        if quiet_for >= self._keep_alive_s:
            if not self._is_writing:  # a client that reads slowly is not kept waiting by us
                self._keeping_alive = asyncio.create_task(self._write(KEEP_ALIVE))
            quiet_for = 0
        self._timer = asyncio.get_running_loop().call_later(self._keep_alive_s - quiet_for, self._keep_alive)

    async def _say_goodbye(self) -> None:
        if self._is_complete:
            return
        with anyio.move_on_after(LAST_WORDS_S, shield=True):
            await self._write(self._renderer.error(ShuttingDown()), more=False)


def event(body: Mapping[str, Any]) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(body) + b"\n\n"


class Frame:
    """The bytes around what changes from event to event of one stream: encoding them each time would cost more than that."""

    MARK = "\x00"

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` holds MARK where each event's own value stands."""
        self._before, self._after = event(body).split(orjson.dumps(self.MARK))

    def around(self, value: Any) -> bytes:
        """The event with this value."""
        return self._before + orjson.dumps(value) + self._after
