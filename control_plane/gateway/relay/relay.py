"""One attempt at one deployment over HTTP, as LiteLLM would make it: its request and its errors, without its objects.

LiteLLM's own code for the provider makes the request (parameters, renames); failures become LiteLLM's exceptions, so
that the Router's retries, cooldowns and fallbacks mean the same in both lanes.
"""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
import orjson

from control_plane.chat import CHAT_PARAMETERS, ChatRequest, Message
from control_plane.completion.events import Broken, Content, Event, ProviderFault
from control_plane.gateway.asked import answer_reader
from control_plane.gateway.bounds import Overdue, Timing
from control_plane.gateway.errors import failed_with
from control_plane.gateway.history import prepare_messages, prepare_parameters
from control_plane.gateway.outgoing import Outgoing, outgoing
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reading.faults import MAX_ERROR_BYTES, REDIRECTED, fault_of_text, is_redirect
from control_plane.gateway.relay.targets import Target

CONNECTIONS_PER_HOST = 1000
KEEP_ALIVE_S = 60
LETTING_GO_S = 1.0  # how long a stream may take to end after [DONE] before its connection is closed
OK = range(200, 300)

LONG_CONVERSATION = 200
"""Messages from which a request is built in a thread: many calls continue at the same moment, after one commit."""

_threads = ThreadPoolExecutor(
    2, thread_name_prefix="relay-body"
)  # more would wait for the interpreter, and so would all others


class Relay:
    """The connections to the providers that are relayed to."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def complete(self, target: Target, request: ChatRequest, timing: Timing) -> tuple[list[Content], ChunkReader]:
        """A whole answer, and what read it. Raises: LiteLLM's exceptions."""
        sent = outgoing(await _body_of(target, request, is_stream=False), target.headers)
        reader = answer_reader(request, max_bytes=timing.bounds.answer_bytes)
        events: list[Event] = []
        try:
            response = await self._answer(target, sent, target.timeout_s, timing)
            async with response:
                with timing.limit():
                    async for received in response.content.iter_any():
                        events += reader.feed(received)
                        if reader.is_over:
                            break
        except (aiohttp.ClientError, OSError, Overdue) as exc:
            raise failure(target, exc) from exc
        events += reader.end()
        contents = [event for event in events if not isinstance(event, Broken)]
        if (broken := next((event for event in events if isinstance(event, Broken)), None)) is not None:
            raise failed(target, broken.fault)
        return contents, reader.chunks

    async def open(self, target: Target, request: ChatRequest, timing: Timing) -> aiohttp.ClientResponse:
        """A stream with a good status; the caller closes it. Raises: LiteLLM's exceptions."""
        sent = outgoing(await _body_of(target, request, is_stream=True), target.headers)
        try:
            return await self._answer(target, sent, target.stream_timeout_s, timing)
        except (aiohttp.ClientError, OSError, Overdue) as exc:
            raise failure(target, exc) from exc

    async def _answer(self, target: Target, sent: Outgoing, timeout_s: float, timing: Timing) -> aiohttp.ClientResponse:
        """An answer that has begun, whose status is good. Raises: LiteLLM's exceptions for another, aiohttp's, Overdue."""
        timing.attempt(timeout_s)
        with timing.limit():
            response: aiohttp.ClientResponse = await self._post(target, sent, timeout_s)
        timing.piece()
        if response.status in OK:
            return response
        async with response:
            with timing.limit():
                refused = await refusal(target, response)
        raise refused

    def release(self, response: aiohttp.ClientResponse) -> None:
        """Takes a stream whose answer is whole, so that its connection can serve again once the provider has ended it."""
        if response.content.at_eof():
            response.release()
            return
        ending = asyncio.create_task(_until_ended(response))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Closes every connection."""
        for ending in self._ending:
            ending.cancel()
        if self._ending:
            await asyncio.wait(self._ending)
        if self._session is not None:
            await self._session.close()

    def _post(self, target: Target, sent: Outgoing, timeout_s: float) -> Any:
        """One request; the time is that until the answer begins, and for each pause in it."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
        return self._http().post(
            target.url,
            data=sent.data,
            headers=sent.headers,
            timeout=timeout,
            proxy=target.proxy,
            allow_redirects=False,  # the prompt and the key are for the provider only
        )

    def _http(self) -> aiohttp.ClientSession:
        """Made at the first call, in the event loop that calls."""
        if self._session is None:
            from litellm.llms.custom_httpx.http_handler import get_ssl_configuration  # noqa: PLC0415  # see litellm_setup.py

            connector = aiohttp.TCPConnector(
                limit=0,
                limit_per_host=CONNECTIONS_PER_HOST,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=get_ssl_configuration(),
            )
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


