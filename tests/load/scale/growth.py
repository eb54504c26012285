"""What everything costs when the tables are full: a real job, copied a hundred thousand times with its calls."""

import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from tests.load.scale.fleet import Fleet, body

TEAMS = 20
CALLS_OF_A_JOB = 5
TRIES = 40
SPAN_S = 300 * 86_400
TABLES = ("jobs", "calls", "spend_logs")
WAL = "WAL per job of one call, KB"
SIZES = """WITH parts AS (SELECT '{table}'::regclass AS relid UNION SELECT relid FROM pg_partition_tree('{table}'))
    SELECT (SELECT count(*) FROM {table}), sum(pg_table_size(relid))::bigint, sum(pg_indexes_size(relid))::bigint FROM parts"""
"""Of a table and its partitions."""


async def measure(fleet: Fleet, url: str, console: Console, *, most: int) -> None:
    """Fills the tables tenfold, again and again up to `most` calls, and prints how long everything takes each time."""
    keys = [await fleet.team(f"team-{number}") for number in range(TEAMS)]
    sizes = [10**power for power in range(3, 10) if 10**power <= most]
    columns: dict[int, Mapping[str, float]] = {}
    async with fleet.client(keys[0]) as http, await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
        template = await _template(http)
        made = 0
        for size in sizes:
            await _fill(database, template, made, size, most)
            made = size
            before = await _wal(database)
            columns[size] = await _costs(http, "team-0")
            columns[size] = {**columns[size], WAL: (await _wal(database) - before) / TRIES / 1000}
        table = Table("ms, median", *(f"{size:,} calls" for size in sizes), title="Growth, on Postgres")
        for name in columns[sizes[0]]:
            table.add_row(name, *(f"{columns[size][name]:.1f}" for size in sizes))
        console.print(table)
        bytes_ = Table("bytes per call", "rows", "table", "indexes", f"per job of {CALLS_OF_A_JOB} calls")
        for name in TABLES:
            found = await database.execute(SIZES.format(table=name))
            rows, heap, indexes = await found.fetchone() or (0, 0, 0)
            job = (heap + indexes) / made * CALLS_OF_A_JOB
            bytes_.add_row(name, f"{rows:,}", f"{heap / made:.0f}", f"{indexes / made:.0f}", f"{job:.0f}")
        console.print(bytes_)


async def _wal(database: "psycopg.AsyncConnection[tuple[Any, ...]]") -> int:
    """How many bytes of log were written since the database was made; the pages that a checkpoint repeats count, too."""
    found = await database.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    (position,) = await found.fetchone() or (0,)
    return int(position)


async def _template(http: httpx.AsyncClient) -> str:
    """A real job of some calls, closed and billed."""
    created = (await http.post("/api/jobs/create", json={"job_type": "scale"})).json()["job_id"]
    call = {name: value for name, value in body().items() if name != "job_type"}
    for _ in range(CALLS_OF_A_JOB):
        assert (await http.post(f"/api/jobs/{created}/llm-call", json=call)).status_code == 200
    closed = await http.post(f"/api/jobs/{created}/complete", json={"status": "completed"})
    assert closed.status_code == 200, closed.text
    return str(created)


async def _fill(
    database: "psycopg.AsyncConnection[tuple[object, ...]]", job: str, made: int, size: int, most: int
) -> None:
    """Copies until there are `size` calls. Ids ascend with time, as real ones do; teams take turns."""
    first, last = made // CALLS_OF_A_JOB, size // CALLS_OF_A_JOB
    then = f"now() - make_interval(secs => {SPAN_S} * (1 - (n * {CALLS_OF_A_JOB})::float / {most}))"
    team = f"'team-' || (n %% {TEAMS})"
    new = {
        "jobs": {"id": _id("01900000", "n"), "team_id": team, "created_at": then, "completed_at": then},
        "calls": {
            "id": _id("01900001", f"n * {CALLS_OF_A_JOB} + t.nth"),
            "job_id": _id("01900000", "n"),
            "team_id": team,
            "created_at": then,
        },
        "spend_logs": {
            "id": _id("01900002", f"n * {CALLS_OF_A_JOB} + t.nth"),
            "call_id": _id("01900001", f"n * {CALLS_OF_A_JOB} + t.nth"),
        },
    }
    source = {
        "jobs": "SELECT * FROM jobs WHERE id = %(job)s",
        "calls": "SELECT *, row_number() OVER () - 1 AS nth FROM calls WHERE job_id = %(job)s",
        "spend_logs": "SELECT *, row_number() OVER () - 1 AS nth FROM spend_logs WHERE call_id IN (SELECT id FROM calls WHERE job_id = %(job)s)",
    }
    for table in TABLES:
        found = await database.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
        )
        names = [str(name) for (name,) in await found.fetchall()]
        chosen = ", ".join(new[table].get(name, f't."{name}"') for name in names)
        listed = ", ".join(f'"{name}"' for name in names)
        await database.execute(
            f"INSERT INTO {table} ({listed}) SELECT {chosen} FROM ({source[table]}) t, generate_series({first}, {last - 1}) n",
            {"job": job},
        )
    await database.execute("ANALYZE")


def _id(prefix: str, number: str) -> str:
    return f"('{prefix}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


async def _costs(http: httpx.AsyncClient, team: str) -> dict[str, float]:
    """Milliseconds, the median of some tries, of what customers and administrators do all day."""
    job = ""
    call = {name: value for name, value in body().items() if name != "job_type"}

    async def create() -> httpx.Response:
        nonlocal job
        answer = await http.post("/api/jobs/create", json={"job_type": "scale"})
        job = answer.json()["job_id"]
        return answer

    asked: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
        "create": create,
        "call, beside the provider": lambda: http.post(f"/api/jobs/{job}/llm-call", json=call),
        "complete": lambda: http.post(f"/api/jobs/{job}/complete", json={"status": "completed"}),
        "costs of a job": lambda: http.get(f"/api/jobs/{job}/costs"),
        "list of jobs, first page": lambda: http.get(f"/api/teams/{team}/jobs"),
        "usage of a month": lambda: http.get(f"/api/teams/{team}/usage"),
        "credits": lambda: http.get(f"/api/teams/{team}/credits"),
    }
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(TRIES):
        for name, ask in asked.items():
            started = time.perf_counter()
            answer = await ask()
            beside = answer.json()["metadata"]["latency_ms"] if name.startswith("call") else 0
            took[name].append((time.perf_counter() - started) * 1000 - beside)
            assert answer.status_code == 200, answer.text
    return {name: median(each) for name, each in took.items()}
