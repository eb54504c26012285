"""`python -m tests.load.adversary`: makes the attacks of `attacks.py` on a real server while a hundred ordinary calls run.

During each, `/health/live` must be answered within 250 ms, or three times the longest wait without an attack where the
machine is busy otherwise; memory may not grow by more than 400 MB; and the ledger must be consistent in the end.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from control_plane.storage.database import Database
from tests.load.adversary import probe
from tests.load.adversary.attacks import ATTACKS, Target
from tests.load.chaos.__main__ import migrated, new_team, write_config
from tests.load.chaos.checks import find_inconsistencies
from tests.load.chaos.provider import ChaosProvider
from tests.load.chaos.server import ChaosServer
from tests.support.server import MASTER_KEY

MOST_WAIT_S = 0.25
MOST_GROWTH_MB = 400
ORDINARY_CALLS = 100
AT_ONCE = 8
"""Of each attack."""


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/adversary.db"
        await migrated(url)
        db = Database(url)
        try:
            async with ChaosProvider.start() as provider:
                config = write_config(folder, provider)
                server = ChaosServer(folder, {"database_url": url, "config": config, "master_key": MASTER_KEY})
                await server.start()
                problems = await attacked(server, folder)
                problems += await find_inconsistencies(db)
                if await server.stop():
                    problems.append("the server did not stop in order")
        finally:
            await db.aclose()
    for problem in problems:
        Console().print(problem, style="red", soft_wrap=True)
    sys.exit(bool(problems))


async def attacked(server: ChaosServer, folder: Path) -> list[str]:
    """Makes every attack, prints what it did, and returns what was wrong."""
    key = await new_team(server, "job_based", credits_allocated=100_000)
    target = Target(server.url, key)
    lines = folder / "waits"
    with lines.open("wb") as output:
        port = str(urlsplit(server.url).port)
        probing = await asyncio.create_subprocess_exec(sys.executable, probe.__file__, port, stdout=output)
    problems: list[str] = []
    try:
        await during(ordinary(target, ORDINARY_CALLS))  # warm
        begun, ended, _ = await during(ordinary(target, ORDINARY_CALLS))
        calm = longest(lines, begun, ended)
        before = memory_mb(server.pid)
        Console().print(f"no attack: longest wait {calm * 1000:.0f} ms, {before} MB")
        for attack, expected in ATTACKS.items():
            calls = asyncio.create_task(ordinary(target, ORDINARY_CALLS))
            begun, ended, statuses = await during(asyncio.gather(*(attack(target) for _ in range(AT_ONCE))))
            served = await calls
            wait, memory = longest(lines, begun, ended), memory_mb(server.pid)
            counted = dict(Counter(statuses))
            Console().print(f"{attack.__name__}: {wait * 1000:.0f} ms, {memory} MB, {counted}", soft_wrap=True)
            if wait > max(MOST_WAIT_S, 3 * calm):
                problems.append(f"{attack.__name__}: /health/live waited {wait:.2f} s, without an attack {calm:.2f} s")
            if memory > before + MOST_GROWTH_MB:
                problems.append(f"{attack.__name__}: {memory} MB of memory, {before} MB before")
            if not expected.issuperset(statuses):
                problems.append(f"{attack.__name__}: answered with {counted}")
            if set(served) != {200}:
                problems.append(f"{attack.__name__}: ordinary calls were answered with {dict(Counter(served))}")
    finally:
        probing.terminate()
        await probing.wait()
    return problems


async def ordinary(target: Target, calls: int) -> list[int]:
    """What customers do meanwhile: the statuses of their calls, eight at once."""
    body = {"model": "Good", "messages": [{"role": "user", "content": "token-b"}]}
    places = asyncio.Semaphore(8)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {target.key}"}, timeout=60) as http:

        async def call() -> int:
            async with places:
                return (await http.post(f"{target.url}/v1/chat/completions", json=body)).status_code

        return await asyncio.gather(*(call() for _ in range(calls)))


async def during(work: Awaitable[list[int]]) -> tuple[float, float, list[int]]:
    """When it began and ended, and what came of it."""
    begun = time.monotonic()
    found = await work
    return begun, time.monotonic(), found


def longest(lines: Path, begun: float, ended: float) -> float:
    """The longest wait of those that overlap the time."""
    pairs = (line.split() for line in lines.read_text().splitlines() if line.count(" ") == 1)
    waits = [(float(at), float(wait)) for at, wait in pairs]
    return max((wait for at, wait in waits if at <= ended and at + wait >= begun), default=ended - begun)


def memory_mb(pid: int) -> int:
    """What a process has in memory, at most so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "the kernel writes it"
    return int(found[1]) // 1000


if __name__ == "__main__":
    asyncio.run(main())
