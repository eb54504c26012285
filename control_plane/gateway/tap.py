"""The HTTP between LiteLLM and the providers: what a provider answers is read here before LiteLLM reads it.

In LiteLLM's lane an answer in OpenAI's wire is read from the provider's own bytes, by the same reader as in the relay;
LiteLLM gets it again in the plainest form, so that its retries, fallbacks and reports go on as always. Answers in other
wires pass through LiteLLM's translation; only why they ended is read beside it. What is no answer becomes an HTTP error,
which LiteLLM knows how to handle.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import orjson

from control_plane.chat import ChatRequest
from control_plane.completion.events import (
    Broken,
    Content,
    Event,
    ProviderFault,
    Reasoning,
    Refusal,
    Text,
    ToolCallArguments,
)
from control_plane.gateway.asked import answer_reader, chunk_reader
from control_plane.gateway.documents_of import whole_document
from control_plane.gateway.errors import FAULT, failed_with, fault_of
from control_plane.gateway.prices import usage_json
from control_plane.gateway.reading.answer import MAX_BODY_BYTES, AnswerReader
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reading.faults import MAX_ERROR_BYTES, fault_of_text
from control_plane.gateway.reading.json_text import parse
from control_plane.gateway.reading.native import NativeEnd
from control_plane.gateway.reading.sse import BOM, SseReader

OK = range(200, 300)
MOST_HEAD = 4096
"""Bytes of events after which an answer whose wire is still unknown is left to LiteLLM."""

SSE_BEGINNINGS = (b"data", b"event", b"id:", b"retry", b":")

REWRITTEN = frozenset({"content-encoding", "content-length", "transfer-encoding", "content-type"})


class Tap:
    """What the providers of one call answer. The latest answer counts: LiteLLM may ask several in turn."""

    def __init__(self, request: ChatRequest, *, is_stream: bool) -> None:
        self.is_stream = is_stream
        self._request = request
        self.faults: list[ProviderFault] = []
        self.responses = 0
        self.chunks: ChunkReader | None = None
        self.native = NativeEnd()
        self.events: deque[Content] = deque()

    def reader(self) -> AnswerReader:
        """Reads the answer that begins, in OpenAI's wire."""
        reader = answer_reader(self._request)
        self.chunks = reader.chunks
        return reader

    def begin(self) -> None:
        """A provider answers, in which wire is not known yet."""
        self.responses += 1
        self.chunks = None
        self.native = NativeEnd()
        self.events.clear()

    def fault_of(self, status: int | None) -> ProviderFault | None:
        """What was wrong with the first answer of that status, else with the first one that was wrong."""
        first = self.faults[0] if self.faults else None
        return next((fault for fault in self.faults if fault.status == status), first)

    def answer_of(self, response: Any) -> tuple[ChunkReader, list[Content]]:
        """A buffered answer: as it was read here, or, of other wires than OpenAI's, as LiteLLM translated it.

        Raises: ProviderFailed for one that is none.
        """
        if self.chunks is not None:
            return self.chunks, list(self.events)
        chunks = chunk_reader(self._request)
        events = chunks.take(whole_document(response))
        chunks.finish(self.native.said, self.native.stop_sequence)
        events += chunks.end()
        contents = [event for event in events if not isinstance(event, Broken)]
        if (broken := next((event for event in events if isinstance(event, Broken)), None)) is not None:
            raise failed_with(None, broken.fault)
        return chunks, contents

    @contextmanager
    def open(self) -> Iterator[None]:
        """While LiteLLM does something for this call. Exceptions get to hold what the provider reported."""
        token = _TAP.set(self)
        try:
            yield
        except Exception as exc:
            if fault_of(exc) is None and (fault := self.fault_of(getattr(exc, "status_code", None))) is not None:
                failed_with(exc, fault)
            raise
        finally:
            _TAP.reset(token)


_TAP: ContextVar[Tap | None] = ContextVar("tap", default=None)


def install() -> None:
    """Every transport that LiteLLM makes from now on is tapped. Any number of times.

    LiteLLM looks at the classes of its transports, so they stay what they are. One of httpx' own is not tapped.
    """
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # noqa: PLC0415  # see library.py

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
    """The answer, in the form that LiteLLM understands."""
    response = await ask(request)
    tap = _TAP.get()
    if tap is None:
        return response
    response.request = request
    try:
        return await _tapped(tap, response)
    except BaseException:
        await response.aclose()
        raise


async def _tapped(tap: Tap, response: httpx.Response) -> httpx.Response:
    if response.status_code not in OK:
        return await _refused(tap, response)
    tap.begin()
    if not tap.is_stream:
        return await _buffered(tap, response)
    body = _TappedBody(tap, response)
    await body.prime()
    if body.fault is not None and not tap.events:  # behind content it is a failure of the stream, in both lanes
        await response.aclose()
        return _failed(tap, response, body.fault)
    return _again(response, stream=body, content_type=body.content_type)


