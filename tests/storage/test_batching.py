"""Group commit: many callers, one write, each told of its own; nothing dropped, nobody left waiting."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control_plane.storage.batching import Batcher
from tests.support.patience import PATIENCE_S


class Sink:
    """Where batches are written: remembers them, and writes when the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_broken = False

    async def write(self, items: Sequence[int]) -> Sequence[str | Exception]:
        await self.gate.wait()
        self.batches.append(list(items))
        if self.is_broken:
            raise ConnectionError("the database is away")
        return [ValueError(f"{item} is poisoned") if item < 0 else f"wrote {item}" for item in items]

    @property
    def written(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


@asynccontextmanager
async def running(batcher: Batcher[Any, str]) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run())
    try:
        yield
    finally:
        await batcher.drain()
        task.cancel()
        await asyncio.wait([task])


def put(batcher: Batcher[int, str], *items: int) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batcher.put(item)) for item in items]


async def test_each_caller_learns_of_its_own_item_in_few_writes() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher):
        answers = await asyncio.gather(*put(batcher, *range(100)))
    assert answers == [f"wrote {item}" for item in range(100)]
    assert sink.written == list(range(100)), "the order of arrival is kept"
    assert len(sink.batches) < 10


async def test_a_poisoned_item_fails_alone() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher):
        one, bad, two = await asyncio.gather(*put(batcher, 1, -1, 2), return_exceptions=True)
    assert (one, two) == ("wrote 1", "wrote 2")
    assert isinstance(bad, ValueError)


async def test_a_write_that_fails_tells_everybody_and_the_next_one_is_tried() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher):
        sink.is_broken = True
        failures = await asyncio.gather(*put(batcher, 1, 2, 3), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ConnectionError] * 3
        sink.is_broken = False
        assert await batcher.put(4) == "wrote 4"


async def test_a_writer_that_stands_still_makes_callers_wait_and_drops_nothing() -> None:
    sink = Sink()
    sink.gate.clear()
    batcher = Batcher(sink.write, max_batch=2)
    async with running(batcher):
        callers = put(batcher, *range(20))
        done, _ = await asyncio.wait(callers, timeout=0.05)
        assert not done
        sink.gate.set()
        assert await asyncio.gather(*callers) == [f"wrote {item}" for item in range(20)]
    assert sink.written == list(range(20))
    assert max(map(len, sink.batches)) == 2


async def test_a_patient_item_rides_along_with_the_next_one() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher):
        patient = asyncio.create_task(batcher.put(1, patience_s=60))
        await asyncio.sleep(0.02)
        assert not sink.batches
        assert await batcher.put(2) == "wrote 2"
        assert await patient == "wrote 1"
    assert sink.batches == [[1, 2]]


async def test_a_patient_item_that_stays_alone_is_written_after_its_patience() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher), asyncio.timeout(PATIENCE_S):
        assert await batcher.put(1, patience_s=0.02) == "wrote 1"


async def test_draining_does_not_wait_for_patience() -> None:
    sink = Sink()
    batcher = Batcher(sink.write)
    async with running(batcher):
        patient = asyncio.create_task(batcher.put(1, patience_s=60))
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await batcher.drain()
        assert sink.written == [1]
        assert await patient == "wrote 1"


async def test_the_item_of_a_caller_that_gave_up_is_written_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.gate.clear()
    batcher = Batcher(sink.write)
    async with running(batcher):
        gone, bad, stays = put(batcher, 1, -2, 3)
        await asyncio.sleep(0.02)
        gone.cancel()
        bad.cancel()
        sink.gate.set()
        assert await stays == "wrote 3"
    assert sink.written == [1, -2, 3]
    assert "write_failed_caller_gone" in caplog.text, "a failure nobody hears is in the log"
