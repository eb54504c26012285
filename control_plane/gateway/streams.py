"""One answer while it arrives: pieces out, tokens tallied, the connection closed when nobody listens.

LiteLLM's stream falls back to another model only before the first piece; after that it fails. `prime()` waits for that
piece, so whoever holds a primed stream sees one model, and every later failure is an exception from the iteration.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import anyio

from control_plane.chat import ChatRequest, Chunk, Ending, Served
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed
from control_plane.gateway import prices
from control_plane.gateway.chunks import finish_reason, plain, texts_of, tool_calls_of, usage_of
from control_plane.gateway.errors import translate
from control_plane.gateway.prices import PriceTag
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """A deployment at work: how it is named to the caller and where its price stands."""

    served: Served
    tag: PriceTag


class AnswerStream(Protocol):
    """An answer while it arrives, through whichever lane. It is read and closed by one task at a time, as a generator is."""

    @property
    def served(self) -> Served:
        """Who answers; settled once the stream is primed."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Chunk:
        """The next chunk. Raises: ProviderError when the provider breaks off; nothing follows then."""

    def ending(self, usage: Usage) -> Ending:
        """How it ended, with what was used."""

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """Tokens and cost of what was produced so far; the cost is None when nobody knows the price."""

    async def aclose(self) -> None:
        """Closes the connection to the provider, if it is still open. Any number of times."""