async def _refused(tap: Tap, response: httpx.Response) -> httpx.Response:
    """An error status, with what it says."""
    text = await _read(response, MAX_ERROR_BYTES, is_cut=True)
    fault = fault_of_text(response.status_code, text, response.headers)
    tap.faults.append(fault)
    return _again(response, content=text, extensions={FAULT: fault})


async def _buffered(tap: Tap, response: httpx.Response) -> httpx.Response:
    body = await _read(response, MAX_BODY_BYTES)
    if body is None:
        return _failed(tap, response, ProviderFault(500, text="the answer is too large"))
    start = body.removeprefix(BOM).lstrip()
    document: Any = None
    if start.startswith((b"{", b"[")):
        try:
            document = parse(body)
        except ValueError:
            document = None
    if document is not None and not _is_openai(document):
        fault = tap.native.take(document)
        return _failed(tap, response, fault) if fault is not None else _again(response, content=body)
    reader = tap.reader()
    events = [*reader.feed(body), *reader.end()]
    for event in events:
        if isinstance(event, Broken):
            return _failed(tap, response, event.fault)
        tap.events.append(event)
    said = {"role": "assistant", "content": "".join(map(_text_of, tap.events))}
    return _again(
        response, content=orjson.dumps(_plain(tap, response, "message", said, is_last=True)), content_type=JSON
    )


JSON, SSE = "application/json", "text/event-stream"


class _TappedBody(httpx.AsyncByteStream):
    """A streamed answer on its way to LiteLLM. `fault`: why it is none, where that is known before its first piece."""

    def __init__(self, tap: Tap, response: httpx.Response) -> None:
        self.fault: ProviderFault | None = None
        self.content_type: str | None = None
        self._tap = tap
        self._response = response
        self._received = response.aiter_bytes()
        self._head = b""
        self._ready: list[bytes] = []
        self._answer: AnswerReader | None = None
        self._sse: SseReader | None = None
        self._is_raw = False
        self._is_over = False

    async def prime(self) -> None:
        """Waits until LiteLLM has something to read."""
        while not self._ready and not self._is_over and self.fault is None:
            await self._advance()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                if self._ready:
                    ready, self._ready = self._ready, []
                    yield b"".join(ready)
                elif self.fault is not None:
                    raise _as_litellm(self.fault)
                elif self._is_over:
                    return
                else:
                    await self._advance()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection to the provider."""
        await self._received.aclose()  # type: ignore[attr-defined]  # httpx makes generators
        await self._response.aclose()

    async def _advance(self) -> None:
        """Takes what the provider sends next."""
        try:
            received = await anext(self._received, b"")
        except httpx.HTTPError:
            if self._answer is None or not self._answer.chunks.has_finish:
                raise
            received = b""  # the answer is whole; only what comes behind it is missing
        if not received:
            self._is_over = True
        if self._answer is None and self._sse is None and not self._is_raw:
            self._head += received
            self._decide()
            received = self._head
        if self._answer is not None:
            self._take_openai(self._answer, received)
        elif self._sse is not None:
            self._take_sse(self._sse, received)
        elif self._is_raw:
            self._take_raw(received)

    def _decide(self) -> None:
        """In which wire the answer is, as soon as that can be seen."""
        if self._response.headers.get("content-type", "").endswith("eventstream"):
            self._is_raw = True
            return
        start = self._head.removeprefix(BOM).lstrip()
        if start.startswith((b"{", b"[")):
            self._decide_on_json(start)
        elif start.startswith(SSE_BEGINNINGS):
            self._decide_on_events()
        elif self._is_over or len(start) >= len("event"):
            self._begin_openai()  # which says that it is no answer

    def _decide_on_json(self, start: bytes) -> None:
        """A document, or a line of several (Ollama)."""
        line, _, rest = start.partition(b"\n")
        if not rest and not self._is_over:
            return
        try:
            is_openai = _is_openai(parse(line))
        except ValueError:
            is_openai = True  # a document over several lines
        if is_openai:
            self._begin_openai()
        else:
            self._is_raw = True

    def _decide_on_events(self) -> None:
        native = NativeEnd()
        for event in SseReader().feed(self._head):
            native.take(event.document)
            if event.document is None or _is_openai(event.document):
                self._begin_openai()
                return
            if native.is_known:
                break
        if native.is_known or len(self._head) > MOST_HEAD:
            self._sse = SseReader()
            self.content_type = SSE
        elif self._is_over:
            self._begin_openai()

    def _begin_openai(self) -> None:
        self._answer = self._tap.reader()
        self.content_type = SSE

    def _take_openai(self, answer: AnswerReader, received: bytes) -> None:
        events = answer.feed(received)
        if answer.is_over or self._is_over:
            self._is_over = True
            if not answer.chunks.is_broken:
                events = [*events, *answer.end()]
        said = []
        for event in events:
            if isinstance(event, Broken):
                self._fail(event)
            else:
                said.append(event)
        self._tap.events += said
        if said:
            delta = {"role": "assistant", "content": "".join(map(_text_of, said)) or " "}
            self._write(_plain(self._tap, self._response, "delta", delta, is_last=False))
        if self._is_over and self.fault is None:
            self._write(_plain(self._tap, self._response, "delta", {}, is_last=True))
            self._ready.append(b"data: [DONE]\n\n")

    def _take_sse(self, reader: SseReader, received: bytes) -> None:
        for event in reader.rest() if self._is_over else reader.feed(received):
            fault = self._tap.native.take(event.document, is_error=event.name == "error")
            if fault is not None:
                self._fail(Broken(fault))
                return
            data = event.data if event.document is None else _dumped(event.document)
            name = f"event: {event.name}\n".encode() if event.name else b""
            self._ready.append(name + b"data: " + data + b"\n\n")

    def _take_raw(self, received: bytes) -> None:
        """Lines of JSON (Ollama) or a binary event stream (Bedrock): as they are."""
        fault = None
        if received.lstrip().startswith((b"{", b"[")) or not self._response.headers.get("content-type", "").endswith(
            "eventstream"
        ):
            for line in received.splitlines():
                try:
                    fault = fault or self._tap.native.take(parse(line))
                except ValueError:
                    continue
        else:
            fault = self._tap.native.take_bytes(received)
        if fault is not None:
            self._fail(Broken(fault))
        elif received:
            self._ready.append(received)

    def _fail(self, broken: Broken) -> None:
        self.fault = broken.fault
        self._is_over = True

    def _write(self, document: Any) -> None:
        self._ready.append(b"data: " + orjson.dumps(document) + b"\n\n")


def _is_openai(document: Any) -> bool:
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return isinstance(document, dict) and (
        "choices" in document
        or str(document.get("object")).startswith("chat.completion")
        or bool(document.get("error"))
    )


def _plain(tap: Tap, response: httpx.Response, name: str, said: Any, *, is_last: bool) -> dict[str, Any]:
    """What LiteLLM gets of an answer: its text and, with the last piece, its end and its usage."""
    chunks = tap.chunks
    assert chunks is not None, "called for answers in OpenAI's wire"
    finish = chunks.finishes()[0].reason if is_last else None
    document: dict[str, Any] = {
        "id": chunks.told_id or f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion" if name == "message" else "chat.completion.chunk",
        "created": 0,
        "model": _model_of(chunks, response.request),
        "choices": [{"index": 0, name: said, "finish_reason": "stop" if finish == "tool_calls" else finish}],
    }
    usage = plain_usage(chunks) if is_last else None
    return document if usage is None else {**document, "usage": usage}


def plain_usage(chunks: ChunkReader) -> dict[str, Any] | None:
    """The usage in OpenAI's form; None where a side of it is missing: LiteLLM counts by itself then."""
    reported = chunks.usage
    prompt_tokens = reported.prompt_tokens()
    completion_tokens = reported.completion_tokens(has_content=chunks.has_content)
    if prompt_tokens is None or completion_tokens is None:
        return None
    usage = reported.usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, is_estimated=False)
    return usage_json(usage) if reported.cost is None else {**usage_json(usage), "cost": reported.cost}


