"""The waits of one stream share a timer: what counts is still the pause before each piece, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from control_plane.gateway.bounds import AnswerBounds, Limit, Overdue, Timing

BOUNDS = AnswerBounds(call_s=100.0, stall_s=10.0)


class SetClock(asyncio.SelectorEventLoop):
    """Its time is what it is set to."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(5):  # timers, and the tasks that they wake, have had their turn
            await asyncio.sleep(0)


def on_set_clock(steps: Callable[[SetClock, Timing, Limit], Awaitable[None]]) -> None:
    loop = SetClock()

    async def run() -> None:
        timing = Timing(BOUNDS)
        timing.piece()
        limit = Limit(timing)
        await steps(loop, timing, limit)
        limit.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())


async def wait(limit: Limit, piece: asyncio.Future[None]) -> None:
    with limit:
        await piece


def test_a_stream_whose_pauses_are_short_goes_on_and_the_first_long_one_ends_it() -> None:
    async def steps(loop: SetClock, timing: Timing, limit: Limit) -> None:
        for _ in range(5):
            piece = loop.create_future()
            waiting = loop.create_task(wait(limit, piece))
            await loop.pass_time(9)
            piece.set_result(None)
            await waiting
            timing.piece()
        waiting = loop.create_task(wait(limit, loop.create_future()))
        await loop.pass_time(9)
        assert not waiting.done(), "the timer of an earlier wait ended this one"
        await loop.pass_time(1)
        with pytest.raises(Overdue) as overdue:
            await waiting
        assert overdue.value.fault.code == "stalled"

    on_set_clock(steps)


def test_a_call_that_is_over_ends_although_pieces_come() -> None:
    async def steps(loop: SetClock, timing: Timing, limit: Limit) -> None:
        for _ in range(12):
            waiting = loop.create_task(wait(limit, loop.create_future()))
            await loop.pass_time(9)
            if waiting.done():
                break
            waiting.cancel()
            timing.piece()
        assert loop.now == 108, "the call had 100 s"
        with pytest.raises(Overdue) as overdue:
            await waiting
        assert overdue.value.fault.code == "call_timeout"

    on_set_clock(steps)


def test_a_client_that_leaves_is_no_fault_of_the_provider() -> None:
    async def steps(loop: SetClock, _: Timing, limit: Limit) -> None:
        waiting = loop.create_task(wait(limit, loop.create_future()))
        await loop.pass_time(9)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    on_set_clock(steps)


def test_nothing_is_cancelled_while_the_reader_of_a_stream_takes_its_time() -> None:
    async def steps(loop: SetClock, timing: Timing, limit: Limit) -> None:
        piece = loop.create_future()
        piece.set_result(None)
        await wait(limit, piece)
        timing.pause()
        await loop.pass_time(50)
        timing.resume()
        waiting = loop.create_task(wait(limit, loop.create_future()))
        await loop.pass_time(9)
        assert not waiting.done()
        await loop.pass_time(1)
        with pytest.raises(Overdue):
            await waiting

    on_set_clock(steps)
