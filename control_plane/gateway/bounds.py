"""Bounds of a call: its duration, a provider's silence during its answer, and the answer's size.

A provider that sends single bytes passes every limit of a single read, so these limits count chunks of the answer.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from control_plane.completion.events import ProviderFault
from control_plane.gateway.reading.answer import MAX_BODY_BYTES

GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """`call_s`: a call with all its attempts. `stall_s`: the time without a piece of an answer that has begun; a buffered
    answer is one piece. `answer_bytes`: of a buffered answer.
    """

    call_s: float = 1800.0
    stall_s: float = 600.0
    answer_bytes: int = MAX_BODY_BYTES


class Overdue(Exception):
    """The provider was silent for too long during its answer, or the call's time is over. `fault` has the reason."""

    def __init__(self, fault: ProviderFault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class Timing:
    """The time of one call. Made when it begins, in the event loop."""

    def __init__(self, bounds: AnswerBounds) -> None:
        self.bounds = bounds
        self._now = asyncio.get_running_loop().time
        self.ends_at = self._now() + bounds.call_s
        self._piece_due_at = self.ends_at
        self._paused_at: float | None = None

    @property
    def due_at(self) -> float:
        """When an answer is given up, by the clock of the event loop."""
        return min(self.ends_at, self._piece_due_at)

    @property
    def is_over(self) -> bool:
        """Whether the call has had all its time."""
        return self._now() >= self.ends_at

    def attempt(self, timeout_s: float) -> None:
        """An attempt begins. `timeout_s`: the YAML's time until its answer begins, which may be more."""
        self._piece_due_at = self._now() + max(self.bounds.stall_s, timeout_s)

    def piece(self) -> None:
        """The answer has begun, or a piece of it has come."""
        self._piece_due_at = self._now() + self.bounds.stall_s

    def pause(self) -> None:
        """Stops the clock: the time of a stream's reader is not the provider's."""
        self._paused_at = self._now()

    def resume(self) -> None:
        """The provider is waited for again."""
        if self._paused_at is not None:
            self._piece_due_at += self._now() - self._paused_at
            self._paused_at = None

    def fault(self) -> ProviderFault:
        """The error of an answer that is given up now."""
        if self.is_over:
            text = f"the call was given up after {self.bounds.call_s:g} s (CONTROL_PLANE_CALL_TIMEOUT_S)"
            return ProviderFault(GATEWAY_TIMEOUT, code="call_timeout", type="timeout", text=text)
        text = f"nothing of the answer came for {self.bounds.stall_s:g} s (CONTROL_PLANE_STALL_TIMEOUT_S)"
        return ProviderFault(GATEWAY_TIMEOUT, code="stalled", type="timeout", text=text)

    @contextmanager
    def limit(self) -> Iterator[None]:
        """While something of the answer is waited for. Raises: Overdue."""
        limit = Limit(self)
        try:
            with limit:
                yield
        finally:
            limit.close()

    @contextmanager
    def current(self) -> Iterator[None]:
        """While LiteLLM makes a call that no tap reads."""
        token = _TIMING.set(self)
        try:
            yield
        finally:
            _TIMING.reset(token)


class Limit:
    """Cancels a wait for the answer when it is overdue: `with limit: await …`, any number of times, one after the
    other. Raises: Overdue. Close it at the end.

    All these waits share one timer, which is set again only when it fires early: a timeout of its own for every chunk
    of a stream costs more than reading the chunk.
    """

    def __init__(self, timing: Timing, later_s: float = 0.0) -> None:
        """`later_s`: how much later than due the wait is given up."""
        self._timing = timing
        self._later_s = later_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf
        self._waiting: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._is_overdue = False

    def __enter__(self) -> None:
        self._waiting = task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._cancelling = task.cancelling()
        due_at = self._timing.due_at + self._later_s
        if due_at < self._fires_at:
            self._set_timer(due_at)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._waiting = self._waiting, None
        if not self._is_overdue:
            return
        self._is_overdue = False
        assert task is not None, "set on entering"
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Overdue(self._timing.fault()) from None

    def close(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires_at = None, math.inf

    def _set_timer(self, fires_at: float) -> None:
        self.close()
        self._timer, self._fires_at = self._loop.call_at(fires_at, self._check), fires_at

    def _check(self) -> None:
        self._timer, self._fires_at = None, math.inf
        if self._waiting is None:
            return  # the next wait sets the timer again
        due_at = self._timing.due_at + self._later_s
        if self._loop.time() < due_at:
            self._set_timer(due_at)
        else:
            self._is_overdue = True
            self._waiting.cancel()


_TIMING: ContextVar[Timing | None] = ContextVar("timing", default=None)


def current_timing() -> Timing | None:
    """Of the call that is made at the moment, where no tap reads it."""
    return _TIMING.get()