async def _until_ended(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(LETTING_GO_S):
            while not response.content.at_eof():
                await response.content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    finally:
        response.close()  # which leaves the connection of an answer that was read to its end open


async def refusal(target: Target, response: aiohttp.ClientResponse) -> Exception:
    """LiteLLM's exception for an error status or a redirect."""
    if is_redirect(response.status):
        return failed(target, REDIRECTED)
    text = await response.content.read(MAX_ERROR_BYTES)
    while (more := await response.content.read(MAX_ERROR_BYTES - len(text))) if len(text) < MAX_ERROR_BYTES else b"":
        text += more
    headers = {name.lower(): value for name, value in response.headers.items()}
    said = text.decode("utf-8", "replace")
    fault = fault_of_text(response.status, text, headers)
    return failed_with(mapped(target, said, response.status, headers), fault)


def failed(target: Target, fault: ProviderFault) -> Exception:
    """LiteLLM's exception for an invalid or broken answer."""
    return failed_with(mapped(target, fault.text or "the answer broke off", fault.status, {}), fault)


def failure(target: Target, exc: Exception) -> Exception:
    """LiteLLM's exception without any response."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    if isinstance(exc, Overdue):
        overdue = litellm.Timeout(message=str(exc), model=target.model, llm_provider=target.provider)
        return failed_with(overdue, exc.fault)
    if isinstance(exc, TimeoutError):
        said = f"no answer within {target.timeout_s} s"
        timeout: Exception = litellm.Timeout(message=said, model=target.model, llm_provider=target.provider)
        return timeout
    return mapped(target, f"{type(exc).__name__}: {exc}", 500, {})


def mapped(target: Target, message: str, status: int, headers: Mapping[str, str]) -> Exception:
    """LiteLLM's exception for a status and a text of this provider."""
    from litellm.litellm_core_utils.exception_mapping_utils import exception_type  # noqa: PLC0415  # see litellm_setup.py

    said: Exception = target.config.get_error_class(error_message=message, status_code=status, headers=headers)
    try:
        exception_type(
            model=target.model,
            original_exception=said,
            custom_llm_provider=target.provider,
            completion_kwargs={},
            extra_kwargs={},
        )
    except Exception as exc:  # noqa: BLE001  # raising is how it answers
        return exc
    return said


async def _body_of(target: Target, request: ChatRequest, *, is_stream: bool) -> bytes:
    """The request in the provider's words; a long conversation takes 25 microseconds a message, beside the event loop."""
    make = partial(_body, target, request, is_stream=is_stream)
    if len(request.messages) <= LONG_CONVERSATION:
        return make()
    return await asyncio.get_running_loop().run_in_executor(_threads, make)


def _body(target: Target, request: ChatRequest, *, is_stream: bool) -> bytes:
    prepared = prepare_messages(request.messages, target.dialect)
    messages: Any = target.config.translate_developer_role_to_system_role(messages=_copied(prepared))
    asked = {name: value for name, value in request.parameters.items() if name in CHAT_PARAMETERS}
    parameters = target.mapped(prepare_parameters(asked, prepared, target.dialect), is_stream=is_stream)
    extra = parameters.pop("extra_body", None)
    body = target.config.transform_request(
        model=target.model,
        messages=messages,
        optional_params=parameters,
        litellm_params=dict(target.addressed),
        headers={},
    )
    return orjson.dumps({**body, **(extra or {})})


def _copied(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages that LiteLLM may write into, without nulls: what is nested is shared with the next attempt otherwise."""
    said = [{name: value for name, value in message.items() if value is not None} for message in messages]
    is_flat = all(isinstance(value, str) for message in said for value in message.values())
    return said if is_flat else copy.deepcopy(said)
