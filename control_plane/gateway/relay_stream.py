"""One relayed answer while it arrives: its pieces out of the provider's bytes, parsed once, without an object of litellm.

Has the manners of `streams.ProviderStream`: the first chunk carries the role, the last one the finish reason; what was
produced can be settled at any time; closing it closes the connection to the provider.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import aiohttp
import orjson

from control_plane.chat import ChatRequest, Chunk, Ending, Served
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed
from control_plane.gateway import prices
from control_plane.gateway.chunks import finish_reason, texts_of
from control_plane.gateway.errors import translate
from control_plane.gateway.relay import failure, mapped
from control_plane.gateway.relay_answers import Told, priced
from control_plane.gateway.relay_targets import Target
from control_plane.gateway.sse_reader import LineTooLong, SseReader
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

DONE = b"[DONE]"

Json = Mapping[str, Any]


class RelayStream:
    """Async iterator of Chunks. It is read and closed by one task at a time, as a generator is."""

    def __init__(
        self,
        target: Target,
        request: ChatRequest,
        response: aiohttp.ClientResponse,
        *,
        let_go: Callable[[aiohttp.ClientResponse], None],
        on_failure: Callable[[Exception], None],
        on_settled: Callable[[Told, Usage, NanoUsd | None, Exception | None], None],
    ) -> None:
        """`let_go`: takes a response that has been read; `on_failure`: hears what broke an answer that had begun;
        `on_settled`: hears once what an answer that came to its end, or broke, used and cost.
        """
        self._target = target
        self._request = request
        self._response = response
        self._let_go = let_go
        self._on_failure = on_failure
        self._on_settled = on_settled
        self._reader = SseReader()
        self._ready: deque[Chunk] = deque()
        self._texts: list[str] = []
        self._finish_reasons: dict[int, str] = {}
        self._with_tool_calls: set[int] = set()
        self._told = Told()
        self._usage: Json | None = None
        self._failure: Exception | None = None
        self._unheard: Exception | None = None
        self._has_spoken = False
        self._is_ended = False
        self._is_over = False
        self._is_closed = False
        self._is_reading = False
        self._is_told = False

    @property
    def served(self) -> Served:
        """Who answers."""
        return self._target.serving.served

    async def prime(self) -> None:
        """Waits for the first chunk that says something. Raises: LiteLLM's exceptions; the stream is closed then.

        What breaks off behind that chunk is a failure of the stream, also when both came at once.
        """
        try:
            while not self._ready:
                await self._read()
        except BaseException as exc:
            if not (self._ready and isinstance(exc, Exception)):
                self._close()
                raise
            self._fail(exc)
        if not self._has_spoken:
            await self.aclose()
            raise LlmCallFailed
        first = self._ready[0]
        if first.finish_reason is None:
            self._ready[0] = Chunk({"role": "assistant", **first.delta}, None, first.index, first.logprobs)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk. Raises: ProviderError when the provider breaks off; nothing follows then."""
        while not self._ready:
            if self._unheard is not None:
                failure, self._unheard = self._unheard, None
                raise translate(failure) from None  # the provider's text stays out of tracebacks
            if self._is_over:
                raise StopAsyncIteration
            await self._read_on()
        return self._ready.popleft()

    def ending(self, usage: Usage) -> Ending:
        """How it ended, with what was used."""
        said = self._finish_reasons
        reasons = {
            index: finish_reason(
                said.get(index, next(iter(said.values()), None)), has_tool_calls=index in self._with_tool_calls
            )
            for index in range(self._request.parameters.get("n") or 1)
        }
        return Ending(reasons, usage)

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """Tokens and cost of what was produced so far: the provider's numbers if they came, else counted by us.

        The cost is None when nobody knows the price.
        """
        usage, cost = await self._settle()
        if not self._is_told and (self._is_ended or self._failure is not None):
            self._is_told = True
            self._on_settled(replace(self._told, usage=self._usage), usage, cost, self._failure)
        return usage, cost

    async def aclose(self) -> None:
        """Lets go of the connection to the provider: at once, unless the answer is whole. Any number of times.

        Raises: RuntimeError while another task waits for a chunk. Cancel that task instead.
        """
        if self._is_reading:
            raise RuntimeError("another task is reading the stream; cancel it first")
        self._close()

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = self._is_over = True
        if self._is_ended:
            self._let_go(self._response)
        else:
            self._response.close()

    async def _settle(self) -> tuple[Usage, NanoUsd | None]:
        usage, cost = priced(self._target, self._usage)
        if usage is not None:
            return usage, cost
        tag = self._target.serving.tag
        usage = await prices.estimate(tag, self._request, self._texts)
        return usage, prices.cost_of_tokens(tag, usage)

    async def _read_on(self) -> None:
        """As `_read`; what breaks off an answer is kept until the pieces before it are taken."""
        self._is_reading = True
        try:
            await self._read()
        except Exception as exc:  # noqa: BLE001  # LiteLLM's own classes
            self._fail(exc)
        finally:
            self._is_reading = False

    def _fail(self, exc: Exception) -> None:
        self._failure = self._unheard = exc
        self._on_failure(exc)
        self._close()

    async def _read(self) -> None:
        """Takes what the provider sends next. Raises: LiteLLM's exceptions."""
        try:
            received = await self._response.content.readany()
            for line in self._reader.feed(received) if received else self._reader.rest():
                self._take(line)
                if self._is_ended:
                    return
        except (aiohttp.ClientError, OSError, LineTooLong) as exc:
            if self._finish_reasons:  # the answer is whole; only what comes behind it is missing
                log.warning("stream_tail_lost", extra={"error_class": type(exc).__name__})
                self._end()
                return
            raise failure(self._target, exc) from exc
        if not received:
            self._end()

    def _take(self, line: bytes) -> None:
        if line == DONE:
            self._end()
            return
        try:
            event = orjson.loads(line)
            if error := event.get("error"):
                raise self._said(error)
            if not self._told.id:
                self._told = Told.of(event)
            for choice in event.get("choices") or ():
                self._take_choice(choice)
            if usage := event.get("usage"):
                self._usage = usage
        except (orjson.JSONDecodeError, AttributeError, TypeError) as exc:
            raise mapped(self._target, f"not a chunk: {type(exc).__name__}", 500, {}) from None

    def _take_choice(self, choice: Json) -> None:
        self._has_spoken = True
        index = choice.get("index") or 0
        if said := choice.get("finish_reason"):
            self._finish_reasons[index] = said
        delta = self._tally(choice.get("delta") or {}, index)
        if delta is not None:
            self._ready.append(Chunk(delta, None, index, choice.get("logprobs")))

    def _tally(self, said: Json, index: int) -> Json | None:
        """What a piece says to the client, counted; None when that is nothing."""
        delta: dict[str, Any] = {}
        if reasoning := said.get("reasoning_content") or said.get("reasoning"):
            delta["reasoning_content"] = reasoning
            self._texts.append(reasoning)
        if calls := said.get("tool_calls"):
            self._with_tool_calls.add(index)
            delta["tool_calls"] = [_tool_call(call) for call in calls]
            self._texts += texts_of(delta["tool_calls"])
        for name in ("content", "refusal"):
            if text := said.get(name):
                delta[name] = text
                self._texts.append(text)
        return delta or None

    def _end(self) -> None:
        if not self._is_ended:
            self._is_ended = self._is_over = True
            self._ready.append(Chunk({}, self.ending(Usage()).finish_reason))

    def _said(self, error: Any) -> Exception:
        """An error event, as LiteLLM raises it."""
        code = error.get("code") if isinstance(error, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        status = code if isinstance(code, int) and 400 <= code < 600 else 500  # noqa: PLR2004
        return mapped(self._target, str(message), status, {})


def _tool_call(call: Json) -> dict[str, Any]:
    """A piece of a tool call, as LiteLLM's lane has it: nulls left out, the type always there."""
    said = {name: value for name, value in call.items() if value is not None}
    function = said.get("function")
    if isinstance(function, dict):
        said["function"] = {name: value for name, value in function.items() if value is not None}
    return {"type": "function", **said}
