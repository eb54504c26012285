"""Gauges from the database, for the metrics: held credits, and the results of the last reconciliations."""

import asyncio
import logging
import time
from typing import get_args

from control_plane.credits.store import credits_held
from control_plane.errors import DatabaseUnavailable
from control_plane.metrics import Metrics
from control_plane.reconciliation.service import Source
from control_plane.reconciliation.store import list_made
from control_plane.storage.database import Database

EVERY_S = 30.0
PATIENCE_S = 2.0  # a scrape waits for the database no longer

log = logging.getLogger(__name__)


class MetricsRefresh:
    """Refreshes when the last refresh is a while ago, however often the metrics are scraped."""

    def __init__(self, db: Database, metrics: Metrics) -> None:
        self._db = db
        self._metrics = metrics
        self._due = 0.0
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Brings the metrics up to date; without a database they stay as they were."""
        async with self._looking:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + EVERY_S
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._look()
            except (DatabaseUnavailable, TimeoutError):
                log.warning("gauges_stale")

    async def _look(self) -> None:
        async with self._db.reader() as reader:
            self._metrics.holds_are(await credits_held(reader))
            for source in get_args(Source):
                for made in await list_made(reader, limit=1, source=source):
                    self._metrics.reconciliation_was(
                        source,
                        unexplained=made.unexplained,
                        drift=made.drift_nano_usd,
                        made_at=made.created_at.timestamp(),
                    )
