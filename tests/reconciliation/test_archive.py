"""A month goes from the database into files: what was written is what was there, and no bill changes."""

import asyncio
import gzip
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from control_plane.administration.ledger_verification import LedgerVerifier
from control_plane.errors import Unprocessable
from control_plane.ids import new_id
from control_plane.reconciliation.archive import TABLES, ArchiveService
from control_plane.reconciliation.archiving import MARGIN, Sums
from control_plane.reconciliation.service import ReconciliationService
from control_plane.storage.months import Month
from control_plane.storage.rows import every, values_of
from tests.reconciliation.test_reconcile import change, until_reported
from tests.support.server import COST_NANO_USD, Server, Team
from tests.support.services import Watch

CALLS = 3


def lines(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt") as rows:
        return [json.loads(row) for row in rows]


async def values(server: Server, query: str) -> list[tuple[Any, ...]]:
    async with server.services.db.reader() as reader:
        return [tuple(row) for row in await reader.execute(text(query))]


async def views(team: Team, job_id: str) -> list[dict[str, Any]]:
    """What is shown of a closed job that must stay as it is: its bill, its team's usage, credits and ledger."""
    bill = (await team.complete(job_id)).json()["costs"]
    costs = {name: value for name, value in (await team.costs(job_id)).items() if name != "breakdown"}
    usage = (await team.http.get(f"/api/teams/{team.id}/usage")).json()
    ledger = (await team.http.get(f"/api/teams/{team.id}/credits/transactions")).json()
    return [bill, costs, usage, ledger, await team.credits()]


async def test_an_archived_month_is_in_its_files_and_every_bill_stays(
    server: Server, team: Team, tmp_path: Path
) -> None:
    # given a closed job of three calls, and an open one
    job_id, running = await team.create_job(), await team.create_job()
    for _ in range(CALLS):
        await team.call(job_id)
    assert (await team.complete(job_id)).status_code == 200
    await until_reported(server, CALLS)
    before = await views(team, job_id)
    calls = [str(row[0]).replace("-", "") for row in await values(server, "SELECT id FROM calls ORDER BY id")]

    # then its month is not archived before it is over, nor while a job of it is open
    month = Month.of(datetime.now(UTC))
    clock = Watch(month.plus(1).start + MARGIN - timedelta(seconds=1))
    service = ArchiveService(server.services.db, clock=clock)
    folder = tmp_path / "archive"
    with pytest.raises(Unprocessable, match="not over"):
        await service.export(month, folder)
    clock.move(timedelta(seconds=1))
    with pytest.raises(Unprocessable, match=r"1 job\(s\)"):
        await service.export(month, folder)
    assert (await team.complete(running, "cancelled")).status_code == 200
    assert not folder.exists()
    before = [*before[:2], *(await views(team, job_id))[2:]]

    # when it is exported, the files hold what the database does, for their owner alone
    exported = await service.export(month, folder)
    assert exported.tables == {name: Sums(CALLS, CALLS * COST_NANO_USD) for name in ("calls", "spend_logs")}
    written = {name: lines(folder / f"{name}-{month}.jsonl.gz") for name in exported.tables}
    assert [row["id"].replace("-", "") for row in written["calls"]] == calls
    assert sum(row["cost_nano_usd"] for row in written["spend_logs"]) == CALLS * COST_NANO_USD
    assert {row["job_id"] for row in written["calls"]} == {job_id}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == len(exported.tables), "nothing unfinished is left"
    assert await values(server, "SELECT count(*) FROM calls") == [(CALLS,)]
    with pytest.raises(Unprocessable, match="exists already"):
        await service.export(month, folder)
    with pytest.raises(Unprocessable, match="archive those months first"):
        await ArchiveService(server.services.db, clock=Watch(month.plus(3).start)).export(month.plus(1), folder)

    # and nothing is removed that the files do not hold
    await change(server, "UPDATE calls SET cost_nano_usd = cost_nano_usd + 1")
    with pytest.raises(Unprocessable, match="Nothing was removed"):
        await service.remove(exported)
    await change(server, "UPDATE calls SET cost_nano_usd = cost_nano_usd - 1")
    assert await values(server, "SELECT count(*) FROM calls") == [(CALLS,)]

    # and when it is removed, bills, usage and ledger are as they were, and the reconciliation has nothing to ask
    await service.remove(exported)
    assert await values(server, "SELECT count(*) FROM calls") == [(0,)]
    assert await values(server, "SELECT count(*) FROM spend_logs") == [(0,)]
    after = await views(team, job_id)
    by_kind = before[0].pop("usage"), after[0].pop("usage")
    assert by_kind[0] == by_kind[1], "the totals are the job's own"
    assert after == before
    assert (await team.costs(job_id))["breakdown"] == []
    assert (await team.http.get(f"/api/jobs/{job_id}")).status_code == 200
    assert (await LedgerVerifier(server.services.db).run()).discrepancies == []
    with pytest.raises(Unprocessable, match="was archived on"):
        await service.export(month, tmp_path / "again")


async def test_a_row_that_is_written_while_its_month_is_removed_stays(
    server: Server, team: Team, tmp_path: Path
) -> None:
    job_id = await team.create_job()
    await team.call(job_id)
    await team.complete(job_id)
    await until_reported(server, 1)
    month = Month.of(datetime.now(UTC))
    over, compared = month.plus(1).start + MARGIN, asyncio.Event()

    def clock() -> datetime:
        compared.set()
        return over

    archive = ArchiveService(server.services.db, clock=clock)
    exported = await archive.export(month, tmp_path)
    compared.clear()
    async with server.services.db.transaction() as tx:
        if not server.services.db.is_sqlite:
            await tx.execute(text("LOCK TABLE calls, spend_logs IN SHARE ROW EXCLUSIVE MODE"))
        removing = asyncio.create_task(archive.remove(exported))
        await compared.wait()
        for table, model in TABLES.items():
            row = dict((await tx.execute(every(model))).mappings().one())
            await tx.execute(insert(model).values(values_of(model(**row | {"id": new_id()}))))
            assert row["id"], table
    await removing
    for table in TABLES:
        assert await values(server, f"SELECT count(*) FROM {table}") == [(1,)]
    again = await archive.export(month, tmp_path / "again")
    await archive.remove(again)
    assert again.tables == exported.tables
    noted = "SELECT calls, spend_logs FROM archived_months"
    assert await values(server, noted) == [(2, 2)]


async def test_what_is_reported_of_an_archived_call_is_no_report_of_an_unknown_one(
    server: Server, team: Team, tmp_path: Path
) -> None:
    """A call of a month's last second is reported in the first one of the next."""
    job_id = await team.create_job()
    await team.call(job_id)
    await team.complete(job_id)
    await until_reported(server, 1)
    month = Month.of(datetime.now(UTC))
    late = (month.plus(1).first_id.int >> 80) + 1000
    async with server.services.db.transaction() as tx:
        if server.services.db.is_sqlite:
            await tx.execute(text(f"UPDATE spend_logs SET id = '{late:012x}' || substr(id, 13)"))
        else:
            plain = "replace(CAST(id AS text), '-', '')"
            await tx.execute(text(f"UPDATE spend_logs SET id = CAST('{late:012x}' || substr({plain}, 13) AS uuid)"))
    archive = ArchiveService(server.services.db, clock=Watch(month.plus(1).start + MARGIN))
    await archive.remove(await archive.export(month, tmp_path))
    assert await values(server, "SELECT count(*) FROM spend_logs") == [(1,)]
    now = datetime.now(UTC)
    found = await ReconciliationService(server.services.db, clock=lambda: now).reconcile(
        "embedded", now - timedelta(hours=1)
    )
    assert (found.unexplained, found.archived_until) == (0, month.plus(1).start)