def _model_of(chunks: ChunkReader, request: httpx.Request) -> str:
    """The model that LiteLLM asked for: an answer under another name has the price of the one asked for. The name of a
    deployment at Azure has no price, there the provider's word counts.
    """
    try:
        asked = orjson.loads(request.content)
    except (httpx.RequestNotRead, orjson.JSONDecodeError):
        return chunks.told_model
    name = str(asked.get("model") or "") if isinstance(asked, dict) else ""
    return chunks.told_model or name if "/deployments/" in request.url.path else name or chunks.told_model


def _text_of(event: Event) -> str:
    match event:
        case Text() | Reasoning() | Refusal() | ToolCallArguments():
            return event.text
        case _:
            return ""


async def _read(response: httpx.Response, most: int, *, is_cut: bool = False) -> Any:
    """The whole body; None when it has more bytes than `most`, or as many of them where it may be cut."""
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


def _failed(tap: Tap, response: httpx.Response, fault: ProviderFault) -> httpx.Response:
    """An error status in the place of what is no answer."""
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
        request=response.request,
        extensions={**response.extensions, **(extensions or {})},
    )


def _as_litellm(fault: ProviderFault) -> Exception:
    """What LiteLLM is told of an answer that breaks off."""
    from litellm.llms.base_llm.chat.transformation import BaseLLMException  # noqa: PLC0415  # see library.py

    error: Exception = BaseLLMException(status_code=fault.status, message=fault.text or "the answer broke off")
    error.__dict__[FAULT] = fault
    return error


def _dumped(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # surrogate halves
        return json.dumps(document).encode()
