"""Group commit: many callers' writes in one transaction, each caller told of its own.

Knows no domain: what an item is and how a batch is written is the business of the `write` it is given. One flusher
writes; what arrives meanwhile forms the next batch. At low load an item is written at once; under load the flusher
lingers a moment so that batches grow (10 ms were measured to make a durable row six times cheaper).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

Write = Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]
"""Writes a batch durably; returns each item's result, or the error that is its alone. May raise: then all failed."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    """An item in the queue, and who is told about it."""

    item: Item
    done: asyncio.Future[Result]
    is_patient: bool


class Batcher(Generic[Item, Result]):
    """A bounded queue in front of one writer. A full queue makes callers wait; nothing is ever dropped."""

    def __init__(
        self,
        write: Write[Item, Result],
        *,
        max_batch: int = 256,
        capacity: int = 10_000,
        linger_s: float = 0.005,
    ) -> None:
        self._write = write
        self._max_batch = max_batch
        self._linger_s = linger_s
        self._due = asyncio.Event()
        self._queue: asyncio.Queue[_Waiting[Item, Result]] = asyncio.Queue(capacity)

    @property
    def waiting(self) -> int:
        """How many items are in the queue."""
        return self._queue.qsize()

    async def put(self, item: Item, *, patience_s: float = 0) -> Result:
        """Waits until the item is durable. A caller that is cancelled meanwhile leaves its item to be written.

        With patience the item does not start a batch of its own for so long; the next impatient one takes it along.
        """
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(item, done, is_patient=patience_s > 0))
        if patience_s:
            asyncio.get_running_loop().call_later(patience_s, self._due.set)
        else:
            self._due.set()
        return await done

    async def run(self) -> None:
        """Writes batches until cancelled. Run it as a task of the runtime; `drain()` before cancelling it."""
        is_busy = False
        while True:
            await self._due.wait()
            if is_busy and self._queue.qsize() < self._max_batch:
                await asyncio.sleep(self._linger_s)
            self._due.clear()
            while batch := self._take():
                is_busy = sum(not waiting.is_patient for waiting in batch) > 1
                await self._flush(batch)

    def _take(self) -> "list[_Waiting[Item, Result]]":
        batch: list[_Waiting[Item, Result]] = []
        while len(batch) < self._max_batch and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def drain(self) -> None:
        """Returns when everything put so far has been written or has failed."""
        self._due.set()
        await self._queue.join()

    async def _flush(self, batch: "list[_Waiting[Item, Result]]") -> None:
        results: Sequence[Result | Exception]
        try:
            results = await self._write([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 - a flusher that died would hang every caller; each is told instead
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            done = waiting.done
            if isinstance(result, Exception):
                if done.cancelled():
                    log.error("write_failed_unheard", exc_info=result)
                else:
                    done.set_exception(result)
            elif not done.cancelled():
                done.set_result(result)
            self._queue.task_done()
