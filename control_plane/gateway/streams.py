"""One answer while it arrives: events out; the connection is closed when its consumer stops.

A stream is primed before it is handed out: its first event has arrived. Up to then a fallback to another model is
invisible; a primed stream has one model, and every later failure is an exception from the iteration.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from control_plane.chat import ChatRequest, ServedBy
from control_plane.completion.events import Content
from control_plane.completion.faults import log_fields
from control_plane.completion.finish import Finish
from control_plane.completion.usage import Usage
from control_plane.errors import CallTimedOut
from control_plane.gateway.bounds import Limit, Overdue, Timing
from control_plane.gateway.errors import failed_with, translate
from control_plane.gateway.pricing.prices import PriceTag
from control_plane.gateway.pricing.settling import settle
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PricedDeployment:
    """A deployment at work: how it is named to the caller and where its price stands."""

    served: ServedBy
    tag: PriceTag


def call_timed_out(timing: Timing) -> CallTimedOut:
    """The error of a call that has had all its time."""
    error = CallTimedOut(f"The call was given up after {timing.bounds.call_s:g} s, all its attempts together.")
    error.fault = timing.fault()
    error.provider_status = None
    log.log(error.level, "call_timed_out", extra={"code": error.code, **log_fields(error.fault)})
    return error


class AnswerStream(Protocol):
    """An answer while it arrives, through whichever lane: its events, those together that have come together.

    It is read and closed by one task at a time, as a generator is.
    """

    @property
    def served(self) -> ServedBy:
        """The serving deployment; final once the stream is primed."""

    @property
    def input_usage(self) -> Usage | None:
        """The provider's reported usage of the input so far."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Sequence[Content]:
        """The next events. Raises: ProviderError when the provider breaks off; nothing follows then."""

    def finishes(self) -> Mapping[int, Finish]:
        """The finish of each requested choice, once the iteration has ended."""

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """Usage and cost so far; the cost is None when the price is unknown."""

    async def aclose(self) -> None:
        """Closes the connection to the provider, if it is still open. Any number of times."""


class EventStream(ABC):
    """The common part of both lanes' streams. Subclasses fetch (`_read`) and close (`_release_connection`).

    `patience_s`: how much later than due an answer is given up here, where a lower layer does that in time.
    """

    patience_s = 0.0

    def __init__(self, request: ChatRequest, serving: PricedDeployment, timing: Timing) -> None:
        """`timing`: of the call."""
        self._request = request
        self._serving = serving
        self._timing = timing
        self._limit = Limit(timing, self.patience_s)
        self._ready: list[Content] = []
        self._taken: list[Content] = []
        self._failure: Exception | None = None
        self._unraised: Exception | None = None
        self._is_whole = False
        self._is_over = False
        self._is_closed = False
        self._is_reading = False

    @property
    def served(self) -> ServedBy:
        """The serving deployment; final once the stream is primed."""
        return self._serving.served

    @property
    def input_usage(self) -> Usage | None:
        """The provider's reported usage of the input so far."""
        reported = self._reader().usage
        prompt_tokens = reported.prompt_tokens()
        if prompt_tokens is None:
            return None
        return reported.usage(prompt_tokens=prompt_tokens, completion_tokens=0, is_estimated=False)

    async def prime(self) -> None:
        """Waits for the first event. Raises: what the provider's failure is to LiteLLM; the stream is closed then.

        What breaks off behind that event is a failure of the stream, also when both came at once.
        """
        try:
            while not self._ready and not self._is_over:
                await self._read_on()
        except BaseException:
            await self.aclose()
            raise
        if not self._ready and self._unraised is not None:
            failure, self._unraised = self._unraised, None
            raise failure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Content]:
        """The next events. Raises: ProviderError when the provider breaks off; nothing follows then."""
        while not self._ready:
            if self._unraised is not None:
                failure, self._unraised = self._unraised, None
                if self._timing.is_over:
                    raise call_timed_out(self._timing) from None
                raise translate(failure) from None  # the provider's text stays out of tracebacks
            if self._is_over:
                raise StopAsyncIteration
            await self._read_on()
        events, self._ready = self._ready, []
        self._taken += events
        return events

    def finishes(self) -> Mapping[int, Finish]:
        """The finish of each requested choice."""
        return self._reader().finishes()

    async def settle(self) -> tuple[Usage, NanoUsd | None]:
        """Usage and cost so far: the provider's numbers, and ours for missing ones.

        The cost is None when the price is unknown.
        """
        reported = self._reader().usage
        return await settle(self._serving.tag, self._request, reported, self._events(), is_whole=self._is_whole)

    async def aclose(self) -> None:
        """Closes the connection to the provider, at once, if it is still open. Any number of times.

        Raises: RuntimeError while another task waits for an event, whose connection would stay open. Cancel that task.
        """
        if self._is_closed:
            return
        if self._is_reading:
            raise RuntimeError("another task is reading the stream; cancel it first")
        self._is_closed = self._is_over = True
        self._limit.close()
        await self._release_connection()

    def _events(self) -> Sequence[Content]:
        """The events so far."""
        return (*self._taken, *self._ready)

    async def _read_on(self) -> None:
        """As `_read`; what breaks off an answer is kept until the events before it are taken."""
        self._is_reading = True
        self._timing.resume()
        try:
            with self._limit:
                await self._read()
            if self._ready:
                self._timing.piece()
        except Exception as exc:  # noqa: BLE001  # a stream's end: every failure of a provider arrives here
            failure = failed_with(None, exc.fault) if isinstance(exc, Overdue) else exc
            self._failure = self._unraised = failure
            self._is_over = True
            self._is_reading = False
            await self.aclose()
            self._broke(failure)
        finally:
            self._timing.pause()
            self._is_reading = False

    def _end(self) -> None:
        """The answer is whole."""
        self._is_whole = self._is_over = True

    def _broke(self, exc: Exception) -> None:  # noqa: B027 - a hook
        """The answer broke off."""

    @abstractmethod
    def _reader(self) -> ChunkReader:
        """The reader of the answer."""

    @abstractmethod
    async def _read(self) -> None:
        """Takes what the provider sends next. Raises: anything, when it breaks off."""

    @abstractmethod
    async def _release_connection(self) -> None:
        """Closes the connection to the provider."""
