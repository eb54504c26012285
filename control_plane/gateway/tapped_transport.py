"""Transports of LiteLLM's whose answers are read for the call that waits for them (see `tap.py`).

What is no answer becomes an HTTP error, which LiteLLM knows how to handle. Requests stay as they are.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

import httpx
import orjson

from control_plane.completion.events import Broken, ProviderFault
from control_plane.gateway.bounds import Overdue, Timing, current_timing
from control_plane.gateway.errors import FAULT, failed_with
from control_plane.gateway.outgoing import forget_body
from control_plane.gateway.plain_answers import PlainAnswer
from control_plane.gateway.reading.answer import TOO_LARGE
from control_plane.gateway.reading.faults import MAX_ERROR_BYTES, REDIRECTED, fault_of_text, is_redirect
from control_plane.gateway.reading.json_text import parse
from control_plane.gateway.reading.native import first_document, wire_of
from control_plane.gateway.reading.passing import dumped, for_litellm
from control_plane.gateway.reading.sse import BOM
from control_plane.gateway.tap import Tap, current_tap
from control_plane.gateway.tapped_body import TappedBody

OK = range(200, 300)

JSON = "application/json"

REWRITTEN = frozenset({"content-encoding", "content-length", "transfer-encoding", "content-type", "location"})

MODEL = re.compile(r"/models?/([^/:]+)")
"""Google and Bedrock are asked for a model by the address."""


def install() -> None:
    """Every transport that LiteLLM makes from now on is tapped. Any number of times.

    LiteLLM looks at the classes of its transports, so they stay what they are. One of httpx' own is not tapped.
    """
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # noqa: PLC0415  # see litellm_setup.py

    make = AsyncHTTPHandler.create_async_transport
    if getattr(make, "is_tapped", False):
        return

    def create_async_transport(*args: Any, **kwargs: Any) -> Any:
        transport = make(*args, **kwargs)
        if transport is not None:
            transport.handle_async_request = partial(_handle, transport.handle_async_request)
        return transport

    create_async_transport.is_tapped = True  # type: ignore[attr-defined]  # how it knows itself again
    AsyncHTTPHandler.create_async_transport = staticmethod(create_async_transport)
    AsyncHTTPHandler._create_async_transport = staticmethod(create_async_transport)  # noqa: SLF001  # its other name


async def _handle(ask: Callable[[httpx.Request], Awaitable[httpx.Response]], request: httpx.Request) -> httpx.Response:
    """The answer, in the form that LiteLLM understands. Raises: httpx.ReadTimeout for one that is given up."""
    tap = current_tap()
    timing = current_timing() if tap is None else tap.timing
    if timing is None:
        response = await ask(request)
        return await _not_followed(tap, response) if is_redirect(response.status_code) else response
    timing.attempt((request.extensions.get("timeout") or {}).get("read") or 0.0)
    try:
        with timing.limit():
            response = await ask(request)
        timing.piece()
        response.request = request
        if is_redirect(response.status_code):
            return await _not_followed(tap, response)
        try:
            return await (_whole(timing, response) if tap is None else _tapped(tap, response))
        except BaseException:
            await response.aclose()
            raise
    except Overdue as overdue:
        raise given_up(overdue, request) from None
    finally:
        forget_body(request)


async def _not_followed(tap: Tap | None, response: httpx.Response) -> httpx.Response:
    """A failure in place of a redirect, which LiteLLM's client would follow, with the prompt."""
    await response.aclose()
    return _failed(tap, response, REDIRECTED)


def given_up(overdue: Overdue, request: httpx.Request) -> Exception:
    """What LiteLLM is told of an answer that is given up."""
    return failed_with(httpx.ReadTimeout(str(overdue), request=request), overdue.fault)


async def _whole(timing: Timing, response: httpx.Response) -> httpx.Response:
    """An answer that no tap reads, as it came."""
    is_good = response.status_code in OK
    most = timing.bounds.answer_bytes if is_good else MAX_ERROR_BYTES
    body = await _read(timing, response, most, is_cut=not is_good)
    return _failed(None, response, TOO_LARGE) if body is None else _again(response, content=body)


