"""A stream in LiteLLM's lane: LiteLLM's own, for its retries, fallbacks and reports, with the events that the tap read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio

from control_plane.chat import ChatRequest
from control_plane.completion.events import Broken, Event
from control_plane.completion.usage import Usage
from control_plane.gateway.asked import chunk_reader
from control_plane.gateway.documents_of import chunk_document
from control_plane.gateway.errors import failed_with
from control_plane.gateway.pricing import prices
from control_plane.gateway.pricing.settling import said_cost, text_of
from control_plane.gateway.reading.answer import BROKEN_OFF
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.reports import Attempt
from control_plane.gateway.streams import EventStream, PricedDeployment
from control_plane.gateway.tap import Tap
from control_plane.units import NanoUsd

TOGETHER = 64
"""Pieces that LiteLLM keeps one by one."""


class LiteLlmStream(EventStream):
    """Async iterator of events. It is read and closed by one task at a time, as a generator is."""

    patience_s = 1.0  # LiteLLM reports an answer that the tap gives up, and none that is cancelled

    def __init__(
        self, source: Any, request: ChatRequest, tap: Tap, attempt: Attempt, serving: Callable[[], PricedDeployment]
    ) -> None:
        """`source`: the stream of LiteLLM's Router. `serving`: the current deployment."""
        super().__init__(request, serving(), tap.timing)
        self._source = source
        self._tap = tap
        self._attempt = attempt
        self._who = serving
        self._opened_by = self._serving
        self._chunks = chunk_reader(request)
        self._read_of = tap.responses
        self._counted: Any = None
        self._folded = 1

    async def prime(self) -> None:
        """As every stream; a fallback may have changed the deployment meanwhile."""
        try:
            await super().prime()
        finally:
            self._serving = self._who()

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """As every stream. In wires that are not read here, LiteLLM reports the usage; where it counted in the
        provider's place, which it does not mark, the usage is marked.
        """
        if self._counted is None or not self._is_litellms:
            return await super().settle()
        self._chunks.usage.take(self._counted.model_dump())
        usage, cost = await super().settle()
        if not usage.is_estimated and not await self._is_from_provider(usage):
            usage = replace(usage, is_estimated=True)
        if cost is None and (said := getattr(self._counted, "cost", None)):
            cost = prices.money(said)
        return usage, cost

    @property
    def _is_litellms(self) -> bool:
        """Whether all knowledge of the answer comes from LiteLLM."""
        return self._tap.chunks is None and not self._tap.native.is_known

    def _reader(self) -> ChunkReader:
        return self._tap.chunks or self._chunks

    async def _read(self) -> None:
        try:
            async with self._tap.open():
                raw = await self._source.__anext__()
        except StopAsyncIteration:
            self._drain(None)
            self._finish()
        except Exception:
            self._drain(None)
            raise
        else:
            self._drain(raw)

    def _drain(self, raw: Any) -> None:
        """The content read: by the tap, or by LiteLLM."""
        if self._tap.chunks is not None:
            self._ready += self._tap.events
            self._tap.events.clear()
            self._fold()
            return
        if raw is None:
            return
        if self._read_of != self._tap.responses:  # another deployment took over before the first event
            self._read_of = self._tap.responses
            self._chunks = chunk_reader(self._request)
        if (usage := getattr(raw, "usage", None)) is not None:
            self._counted = usage
        self._take(self._chunks.take(chunk_document(raw)))
        self._tap.complete(self._chunks)

    def _fold(self) -> None:
        """LiteLLM keeps every piece, 3 KB for a word, to put the answer together for its report. Of what was read here they are
        plain text (`plain_answers.py`): many are as good as one.
        """
        latest = self._source.chunks[self._folded :]
        if len(latest) < TOGETHER or not all(map(_is_text, latest)):
            return
        latest[0].choices[0].delta.content = "".join(chunk.choices[0].delta.content for chunk in latest)
        del self._source.chunks[self._folded + 1 :]
        self._folded += 1

    def _finish(self) -> None:
        if self._tap.chunks is None:
            if self._tap.native.is_known and not self._tap.native.ends:
                raise failed_with(None, BROKEN_OFF)
            self._tap.complete(self._chunks)
            self._take(self._chunks.end())
        self._attempt.cost = said_cost(self._serving.tag, self._reader().usage)
        self._end()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Broken):
                raise failed_with(None, event.fault)
            self._ready.append(event)

    async def _release_connection(self) -> None:
        """LiteLLM would leave the connection open, and be silent, while another task reads."""
        with anyio.CancelScope(shield=True):
            try:
                await self._source.aclose()
            finally:
                await self._tap.aclose()

    async def _is_from_provider(self, usage: Usage) -> bool:
        """LiteLLM counts in the provider's place without a mark; the chunks it kept show it.

        Those are the first attempt's. When another deployment took over, our own count shows it instead.
        """
        if self._serving is self._opened_by:
            return any(getattr(kept, "usage", None) is not None for kept in reversed(self._source.chunks))
        ours = await prices.estimate(self._serving.tag, self._request, list(map(text_of, self._events())))
        return (usage.prompt_tokens, usage.completion_tokens) != (ours.prompt_tokens, ours.completion_tokens)


def _is_text(chunk: Any) -> bool:
    """Whether it has nothing about the answer's end."""
    if getattr(chunk, "usage", None) is not None or len(chunk.choices) != 1:
        return False
    [choice] = chunk.choices
    return choice.finish_reason is None and isinstance(choice.delta.content, str)
