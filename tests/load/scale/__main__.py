"""`python -m tests.load.scale`: three servers as one, and what they cost when the tables are full.

First the proof: three server processes behind a real load balancer (haproxy, where it is installed), one Postgres and one
Redis. Limits must be exact, nobody may overspend, a rolling restart and a thousand reloads may lose nothing. Then the
growth: how long everything takes with 10^3 to 10^6 calls in the tables, and how many bytes a call is.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.load.bench.postgres import postgres
from tests.load.chaos.__main__ import migrated, write_config
from tests.load.chaos.provider import ChaosProvider
from tests.load.scale.fleet import Fleet, prove
from tests.load.scale.growth import measure
from tests.support.redis_server import running_redis


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.scale", description=__doc__)
    parser.add_argument("--most", type=int, default=10**6, help="calls in the tables at the end (default: a million)")
    parser.add_argument("--reloads", type=int, default=1000)
    options = parser.parse_args()
    console = Console(width=max(Console().width, 120))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder) as database, running_redis(folder) as redis, ChaosProvider.start() as provider:
            await migrated(database.url)
            settings = {"database_url": database.url, "redis_url": redis.url, "drain_s": 2}
            fleet = Fleet(folder, write_config(folder, provider), settings)
            async with fleet.running():
                faults = await prove(fleet, console, reloads=options.reloads)
                await measure(fleet, database.url, console, most=options.most)
    console.print("\n".join(faults) if faults else "Nothing is wrong.")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    asyncio.run(main())