async def _tapped(tap: Tap, response: httpx.Response) -> httpx.Response:
    if response.status_code not in OK:
        return await _refused(tap, response)
    model, is_stream = _asked(response.request)
    if not is_stream:
        await tap.begin()
        return await _buffered(tap, response, model)
    body = TappedBody(tap, response, model)
    await tap.begin(body)
    fault = await body.prime()
    if fault is not None:
        await tap.aclose()
        return _failed(tap, response, fault)
    return _again(response, stream=body, content_type=body.content_type)


def _asked(request: httpx.Request) -> tuple[str, bool]:
    """The model that LiteLLM asks for, where the request names one that has a price, and whether for a stream.

    A deployment at Azure has a name of the operator's.
    """
    try:
        found = orjson.loads(request.content)
    except (httpx.RequestNotRead, orjson.JSONDecodeError):
        found = None
    body = found if isinstance(found, dict) else {}
    path = request.url.path
    named = MODEL.search(path)
    model = str(body.get("model") or (unquote(named[1]) if named else ""))
    return "" if "/deployments/" in path else model, body.get("stream") is True or "stream" in path.lower()


async def _refused(tap: Tap, response: httpx.Response) -> httpx.Response:
    """An error status, with what it says."""
    text = await _read(tap.timing, response, MAX_ERROR_BYTES, is_cut=True)
    fault = fault_of_text(response.status_code, text or b"", response.headers)
    tap.faults.append(fault)
    return _again(response, content=text, extensions={FAULT: fault})


async def _buffered(tap: Tap, response: httpx.Response, model: str) -> httpx.Response:
    body = await _read(tap.timing, response, tap.timing.bounds.answer_bytes)
    if body is None:
        return _failed(tap, response, TOO_LARGE)
    document = _document(body)
    wire = wire_of(document)
    if document and wire == "other":
        fault = tap.native.take(document) or tap.emptiness()
        if fault is not None:
            return _failed(tap, response, fault)
        return _again(response, content=dumped(for_litellm(document, model)), content_type=JSON)
    if wire == "other":  # events in the place of a document, or what is no answer
        wire = wire_of(first_document(body))
        wire = "openai" if wire == "other" else wire
    reader = tap.reader(wire)
    for event in (*reader.feed(body), *reader.end()):
        if isinstance(event, Broken):
            return _failed(tap, response, event.fault)
        tap.events.append(event)
    plain = PlainAnswer(wire, reader.chunks, model)
    return _again(response, content=plain.whole(tap.events), content_type=JSON)


def _document(body: bytes) -> Any:
    """The JSON of a body; None where it is none."""
    if not body.removeprefix(BOM).lstrip().startswith((b"{", b"[")):
        return None
    try:
        return parse(body.removeprefix(BOM))
    except ValueError:
        return None


async def _read(timing: Timing, response: httpx.Response, most: int, *, is_cut: bool = False) -> bytes | None:
    """The whole body; None when it has more bytes than `most`, or as many of them where it may be cut. Raises: Overdue."""
    with timing.limit():
        return await _read_on(response, most, is_cut=is_cut)


async def _read_on(response: httpx.Response, most: int, *, is_cut: bool) -> bytes | None:
    parts: list[bytes] = []
    length = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        length += len(part)
        if length > most:
            await response.aclose()
            return b"".join(parts)[:most] if is_cut else None
    await response.aclose()
    return b"".join(parts)


def _failed(tap: Tap | None, response: httpx.Response, fault: ProviderFault) -> httpx.Response:
    """An error status in the place of what is no answer."""
    if tap is not None:
        tap.faults.append(fault)
    error = {"message": fault.text or "not an answer", "type": fault.type, "code": fault.code, "param": fault.param}
    content = orjson.dumps({"error": error})
    return _again(response, content=content, status=fault.status, content_type=JSON, extensions={FAULT: fault})


def _again(
    response: httpx.Response,
    *,
    content: bytes | None = None,
    stream: httpx.AsyncByteStream | None = None,
    status: int | None = None,
    content_type: str | None = None,
    extensions: dict[str, Any] | None = None,
) -> httpx.Response:
    """The response with another body."""
    kind = content_type or response.headers.get("content-type")
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in REWRITTEN]
    return httpx.Response(
        status or response.status_code,
        headers=[*headers, *([("content-type", kind)] if kind else [])],
        content=content,
        stream=stream,
        request=response._request,  # noqa: SLF001  # None where the client has not set it yet
        extensions={**response.extensions, **(extensions or {})},
    )
