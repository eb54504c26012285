"""Compares recorded with reported usage, stores the result, and deletes old logs."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from control_plane.clock import Clock
from control_plane.completion.usage import Usage
from control_plane.ids import first_id_at, new_id
from control_plane.jobs.models import Call
from control_plane.reconciliation import archive_store, retention, store
from control_plane.reconciliation.models import ProxySpendLog, Reconciliation, SpendLog
from control_plane.reconciliation.proxies import Proxy
from control_plane.reconciliation.proxy_store import ProxyUnreachable
from control_plane.reconciliation.rules import Reconciled, RecordedCall, compare
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Permission
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

PAGE = 1000
EVERY = timedelta(hours=1)
LOOK_BACK = timedelta(hours=24)
MARGIN = timedelta(hours=25)
"""How much older than a call its id may be: a day, in which a request with a key may be repeated under the first one's
time, and an hour between the wall clock, which ids carry, and the service's.
"""

MOST_STRAYS = 10_000

Source = Literal["embedded", "proxy"]
Progress = Callable[[int, int], None]
"""Called with the number of compared calls, and of all."""

Price = Callable[[str, Usage], NanoUsd | None]
"""The price of tokens at a deployment, by the price list; None for one that is no longer in the file."""


class ReconciliationService:
    """The reconciliation. `kept_for`: how long spend logs are kept; None: for ever. `price` is the third witness.

    `proxy`: where the logs of LiteLLM proxies behind the Router are at the moment; None: there are none.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        kept_for: timedelta | None = None,
        price: Price | None = None,
        proxy: Callable[[], Proxy | None] = lambda: None,
    ) -> None:
        self._proxy = proxy
        self._proxy_due = self._drop_due = clock()
        self._price = price
        self._db = db
        self._clock = clock
        self._kept_for = kept_for

    async def reconcile(
        self,
        source: Source,
        since: datetime,
        *,
        deployments: Collection[str] | None = None,
        is_brief: bool = False,
        progress: Progress = lambda _done, _all: None,
    ) -> Reconciled:
        """Compares every call since then, of some deployments or of all, and stores the sums.

        `is_brief`: uses the price list only for calls that cost nothing or without a report, and makes no sums by job.
        """
        now = self._clock()
        table: type[SpendLog | ProxySpendLog] = SpendLog if source == "embedded" else ProxySpendLog
        found = Reconciled(source, since, now, has_jobs=not is_brief)
        logs_since = now - self._kept_for if self._kept_for else None
        after = first_id_at(since - MARGIN)
        done = 0
        async with self._db.reader(is_long=True) as reader:
            total = await store.count_calls(reader, after=after, since=since)
        while True:
            async with self._db.reader(is_long=True) as reader:
                calls = await store.list_ended(reader, after=after, since=since, deployments=deployments, limit=PAGE)
                attempts = await store.list_attempts(reader, table, [call.call_id for call in calls])
            if not calls:
                break
            for call in calls:
                reported = attempts.get(call.call_id, ())
                priced = None if is_brief and reported and call.cost else self._priced(call)
                verdict = compare(call, reported, now=now, logs_since=logs_since, priced=priced)
                found.add_call(call, verdict)
            after = calls[-1].call_id
            done += len(calls)
            progress(done, max(done, total))
        async with self._db.reader(is_long=True) as reader:
            archived = found.archived_until = await archive_store.archived_until(reader)
            strays = await store.list_strays(reader, table, since=since, limit=MOST_STRAYS, archived_until=archived)
        for attempt in strays:
            found.add_stray(attempt)
        await self._keep(found)
        return found

    async def reconcile_proxy(
        self, since: datetime, *, is_brief: bool = False, progress: Progress = lambda _done, _all: None
    ) -> Reconciled:
        """Imports the proxies' logs since then and compares the calls that ran on them. Raises: ProxyUnreachable."""
        proxy = self._proxy()
        assert proxy is not None, "only priced calls have one"
        async for logs in proxy.logs(since, self._clock()):
            await self.import_logs(logs)
        return await self.reconcile("proxy", since, deployments=proxy.deployments, is_brief=is_brief, progress=progress)

    async def reconcile_hourly(self) -> None:
        """Compares what came since the last time, and the hour before it, once an hour; a periodic task."""
        since = await self._due_since("embedded")
        if since is not None:
            _tell(await self.reconcile("embedded", since, is_brief=True))

    async def reconcile_proxy_hourly(self) -> None:
        """The same with the logs of proxies, if there are any; unreachable ones are retried in an hour."""
        if self._proxy() is None or self._clock() < self._proxy_due:
            return
        since = await self._due_since("proxy")
        if since is None:
            return
        self._proxy_due = self._clock() + EVERY
        try:
            _tell(await self.reconcile_proxy(since, is_brief=True))
        except ProxyUnreachable as error:
            log.warning("proxy_unreachable", extra={"reason": error.message})

    async def _due_since(self, source: Source) -> datetime | None:
        """From when on to compare, if it is an hour since the last time."""
        now = self._clock()
        async with self._db.reader() as reader:
            last = await store.list_made(reader, limit=1, source=source)
        if last and now - last[0].created_at < EVERY:
            return None
        return max(now - LOOK_BACK, last[0].until - EVERY) if last else now - LOOK_BACK

    async def import_logs(self, logs: Sequence[ProxySpendLog]) -> None:
        """Keeps logs of a proxy; importing them again changes nothing."""
        async with self._db.transaction() as tx:
            await store.import_logs(tx, logs)

    async def made(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Reconciliation]:
        """The comparisons, newest first; `before` is the id of the last one seen. Raises: AdminOnly."""
        principal.require(Permission.RECONCILIATION_READ, PLATFORM)
        async with self._db.reader() as reader:
            return await store.list_made(reader, limit=limit, before=before)

    async def lost(self, principal: Principal, since: datetime, *, before: UUID | None, limit: int) -> Sequence[Call]:
        """Calls whose process died, newest first. Raises: AdminOnly."""
        principal.require(Permission.RECONCILIATION_READ, PLATFORM)
        async with self._db.reader() as reader:
            return await store.list_lost(reader, since=since, before=before, limit=limit)

    async def drop_old_logs(self) -> int:
        """Drops spend logs past their time, once an hour, which changes no bill; returns how many. A periodic task.

        A month that has a partition goes as a whole, when all of it is past its time. Raises: as `retention.drop_logs`.
        """
        now = self._clock()
        if self._kept_for is None or now < self._drop_due:
            return 0
        self._drop_due = now + EVERY
        return await retention.drop_logs(self._db, now - self._kept_for, only_whole_months=True)

    async def drop_logs(self, before: datetime) -> int:
        """Drops spend logs from before that time, imported ones too; returns how many. Raises: as `retention.drop_logs`."""
        return await retention.drop_logs(self._db, before, only_whole_months=False)

    def _priced(self, call: RecordedCall) -> int | None:
        if self._price is None or call.deployment_id is None:
            return None
        return self._price(call.deployment_id, call.usage)

    async def _keep(self, found: Reconciled) -> None:
        made = Reconciliation(
            id=new_id(),
            source=found.source,
            since=found.since,
            until=found.until,
            counts={finding.value: asdict(each) for finding, each in found.by_finding.items()},
            drift_nano_usd=found.drift,
            unexplained=found.unexplained,
            created_at=self._clock(),
        )
        async with self._db.transaction() as tx:
            await store.add(tx, made)


def _tell(found: Reconciled) -> None:
    level = logging.WARNING if found.unexplained else logging.INFO
    fields = {"source": found.source, "unexplained": found.unexplained, "drift_nano_usd": found.drift}
    log.log(level, "reconciled", extra=fields)
