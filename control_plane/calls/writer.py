"""The durable writer of the call path: jobs, intents, records and LiteLLM's reports, many in one transaction.

Every write of a call goes through here and nowhere else; so does the creation and completion of jobs that clients wait
for. The caller of `open` or `finish` continues when its call is durable, and not before (D4).
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from time import perf_counter
from typing import Any
from uuid import UUID

from control_plane import failpoints
from control_plane.calls.write_items import (
    Batch,
    GroupedWrite,
    Item,
    Opening,
    Turn,
    Withdrawal,
    Written,
    lock_group,
    named,
    place_of,
)
from control_plane.chat import SpendReport
from control_plane.clock import Clock
from control_plane.credits import risk_store
from control_plane.errors import ControlPlaneError, DatabaseBusy, DatabaseUnavailable, OutcomeUnknown, Overloaded
from control_plane.ids import CallId, Subject, TeamId
from control_plane.jobs import admission, calls_store, correction, open_calls_store
from control_plane.jobs.admission import Admitted, Repetition, RiskPolicy
from control_plane.jobs.closing import JobClosing, close_jobs
from control_plane.jobs.creating import Creation, create_jobs
from control_plane.jobs.models import Job
from control_plane.jobs.rules import Intent, Record, counted, not_made
from control_plane.jobs.values import ClosedJob
from control_plane.metrics import Metrics
from control_plane.reconciliation import spend_logs_store as spend_store
from control_plane.storage.batching import Batcher, Place
from control_plane.storage.database import Database, Tx, retry_if_unknown
from control_plane.storage.retrying import retry_until_cancelled

log = logging.getLogger(__name__)

MAX_BATCH = 256
REPORT_PATIENCE_S = 0.1  # no caller waits for a report: it may join the next call's write


class CallWriter:
    """Group commit for calls. Run `run()` and `retry_unwritten()` as tasks; `drain()` before stopping them."""

    def __init__(
        self,
        db: Database,
        worker_id: UUID,
        *,
        clock: Clock,
        background: Database | None = None,
        metrics: Metrics | None = None,
        risk: RiskPolicy | None = None,
        keeps_provider_text: bool = False,
    ) -> None:
        """`keeps_provider_text`: of a provider's fault; otherwise only its status and words are stored. `background`:
        connections for what could not be written the first time.
        """
        self._keeps_provider_text = keeps_provider_text
        self.metrics = metrics or Metrics()
        self._risk = risk or RiskPolicy()
        self._db = db
        self._background = background or db
        self._worker_id = worker_id
        self._clock = clock
        self._batcher: Batcher[Item, Written] = Batcher(
            self._write, place=place_of, classes=len(Turn), waited=self._has_waited, refused=self._was_refused
        )
        self._reporting: set[asyncio.Task[None]] = set()
        self._retry_queue: list[Withdrawal | Record | SpendReport] = []
        self._retrying = asyncio.Lock()
        self.run = self._batcher.run

    @property
    def waiting(self) -> int:
        """The number of waiting items."""
        return self._batcher.waiting

    async def open(self, intent: Intent, creation: Creation | None = None) -> Admitted:
        """Makes the intent durable and holds what the job needs; returns the intent as it was written. `creation`: of its
        job, which is made before it in the same transaction, and stays if the call alone is refused.

        Raises: what making the job raises; JobNotFound, JobNotOwned, JobClosed, AtRiskLimit, JobCapReached, InsufficientCredits; DatabaseUnavailable, and then, should the intent
        be written all the same (its acknowledgement was lost), it is withdrawn when the database is back.
        """
        try:
            written = await self._batcher.put(intent if creation is None else Opening(creation, intent))
        except Overloaded:
            raise  # it never got to the database
        except DatabaseUnavailable:
            self._retry_queue.append(Withdrawal(intent))
            raise
        assert written.opened is not None, "an intent is opened or refused"
        return written.opened

    async def create(self, creation: Creation) -> Job:
        """Makes a job durable. Raises: as `JobWriter.create`."""
        made = (await self._batcher.put(creation)).job
        assert made is not None, "a job is made or refused"
        return made

    async def close(self, closing: JobClosing) -> ClosedJob | None:
        """Closes and bills a job durably; None when it is not ours to close. Raises: DatabaseUnavailable."""
        return (await self._batcher.put(closing)).closed

    async def write_grouped(self, grouped_write: GroupedWrite) -> object:
        """Does it in the next transaction. Raises: what it raises; DatabaseUnavailable."""
        return (await self._batcher.put(grouped_write)).result

    async def repetition(self, subject: Subject) -> Repetition:
        """A repeated call: see `admission`. Raises: DatabaseUnavailable."""
        async with self._db.transaction() as tx:
            return await admission.repetition(tx, subject, now=self._clock())

    async def finish(self, record: Record, closing: JobClosing | None = None) -> Written:
        """Makes the record durable. A caller cancelled while it waits leaves it to be written. `closing`: of its job,
        in the same transaction; `Written.closed` is None if it could not be closed, which the caller retries.

        When the response to its commit is lost it is written again at once, and finds itself: then the call has ended
        as recorded. Raises: DatabaseUnavailable; the record waits then, and is written when the database is back.
        """
        started = perf_counter()
        if record.fault is not None and not self._keeps_provider_text:
            record = replace(record, fault=replace(record.fault, text=""))
        try:
            ending = retry_if_unknown(
                lambda: self._batcher.put(record),
                again=lambda: self._batcher.put(replace(record, may_be_written=True)),
            )
            if closing is None:
                written = await ending
            else:
                written = await self._put_both(ending, replace(closing, after=record.intent.call_id))
        except DatabaseUnavailable as error:
            self._retry_queue.append(replace(record.to_be_kept(), may_be_written=isinstance(error, OutcomeUnknown)))
            raise
        self.metrics.call_recorded(perf_counter() - started)
        return written

    async def _put_both(self, ending: Coroutine[Any, Any, Written], closing: JobClosing) -> Written:
        """They are put one after the other and wait together; of one batch the record is first."""
        recording, closing_it = asyncio.ensure_future(ending), asyncio.ensure_future(self.close(closing))
        await asyncio.wait([recording, closing_it])
        is_closed = closing_it.exception() is None
        return replace(recording.result(), closed=closing_it.result() if is_closed else None)

    def wait_s(self, turn: Turn, team_id: TeamId) -> float:
        """How long a new item of the team would wait for its turn."""
        return self._batcher.wait_s(turn, team_id)

    def require_turn(self, turn: Turn, team_id: TeamId) -> None:
        """Raises: Overloaded when a new item of the team would wait for longer than its request may."""
        self._batcher.require_turn(turn, team_id)

    def report(self, report: SpendReport) -> None:
        """Stores LiteLLM's report of an attempt. No caller waits, so it is written in its own task."""
        task = asyncio.create_task(self._write_report(report))
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)

    async def retry_unwritten(self) -> None:
        """Writes what the database would not take before, until cancelled. Run it as a task beside `run()`."""
        await retry_until_cancelled(self._retry)

    async def drain(self) -> None:
        """Returns when everything given so far is durable, or logged as impossible."""
        if self._reporting:
            await asyncio.wait(self._reporting)
        await self._batcher.drain()
        await self._retry()
        for item in self._retry_queue:
            log.error("record_unwritten", extra=named(item))

    async def _write_report(self, report: SpendReport) -> None:
        try:
            await self._batcher.put(report, patience_s=REPORT_PATIENCE_S)
        except DatabaseUnavailable:
            self._retry_queue.append(report)
        except Exception:
            log.exception("spend_log_unwritten", extra={"call_id": str(report.call_id)})

    async def _retry(self) -> None:
        """Writes what waits, past the queue of customers' writes, and forgets what was written or never will be."""
        async with self._retrying:
            unwritten = list(self._retry_queue)
            for begin in range(0, len(unwritten), MAX_BATCH):
                items = unwritten[begin : begin + MAX_BATCH]
                try:
                    results = await self._write_each(self._background, items)
                except OutcomeUnknown:
                    self._may_be_written(items)
                    return
                except DatabaseUnavailable:
                    return
                except Exception as error:  # noqa: BLE001 - a single item that will never be written
                    results = [error] * len(items)
                for item, result in zip(items, results, strict=True):
                    if isinstance(result, OutcomeUnknown):
                        self._may_be_written([item])
                    if isinstance(result, DatabaseUnavailable):
                        continue
                    if isinstance(result, Exception):  # it will never be written, and must not stop the others
                        log.error("record_unwritten", extra=named(item), exc_info=result)
                    self._retry_queue.remove(item)

    def _may_be_written(self, items: Iterable[Item]) -> None:
        """Records among the items check for themselves when they are written again."""
        for item in items:
            if isinstance(item, Record):
                self._retry_queue[self._retry_queue.index(item)] = replace(item, may_be_written=True)

    def _has_waited(self, place: Place, seconds: float) -> None:
        self.metrics.write_waited(Turn(place.rank).name.lower(), place.owner, seconds)

    def _was_refused(self, place: Place) -> None:
        self.metrics.overloaded(Turn(place.rank).name.lower(), place.owner)

    async def _write(self, items: Sequence[Item]) -> Sequence[Written | Exception]:
        started = perf_counter()
        try:
            return await self._write_each(self._db, items)
        finally:
            self.metrics.flushed(perf_counter() - started)

    async def _write_each(self, db: Database, items: Sequence[Item]) -> Sequence[Written | Exception]:
        """Together, or by team and key when a lock that one of them is under is held elsewhere, or one by one."""
        try:
            return await self._write_together(db, items)
        except DatabaseBusy:
            groups = _by_lock_group(items)
            if len(groups) == 1:
                raise
            writes = [self._write_part(db, [items[position] for position in group]) for group in groups]
            written = await asyncio.gather(*writes)
            results = dict(zip(chain(*groups), chain(*written), strict=True))
            return [results[position] for position in range(len(items))]
        except DatabaseUnavailable:
            raise
        except Exception:
            if len(items) == 1:
                raise
        # one bad row must not fail its neighbours
        return [result for item in items for result in await self._write_part(db, [item])]

    async def _write_part(self, db: Database, items: Sequence[Item]) -> Sequence[Written | Exception]:
        """As `_write_each`; what that raises is the result of each item."""
        try:
            return await self._write_each(db, items)
        except Exception as error:  # noqa: BLE001 - handed to the items' own callers
            return [error] * len(items)

    async def _write_together(self, db: Database, items: Sequence[Item]) -> Sequence[Written | Exception]:
        batch = Batch.of(items)
        first, results = await db.run_in_thread(lambda tx: self._write_batch(tx, batch))
        for call_id in first:
            record = batch.records[call_id]
            self.metrics.call_ended(**counted(record))
            if not record.is_cached:
                self.metrics.call_took(
                    model_group=record.intent.model_group, ms=record.latency_ms, first_chunk_ms=record.first_chunk_ms
                )
        results |= {id(record): Written(is_first=call_id in first) for call_id, record in batch.records.items()}
        return [results.get(id(item), Written(is_first=False)) for item in items]

    async def _write_batch(self, tx: Tx, batch: Batch) -> tuple[set[CallId], dict[int, Written | Exception]]:
        """One transaction: what ends goes before what begins, since it may release what that needs; and what was begun
        before what is new.

        Gives the calls that ended now, and what became of the other items.
        """
        begins = bool(batch.intents or batch.openings or (batch.closings and batch.creations))
        takes_balances = begins or len(batch.teams) > 1  # before it writes any job (D16)
        await calls_store.lock_jobs(tx, batch.jobs, even_one=batch.is_repeated or takes_balances)
        await risk_store.lock_balances(tx, batch.teams, even_one=takes_balances)
        now = self._clock()
        first: set[CallId] = set()
        results: dict[int, Written | Exception] = {}
        if batch.withdrawn:
            open_calls = await open_calls_store.list_of_ids(tx, [intent.call_id for intent in batch.withdrawn])
            batch.records.update({CallId(call.id): not_made(calls_store.intent_of(call), now) for call in open_calls})
        if batch.records:
            first = await admission.end_calls(tx, list(batch.records.values()), now=now)
            again = [each for call_id, each in batch.records.items() if each.may_be_written and call_id not in first]
            if again:
                first |= await correction.settle(tx, again, now=now)
        if batch.reports:
            await spend_store.add_reports(tx, batch.reports)
        closings = [each for each in batch.closings if each.after not in batch.records or each.after in first]
        if closings:
            closed = await close_jobs(tx, closings, now=now)
            results |= {id(each): Written(closed=job) for each, job in zip(closings, closed, strict=True)}
        if batch.intents:
            opened = await admission.open_calls(tx, batch.intents, self._worker_id, now=now, risk=self._risk)
            results |= {id(intent): _written(opened[intent.call_id]) for intent in batch.intents}
        if batch.creations or batch.openings:
            results |= await self._begin_jobs(tx, batch, now)
        for grouped_write in sorted(batch.grouped_writes, key=lambda each: each.order):
            results[id(grouped_write)] = await _run_grouped_write(tx, grouped_write)
        failpoints.reach("in_flush")
        return first, results

    async def _begin_jobs(self, tx: Tx, batch: Batch, now: datetime) -> dict[int, Written | Exception]:
        """New jobs, and then the calls of those that have one."""
        made = await create_jobs(tx, [*batch.creations, *(each.creation for each in batch.openings)], now=now)
        items: list[Creation | Opening] = [*batch.creations, *batch.openings]
        results = {id(each): _made(job) for each, job in zip(items, made, strict=True)}
        begun = [each for each in batch.openings if isinstance(results[id(each)], Written)]
        if begun:
            intents = [each.intent for each in begun]
            opened = await admission.open_calls(tx, intents, self._worker_id, now=now, risk=self._risk)
            results |= {id(each): _written(opened[each.intent.call_id]) for each in begun}
        return results


def _by_lock_group(items: Sequence[Item]) -> Sequence[Sequence[int]]:
    """The positions of items that are under the same locks."""
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(lock_group(item), []).append(position)
    return list(groups.values())


def _written(result: Admitted | ControlPlaneError) -> Written | Exception:
    return result if isinstance(result, ControlPlaneError) else Written(opened=result)


async def _run_grouped_write(tx: Tx, grouped_write: GroupedWrite) -> Written | Exception:
    try:
        return Written(result=await grouped_write.work(tx))
    except DatabaseUnavailable:
        raise
    except ControlPlaneError as error:
        return error


def _made(result: Job | ControlPlaneError) -> Written | Exception:
    return result if isinstance(result, ControlPlaneError) else Written(job=result)
