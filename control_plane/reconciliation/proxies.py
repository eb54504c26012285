"""Fetches the spend logs of a LiteLLM proxy: from its database, or over its API."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from control_plane.errors import DatabaseUnavailable
from control_plane.reconciliation import proxy_store
from control_plane.reconciliation.models import ProxySpendLog
from control_plane.reconciliation.proxy_store import ProxyUnreachable
from control_plane.storage.database import Database

PAGE = 1000
OVERLAP = timedelta(minutes=10)
"""Rows arrive late and out of order: what is a little older is read again."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The source of LiteLLM proxies' spend logs, in their database or behind their API, and our deployments that such a
    proxy serves.
    """

    deployments: Collection[str]
    database_url: str | None = None
    url: str = ""
    key: str = ""

    def logs(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[ProxySpendLog]]:
        """Pages of its logs from a time on. Raises: ProxyUnreachable."""
        if self.database_url is not None:
            return logs_in_database(self.database_url, since)
        return logs_over_api(self.url, self.key, since, until)


async def logs_in_database(url: str, since: datetime) -> AsyncIterator[Sequence[ProxySpendLog]]:
    """Pages of the logs in a proxy's own Postgres. Raises: ProxyUnreachable, InvalidConfig."""
    db = Database(url, pool_size=2)
    try:
        after = None
        while True:
            async with db.reader(is_long=True) as reader:
                rows = await proxy_store.list_logs(reader, since=since - OVERLAP, after=after, limit=PAGE)
            if not rows:
                return
            yield [proxy_store.log_of(row) for row in rows]
            after = (rows[-1]["startTime"], rows[-1]["request_id"])
    except DatabaseUnavailable as error:
        raise ProxyUnreachable("The database of the LiteLLM proxy cannot be reached.") from error
    finally:
        await db.aclose()


async def logs_over_api(url: str, key: str, since: datetime, until: datetime) -> AsyncIterator[Sequence[ProxySpendLog]]:
    """Pages of the logs as `GET /spend/logs/v2` gives them. Raises: ProxyUnreachable.

    It counts up to 10,000 logs and no further, so `total_pages` may be too low: a full page is never the last.
    """
    headers = {"Authorization": f"Bearer {key}"}
    page = 1
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        while True:
            answer = await _page(http, page, since - OVERLAP, until)
            yield [proxy_store.log_of(row) for row in answer["data"]]
            if page >= answer["total_pages"] and len(answer["data"]) < PAGE:
                return
            page += 1


async def _page(http: httpx.AsyncClient, page: int, since: datetime, until: datetime) -> Mapping[str, Any]:
    asked: dict[str, str | int] = {
        "start_date": _said(since),
        "end_date": _said(until),
        "page": page,
        "page_size": PAGE,
        "sort_by": "startTime",
        "sort_order": "asc",
    }
    try:
        answer = await http.get("/spend/logs/v2", params=asked)
    except httpx.HTTPError as error:
        raise ProxyUnreachable(f"The LiteLLM proxy cannot be reached: {type(error).__name__}.") from error
    if answer.status_code != httpx.codes.OK:
        raise ProxyUnreachable(f"The LiteLLM proxy answered {answer.status_code} to /spend/logs/v2.")
    found: Mapping[str, Any] = answer.json()
    return found


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
