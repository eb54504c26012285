"""HTTP/1.1 and HTTP/1.0 as clients write it, where uvicorn leaves something out.

A client that offers to upgrade the connection (Java's HttpClient offers h2c with its first request) is served in plain
HTTP/1.1, as RFC 9110 asks: httptools stops at such a head, and uvicorn would hand on the request without its body. And a
client of HTTP/1.0 does not know chunks: what has no length ends where the connection does (RFC 9112, 6.3).

uvicorn waits for ever for a client that reads nothing of its answer; here its connection is dropped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

log = logging.getLogger(__name__)

UPGRADING = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and what `Connection` says of them, that only serve to change the protocol."""

Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[Any]]


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client. `write_timeout_s`: how long a client may read nothing of what waits for it."""

    write_timeout_s = 60.0
    _unread = 0
    _reading: asyncio.TimerHandle | None = None

    @classmethod
    def within(cls, write_timeout_s: float) -> type[Self]:
        """This protocol with another time."""
        return type(cls.__name__, (cls,), {"write_timeout_s": write_timeout_s})

    def pause_writing(self) -> None:
        """More waits for the client than is kept for it."""
        super().pause_writing()
        self._watch_reader()

    def on_response_complete(self) -> None:
        """The client may still have to read much of it."""
        super().on_response_complete()
        self._watch_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nobody to watch any more."""
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def _watch_reader(self) -> None:
        """Looks again in a while, as long as something waits to be read."""
        self._unread = self.transport.get_write_buffer_size()
        if self._reading is None and self._unread:
            self._reading = self.loop.call_later(self.write_timeout_s, self._look_at_reader)

    def _look_at_reader(self) -> None:
        """Nothing is written while so much is unread, so what waits gets less, unless the client reads nothing."""
        self._reading = None
        before, unread = self._unread, self.transport.get_write_buffer_size()
        if unread and unread >= before:
            log.info("client_reads_nothing", extra={"unread_bytes": unread, "timeout_s": self.write_timeout_s})
            self.transport.abort()
        elif unread:
            self._watch_reader()

    def _should_upgrade(self) -> bool:
        return True  # the head is parsed again without the offer, in `data_received`; until then nothing is served

    def data_received(self, data: bytes) -> None:
        """Parses what came. Every head that offers to upgrade is parsed again without the offer, before what follows."""
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")

    def _parse(self, data: bytes) -> bytes:
        """Feeds the parser; what it is to be fed next."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = self._head_without_offer()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            return head + data[offer.args[0] :]
        return b""

    def _head_without_offer(self) -> bytes:
        method = self.scope["method"].encode()
        if method == b"CONNECT":  # upgrades whatever its head says
            raise httptools.HttpParserError("CONNECT is for proxies")
        version = self.scope["http_version"].encode()
        lines = [b" ".join((method, self.url, b"HTTP/" + version))]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in UPGRADING)  # noqa: PLW2901
            if name not in UPGRADING and (value or name != b"connection"):
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # it would take that for the answer
            app = _without_chunks(app, cycle)
        super()._start_asgi_task(cycle, _cancelled_in_order(app, cycle))


def _cancelled_in_order(app: App, cycle: RequestResponseCycle) -> App:
    """The application whose requests are cancelled when the grace of a stop is over, which uvicorn would log as its failure."""

    async def serve(scope: Any, receive: Any, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            cycle.disconnected = True  # what there was to say has been sent
            cycle.transport.close()

    return serve


def _without_chunks(app: App, cycle: RequestResponseCycle) -> App:
    """The application for a client of HTTP/1.0. uvicorn closes the connection behind its answer."""

    async def serve(scope: Any, receive: Any, send: Send) -> None:
        is_of_length = False

        async def send_until_close(message: Any) -> None:
            nonlocal is_of_length
            if message["type"] == "http.response.start":
                is_of_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not is_of_length:
                    cycle.chunked_encoding = False
            elif not is_of_length:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_until_close)

    return serve