class ProviderStream:
    """Async iterator of Chunks. It is read and closed by one task at a time, as a generator is.

    The first chunk carries the role beside what it says; the last one has an empty delta and the finish reason, and
    comes when the provider has said everything, usage included.
    """

    def __init__(self, source: Any, request: ChatRequest, serving: Callable[[], Serving]) -> None:
        """`source`: the stream LiteLLM's Router returned. `serving`: who is answering at the moment."""
        self._source = source
        self._request = request
        self._who = serving
        self._serving = serving()
        self._opened_by = self._serving
        self._first: Chunk | None = None
        self._texts: list[str] = []
        self._ready: deque[Chunk] = deque()
        self._with_tool_calls: set[int] = set()
        self._finish_reasons: dict[int, str] = {}
        self._reported: Any = None
        self._is_over = False
        self._is_closed = False
        self._is_reading = False

    @property
    def served(self) -> Served:
        """Who answers; settled once the stream is primed."""
        return self._serving.served

    async def prime(self) -> None:
        """Waits for the first chunk that carries something. Raises: ProviderError; the stream is closed then."""
        try:
            self._first = await self._opening()
        except BaseException:
            await self.aclose()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk. Raises: ProviderError when the provider breaks off; nothing follows then."""
        first = self._first
        if first is not None:
            self._first = None
            return first
        if self._is_over:
            raise StopAsyncIteration
        return await self._pull()

    def ending(self, usage: Usage) -> Ending:
        """How it ended, with what was used. Of several answers LiteLLM passes on only one reason."""
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
        tag = self._serving.tag
        usage = usage_of(self._reported)
        if usage is None:
            usage = await prices.estimate(tag, self._request, self._texts)
            return usage, prices.cost_of_tokens(tag, usage)
        if not await self._is_from_provider(usage):
            usage = Usage(usage.prompt_tokens, usage.completion_tokens, is_estimated=True)
        cost = getattr(self._reported, "cost", None)
        # Absent for a cost of 0, and also after a fallback before the first piece: then the price list decides.
        return usage, prices.money(cost) if cost else prices.cost(tag, self._reported)

    async def aclose(self) -> None:
        """Closes the connection to the provider, at once, if it is still open. Any number of times.

        Raises: RuntimeError while another task waits for a chunk: LiteLLM would leave the connection open and be
        silent. Cancel that task instead, which closes it.
        """
        if self._is_closed:
            return
        if self._is_reading:
            raise RuntimeError("another task is reading the stream; cancel it first")
        self._is_closed = self._is_over = True
        with anyio.CancelScope(shield=True):
            await self._source.aclose()

    async def _opening(self) -> Chunk:
        chunk = await self._pull()
        self._serving = self._who()
        if chunk.finish_reason is None:
            return replace(chunk, delta={"role": "assistant", **chunk.delta})
        if not await self._is_an_answer():
            raise LlmCallFailed
        return chunk

    async def _pull(self) -> Chunk:
        """The next chunk. Runs for every piece: LiteLLM needs 420 µs for one, this a few."""
        while not self._ready:
            self._is_reading = True
            try:
                raw = await self._source.__anext__()
            except StopAsyncIteration:
                return self._end()
            except Exception as exc:  # noqa: BLE001  # a stream's end: every failure of a provider arrives here
                if self._finish_reasons:  # the answer is whole; only what comes behind it is missing
                    log.warning("stream_tail_lost", extra={"error_class": type(exc).__name__})
                    return self._end()
                self._is_over = True
                raise translate(exc) from None  # the provider's text stays out of tracebacks
            finally:
                self._is_reading = False
            for choice in raw.choices:
                if choice.finish_reason is not None:
                    self._finish_reasons[choice.index] = choice.finish_reason
                delta = self._tally(choice.delta, choice.index)
                if delta is not None:
                    self._ready.append(Chunk(delta, None, choice.index, _logprobs_of(choice)))
            usage = getattr(raw, "usage", None)  # LiteLLM sends it alone, behind everything else
            if usage is not None:
                self._reported = usage
        return self._ready.popleft()

    def _tally(self, said: Any, index: int) -> Mapping[str, Any] | None:
        """What a piece says to the client, counted; None when that is nothing."""
        content = said.content
        calls = said.tool_calls
        reasoning = getattr(said, "reasoning_content", None)
        if reasoning or getattr(said, "thinking_blocks", None):
            return self._thought(said, reasoning, index)
        if calls:
            delta: dict[str, Any] = {"tool_calls": tool_calls_of(calls)}
            self._with_tool_calls.add(index)
            self._texts += texts_of(delta["tool_calls"])
            if content:
                delta["content"] = content
                self._texts.append(content)
            return delta
        if content:
            self._texts.append(content)
            return {"content": content}
        return None

    def _thought(self, said: Any, reasoning: str | None, index: int) -> Mapping[str, Any]:
        """A piece of reasoning, with the blocks in which a provider signs it, and what else it says."""
        delta: dict[str, Any] = {}
        if reasoning:
            self._texts.append(reasoning)
            delta["reasoning_content"] = reasoning
        blocks = getattr(said, "thinking_blocks", None)
        if blocks:
            delta["thinking_blocks"] = [dict(block) for block in blocks]
        if said.tool_calls:
            delta["tool_calls"] = tool_calls_of(said.tool_calls)
            self._with_tool_calls.add(index)
            self._texts += texts_of(delta["tool_calls"])
        if said.content:
            self._texts.append(said.content)
            delta["content"] = said.content
        return delta

    def _end(self) -> Chunk:
        self._is_over = True
        return Chunk({}, self.ending(Usage()).finish_reason)

    async def _is_an_answer(self) -> bool:
        """Whether an end without a piece is the provider's: to LiteLLM a body that is no stream is an empty answer."""
        if self._serving is self._opened_by:
            return bool(self._source.chunks)
        usage = usage_of(self._reported)
        return usage is not None and await self._is_from_provider(usage)

    async def _is_from_provider(self, usage: Usage) -> bool:
        """LiteLLM counts in the provider's place without saying so; the pieces it kept tell.

        Those are the first attempt's. When another deployment took over, what we count ourselves tells instead.
        """
        if self._serving is self._opened_by:
            return any(getattr(kept, "usage", None) is not None for kept in reversed(self._source.chunks))
        ours = await prices.estimate(self._serving.tag, self._request, self._texts)
        return (usage.prompt_tokens, usage.completion_tokens) != (ours.prompt_tokens, ours.completion_tokens)


def _logprobs_of(choice: Any) -> Mapping[str, Any] | None:
    logprobs = getattr(choice, "logprobs", None)
    return None if logprobs is None else plain(logprobs)
