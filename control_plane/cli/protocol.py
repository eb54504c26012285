"""HTTP/1.1 and HTTP/1.0 where uvicorn is incomplete.

Headers are bounded in bytes, number and time: uvicorn would collect them without an end. A client may send 64 KB
without completing a body, a header or a request, also in trailers or extensions of chunks.

A client that offers to upgrade the connection (Java's HttpClient offers h2c with its first request) is served in plain
HTTP/1.1, as RFC 9110 requires: httptools stops at such a head, and uvicorn would hand on the request without its body.
A client of HTTP/1.0 does not support chunks: a response without a length ends with the connection (RFC 9112, 6.3).

uvicorn waits for ever for a client that does not read its response; here its connection is dropped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from control_plane.settings import Settings

if TYPE_CHECKING:
    from control_plane.api.http.problem import Problem

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 65_536
"""Of a request's first line and headers."""
MAX_HEADERS = 256
LINGER_S = 2.0
"""Seconds in which a rejected client's further bytes are discarded."""
SLICE = 16_384
"""Bytes that are parsed between checks of a head's size."""

UPGRADING = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and options of `Connection`, that only serve to change the protocol."""


class _HeadTooLarge(Exception):
    """Parsing stops here: the request has been refused."""


Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[Any]]


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client. `write_timeout_s`: how long a client may leave its response unread."""

    write_timeout_s: ClassVar[float] = Settings.model_fields["write_timeout_s"].default
    header_timeout_s: ClassVar[float] = Settings.model_fields["header_timeout_s"].default
    body_timeout_s: ClassVar[float] = Settings.model_fields["body_timeout_s"].default

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._is_refused = False
        self._unread = 0
        self._reading: asyncio.TimerHandle | None = None
        self._unseen = 0
        """Bytes since a head, a body's next bytes or a request's end were last seen."""
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Starts the timeout for a silent client."""
        super().connection_made(transport)
        self._arm(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._disarm()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More waits for the client than is kept for it."""
        super().pause_writing()
        self._watch_reader()

    def _watch_reader(self) -> None:
        """Checks again in a while, as long as something waits to be read."""
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
        if self._is_refused:
            return
        if self._is_in_head and self._deadline is None:
            self._arm(self.header_timeout_s)
        waiting = memoryview(data)
        try:
            while waiting and not self._is_refused:
                piece = bytes(waiting[:SLICE])
                waiting = waiting[SLICE:]
                self._unseen += len(piece)
                while piece:
                    piece = self._parse(piece)
                if self._unseen > MAX_HEAD_BYTES:
                    self._refuse_head()
        except httptools.HttpParserError:
            if not self._is_refused:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("The request is not valid HTTP.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The request's target, or a piece of it."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Trailers, which follow a body, are dropped."""
        self._head_bytes += len(name) + len(value) + len(b": \r\n")
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._refuse_head()
            raise _HeadTooLarge
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body follows, if there is one."""
        if self._is_refused:
            return
        self._unseen = 0
        self._disarm()
        super().on_headers_complete()
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self._is_in_head = False

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._unseen = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has been received."""
        self._unseen = 0
        if not self._is_in_head:
            self._disarm()
        self._is_in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A body of which the rest is not read any more has a while to come; then the connection ends. The client may still
        have to read much of the answer.
        """
        super().on_response_complete()
        self._watch_reader()
        if not self._is_in_head and not self.transport.is_closing():
            self._arm(self.body_timeout_s)

    def send_400_response(self, msg: str) -> None:
        """The error for input that is not HTTP, in the API's form."""
        from control_plane.api.http.problem import Problem  # noqa: PLC0415 - seconds of imports, long done when a client comes

        self._refuse(Problem(HTTPStatus.BAD_REQUEST, "invalid_http", msg))

    def _refuse_head(self) -> None:
        from control_plane.api.http.problem import Problem  # noqa: PLC0415 - as above

        message = f"The headers are larger than {MAX_HEAD_BYTES} bytes together, or more than {MAX_HEADERS}."
        self._refuse(Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message))

    def _refuse(self, failure: "Problem") -> None:
        """Answers, where no other answer is on its way, and ends the connection."""
        from control_plane.api.http.errors import error_response  # noqa: PLC0415 - as above

        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._disarm()
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        if cycle is not None and not cycle.response_complete:
            if cycle.more_body:  # the request that is being answered: its end will not come
                self.transport.close()
            else:
                cycle.keep_alive = False  # the one behind it
            return
        path = self.url.decode("latin-1") if isinstance(getattr(self, "url", None), bytes) else ""
        answer = error_response(path, failure, {"Connection": "close"})
        head = [b"HTTP/1.1 %d %s" % (answer.status_code, HTTPStatus(answer.status_code).phrase.encode())]
        head += [name + b": " + value for name, value in (*self.server_state.default_headers, *answer.raw_headers)]
        self.transport.write(b"\r\n".join([*head, b"", bytes(answer.body)]))
        self.transport.write_eof()
        # closed at once, with bytes of the client's unread, the answer could be lost on its way
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._is_late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None

    def _is_late(self) -> None:
        from control_plane.api.http.problem import Problem  # noqa: PLC0415 - as above
        from control_plane.errors import RequestTimeout  # noqa: PLC0415 - as above

        self._deadline = None
        if self._is_in_head and self._unseen:
            self._refuse(Problem.of(RequestTimeout()))
        elif not self.transport.is_closing():
            self.transport.close()

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
        if method == b"CONNECT":  # upgrades with any head
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
            cycle.disconnected = True  # the response has been sent
            cycle.transport.close()

    return serve


def protocol_of(settings: Settings) -> type[HttpProtocol]:
    """The protocol with the settings' deadlines."""
    timeouts = {
        "header_timeout_s": settings.header_timeout_s,
        "body_timeout_s": settings.body_timeout_s,
        "write_timeout_s": settings.write_timeout_s,
    }
    return type("HttpProtocol", (HttpProtocol,), timeouts)


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
