"""`python -m tests.load.soak [--minutes 10]`: mixed load on one server, and whether it is as small afterwards as before.

Jobs, calls, streams that are left, failures, fallbacks and repeats, by the clients that `make chaos` has, and nobody is
killed; beside them pictures of 4 MB, PDFs and clients that never read their streams (`heavy.py`), in both lanes. Memory
stays below 512 MB and may not grow behind the first fifth; when the clients have gone, no file descriptor or task may
be left over and no thread beside those of the pools, and every bill must be right.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from control_plane.api.http.routing import THREADS
from control_plane.storage.database import Database
from control_plane.storage.sqlite import READERS
from tests.load.bench.process import rss_kb
from tests.load.chaos.__main__ import MODES, migrated, new_team, write_config
from tests.load.chaos.checks import find_inconsistencies
from tests.load.chaos.clients import Client
from tests.load.chaos.provider import ChaosProvider
from tests.load.chaos.server import ChaosServer
from tests.load.soak.heavy import ACTS, GROUPS, WRITE_TIMEOUT_S, Heavy
from tests.support.server import MASTER_KEY

CLIENTS = 16
CREDITS = 10**9  # nobody is refused: the load stays mixed
WARM_UP_S = 30  # every thread and connection that is made when first needed has been made
SAMPLE_S = 2.0
QUIET_S = 75  # keep-alive connections of both sides have ended, reports are written
MOST_KB = 512 * 1024  # 512 MB, as the memory limits of containers count them
POOLS = {
    "main, log": 2,
    "SQLite": 1 + READERS,
    "bodies": THREADS,
    "asyncio's": min(32, (os.cpu_count() or 1) + 4),
    "libuv's": 4,
}
MOST_THREADS = sum(POOLS.values())
"""A pool starts a thread when its others are busy, which may be late in a run, and keeps it: no more than these."""
GROWTH = 1.05  # of memory, from the median of the second fifth to that of the last


@dataclass(frozen=True)
class Sample:
    """What the server's process holds."""

    memory_kb: int
    files: int
    threads: int
    tasks: int


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/soak.db"
        await migrated(url)
        async with ChaosProvider.start() as provider:
            config = write_config(folder, provider, **GROUPS)
            settings = {"config": config, "master_key": MASTER_KEY, "write_timeout_s": WRITE_TIMEOUT_S}
            server = ChaosServer(folder, {"database_url": url, **settings})
            await server.start()
            keys = [await new_team(server, mode, *GROUPS, credits_allocated=CREDITS) for mode in MODES]
            clients: list[Client | Heavy] = [Client(server, keys[number % len(keys)]) for number in range(CLIENTS)]
            clients += [Heavy(server, keys[number % len(keys)], act) for number, act in enumerate(ACTS)]
            await load(clients, WARM_UP_S)
            await asyncio.sleep(QUIET_S)
            before = await sample(server)
            samples = await load(clients, options.minutes * 60, server)
            await asyncio.sleep(QUIET_S)
            after = await sample(server)
            exit_code = await server.stop()
        db = Database(url)
        faults = [*await find_inconsistencies(db), *leftovers(before, after, samples)]
        await db.aclose()
        faults += [f"it ended with {exit_code}"] if exit_code else []
    show(samples, before, after, clients, faults)
    sys.exit(1 if faults else 0)


async def load(clients: Sequence[Client | Heavy], seconds: float, server: ChaosServer | None = None) -> list[Sample]:
    """Lets the clients work for so long, and looks at the server meanwhile."""
    stop = asyncio.Event()
    working = [asyncio.create_task(client.run(stop)) for client in clients]
    started = time.monotonic()
    samples = []
    for number in range(1, round(seconds / SAMPLE_S) + 1):
        await asyncio.sleep(started + number * SAMPLE_S - time.monotonic())
        if server is not None:
            samples.append(await sample(server))
    stop.set()
    await asyncio.gather(*working)
    return samples


async def sample(server: ChaosServer) -> Sample:
    pid = server.pid
    async with httpx.AsyncClient(timeout=120) as http:
        told = (await http.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {MASTER_KEY}"})).text
    tasks = re.search(r"^control_plane_tasks(?:\{[^}]*\})? ([0-9.]+)", told, re.MULTILINE)
    assert tasks is not None, told
    proc = Path(f"/proc/{pid}")
    return Sample(
        rss_kb(pid), len([*(proc / "fd").iterdir()]), len([*(proc / "task").iterdir()]), round(float(tasks[1]))
    )


def leftovers(before: Sample, after: Sample, samples: list[Sample]) -> list[str]:
    """What is there that was not, and what grew."""
    fifth = max(1, len(samples) // 5)
    early = median(each.memory_kb for each in samples[fifth : 2 * fifth])
    late = median(each.memory_kb for each in samples[-fifth:])
    found = [
        f"{name}: {getattr(after, name)} after, {getattr(before, name)} before"
        for name in ("files", "tasks")
        if getattr(after, name) > getattr(before, name)
    ]
    found += [f"threads: {after.threads} after, {MOST_THREADS} in full pools"] if after.threads > MOST_THREADS else []
    most = max(each.memory_kb for each in samples)
    found += [f"memory grew from {early} to {late} KB"] if late > early * GROWTH else []
    found += [f"it took {most} KB of memory"] if most > MOST_KB else []
    return found


def show(
    samples: list[Sample], before: Sample, after: Sample, clients: Sequence[Client | Heavy], faults: list[str]
) -> None:
    console = Console(width=120)
    table = Table("when", "memory MB", "files", "threads", "tasks", title="The server's process")
    every = max(1, len(samples) // 20)
    rows = [("before", before), *((f"{number * SAMPLE_S:.0f} s", each) for number, each in enumerate(samples, 1))]
    for when, each in [*rows[::every], ("after", after)]:
        table.add_row(when, f"{each.memory_kb / 1024:.1f}", str(each.files), str(each.threads), str(each.tasks))
    console.print(table)
    kinds: dict[str, Counter[int]] = {}
    for client in clients:
        name = client.act.__name__ if isinstance(client, Heavy) else "ordinary"
        kinds.setdefault(name, Counter()).update(client.statuses)
    for name, statuses in kinds.items():
        console.print(f"{name}, answers by status: {json.dumps(dict(sorted(statuses.items())))}")
    console.print("\n".join(faults) if faults else "flat, and nothing left over")


if __name__ == "__main__":
    asyncio.run(main())
