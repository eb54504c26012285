"""Compares what was recorded with what was reported, keeps the result, and drops logs that are old enough."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from control_plane.chat import Usage
from control_plane.clock import Clock
from control_plane.ids import first_id_at, new_id
from control_plane.jobs.models import Call
from control_plane.spend import reconcile_store as store
from control_plane.spend.models import ProxySpendLog, Reconciliation, SpendLog
from control_plane.spend.reconciling import Reconciled, RecordedCall, judge
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

PAGE = 1000
EVERY = timedelta(hours=1)
LOOK_BACK = timedelta(hours=24)
MARGIN = timedelta(hours=25)
"""How much older than a call its id may be: a day, in which a request with a key may be repeated under the first one's
time, and an hour between the wall clock, which ids carry, and the house's.
"""

MOST_STRAYS = 10_000

Source = Literal["embedded", "proxy"]
Progress = Callable[[int, int], None]
"""Told how many calls were compared, and of how many."""

Price = Callable[[str, Usage], NanoUsd | None]
"""What tokens cost at a deployment, by the price list; None for one that is not in the file any more."""


class ReconcileService:
    """The reconciliation. `kept_for`: how long spend logs are kept; None: for ever. `price` is the third witness."""

    def __init__(
        self, db: Database, *, clock: Clock, kept_for: timedelta | None = None, price: Price | None = None
    ) -> None:
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
        prices_all: bool = True,
        progress: Progress = lambda _done, _all: None,
    ) -> Reconciled:
        """Compares every call since then, of some deployments or of all, and keeps the sums.

        `prices_all`: asks the price list about every call, or only about those that nothing was reported of.
        """
        now = self._clock()
        table: type[SpendLog | ProxySpendLog] = SpendLog if source == "embedded" else ProxySpendLog
        found = Reconciled(source, since, now)
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
                priced = self._priced(call) if prices_all or not reported else None
                verdict = judge(call, reported, now=now, logs_since=logs_since, priced=priced)
                found.add_call(call, verdict)
            after = calls[-1].call_id
            done += len(calls)
            progress(done, max(done, total))
        async with self._db.reader(is_long=True) as reader:
            for attempt in await store.list_strays(reader, table, since=since, limit=MOST_STRAYS):
                found.add_stray(attempt)
        await self._keep(found)
        return found

    async def reconcile_hourly(self) -> None:
        """Compares what came since the last time, and the hour before it, once an hour; a chore of the sweeper."""
        now = self._clock()
        async with self._db.reader() as reader:
            last = await store.list_made(reader, limit=1)
        if last and now - last[0].created_at < EVERY:
            return
        since = max(now - LOOK_BACK, last[0].until - EVERY) if last else now - LOOK_BACK
        found = await self.reconcile("embedded", since, prices_all=False)
        level = logging.WARNING if found.unexplained else logging.INFO
        log.log(level, "reconciled", extra={"unexplained": found.unexplained, "drift_nano_usd": found.drift})

    async def import_logs(self, logs: Sequence[ProxySpendLog]) -> None:
        """Keeps logs of a proxy; importing them again changes nothing."""
        async with self._db.transaction() as tx:
            await store.import_logs(tx, logs)

    async def made(self, who: Principal, *, limit: int) -> Sequence[Reconciliation]:
        """The last comparisons. Raises: AdminOnly."""
        who.may_administer()
        async with self._db.reader() as reader:
            return await store.list_made(reader, limit=limit)

    async def lost(self, who: Principal, since: datetime, *, before: UUID | None, limit: int) -> Sequence[Call]:
        """Calls whose process died, newest first. Raises: AdminOnly."""
        who.may_administer()
        async with self._db.reader() as reader:
            return await store.list_lost(reader, since=since, before=before, limit=limit)

    async def drop_old_logs(self) -> int:
        """Drops spend logs past their time, which changes no bill; returns how many. A chore of the sweeper."""
        if self._kept_for is None:
            return 0
        return await self.drop_logs(self._clock() - self._kept_for)

    async def drop_logs(self, before: datetime) -> int:
        """Drops spend logs from before that time; returns how many."""
        dropped = 0
        while True:
            async with self._db.transaction() as tx:
                count = await store.drop_logs(tx, before=first_id_at(before), limit=PAGE)
            dropped += count
            if count < PAGE:
                return dropped

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
