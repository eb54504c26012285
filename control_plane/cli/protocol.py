"""HTTP/1.1 and HTTP/1.0 as clients write it, where uvicorn leaves something out.

A client that offers to upgrade the connection (Java's HttpClient offers h2c with its first request) is served in plain
HTTP/1.1, as RFC 9110 asks: httptools stops at such a head, and uvicorn would hand on the request without its body. And a
client of HTTP/1.0 does not know chunks: what has no length ends where the connection does (RFC 9112, 6.3).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

UPGRADING = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and what `Connection` says of them, that only serve to change the protocol."""

Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[Any]]


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

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
