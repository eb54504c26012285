"""One team for which fifty clients work, beside fifty teams with a client each: whole jobs at two workers on Postgres.

Every creation and completion writes its team's balance. If one team is slower, it serialises; if fifty are dearer, a batch
costs by the teams in it. How many sessions wait for a lock in the meantime is looked up again and again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from tests.load.bench.api import create_team, whole_job
from tests.load.bench.load import Cell, drive
from tests.load.bench.process import Server
from tests.load.bench.report import Ratio, Row, ratio_of, row, text_of
from tests.load.bench.scenarios import Kind, Scenario
from tests.load.bench.servers import database, provider
from tests.load.bench.targets import control_plane

NAME = "hot team"
CLIENTS = 50
WORKERS = 2
SCENARIO = Scenario(Kind.JOB, CLIENTS)
ONE, FIFTY = "one team", f"{CLIENTS} teams"
AIM = 0.15
"""How far goodput and CPU per job of the two may be apart, either way."""
LOOK_S = 0.02
WAITING = """
    SELECT wait_event, count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database() GROUP BY wait_event
"""


@dataclass(slots=True)
class Waits:
    """Sessions found waiting for a lock of the database, by what they waited for, in so many looks."""

    looks: int = 0
    found: Counter[str] = field(default_factory=Counter)

    @property
    def mean(self) -> float:
        """Sessions waiting at a time."""
        return self.found.total() / max(1, self.looks)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `waiting`: sessions that wait for a lock at a time, on the average."""

    row: Row
    waiting: float
    waits: dict[str, int]


@dataclass(frozen=True, slots=True)
class HotTeam:
    """Both, and the ratios of one team to fifty within each round."""

    fifty: Side
    one: Side
    goodput: Ratio
    cpu: Ratio


async def measure(folder: Path, rounds: int, seconds: float, console: Console) -> HotTeam | None:
    """A warm-up that is not counted, and then the rounds. None: no Postgres here. Raises: CallFailedError."""
    async with provider(folder) as config, database(folder, console) as postgres:
        if postgres is None:
            return None
        async with await control_plane(folder, config, NAME, postgres.url, workers=WORKERS) as server:
            keys = [await create_team(server, f"team-{number}") for number in range(CLIENTS)]
            sides = {ONE: [keys[0]] * CLIENTS, FIFTY: keys}
            cells: dict[str, list[Cell]] = {name: [] for name in sides}
            waits = {name: Waits() for name in sides}
            for number in range(-1, rounds):
                for name in (ONE, FIFTY) if number % 2 else (FIFTY, ONE):
                    async with watched(postgres.url, waits[name] if number >= 0 else Waits()):
                        cell = await _cell(server, sides[name], seconds, postgres.pid)
                    if number >= 0:
                        cells[name].append(cell)
    return _compared(cells, waits)


async def _cell(server: Server, keys: Sequence[str], seconds: float, database_pid: int) -> Cell:
    return await drive(
        server, [partial(whole_job, key=key) for key in keys], seconds=seconds, database_pid=database_pid
    )


def _compared(cells: dict[str, list[Cell]], waits: dict[str, Waits]) -> HotTeam:
    one, fifty = cells[ONE], cells[FIFTY]
    one_row, fifty_row = row(SCENARIO, ONE, one, fifty), row(SCENARIO, FIFTY, fifty, ())
    goodput = [_goodput(hot) / _goodput(cool) for hot, cool in zip(one, fifty, strict=True)]
    assert one_row.cpu_ratio is not None
    return HotTeam(
        fifty=Side(fifty_row, waits[FIFTY].mean, dict(waits[FIFTY].found)),
        one=Side(one_row, waits[ONE].mean, dict(waits[ONE].found)),
        goodput=ratio_of(goodput),
        cpu=one_row.cpu_ratio,
    )


def _goodput(cell: Cell) -> float:
    return sum(cell.calls) / cell.seconds


@asynccontextmanager
async def watched(url: str, waits: Waits) -> AsyncIterator[None]:
    """Looks for waiting sessions until the block is left."""

    async def look(connection: "psycopg.AsyncConnection[tuple[str, int]]") -> None:
        while True:
            waits.found.update(dict(await (await connection.execute(WAITING)).fetchall()))
            waits.looks += 1
            await asyncio.sleep(LOOK_S)

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        looking = asyncio.create_task(look(connection))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])


def show(console: Console, found: HotTeam) -> None:
    """Prints both sides and their ratios."""
    table = Table(title=f"Whole jobs of {CLIENTS} clients, {WORKERS} workers, Postgres")
    for heading in ("", "jobs", "jobs/s", "CPU ms", "DB ms", "p50 ms", "p99 ms", "sessions waiting for a lock"):
        table.add_column(heading, justify="right" if heading else "left")
    for side in (found.fifty, found.one):
        line = side.row
        kinds = ", ".join(f"{count} {kind}" for kind, count in side.waits.items())
        table.add_row(
            line.target,
            str(line.calls),
            f"{line.requests_per_s:.1f}",
            f"{line.cpu_ms_per_call:.2f}",
            f"{line.database_cpu_ms_per_call:.2f}",
            f"{line.p50_ms:.0f}",
            f"{line.p99_ms:.0f}",
            f"{side.waiting:.2f}" + (f" ({kinds})" if kinds else ""),
        )
    console.print(table)
    is_met = all(abs(ratio.median - 1) <= AIM for ratio in (found.goodput, found.cpu))
    console.print(
        f"{ONE} to {FIFTY}: goodput {text_of(found.goodput)}, CPU per job {text_of(found.cpu)}; "
        f"{'met' if is_met else 'missed'}: within {AIM:.0%}"
    )
