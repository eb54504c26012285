"""`python -m tests.load.bench.crowds [--loops N] [--clients 1,50,1000]`: what a server does for more clients than it can serve.

Closed loops: each client asks again when it has its answer; one that is refused comes again when it was told to. Counts what
was done (goodput), what was refused, and the CPU of the server for each that was done. `--loops`: so many busy loops beside.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import uvloop
from rich.console import Console
from rich.table import Table

from tests.load.bench.api import call, check_bill, completion, creation, job_id
from tests.load.bench.load import CallFailedError
from tests.load.bench.process import cpu_s
from tests.load.bench.servers import POSTGRES, SQLITE, all_targets
from tests.load.bench.targets import ControlPlane
from tests.load.bench.wire import Connection, Reply

SECONDS = 8.0
ANSWER_S = 60.0
CREATE, WHOLE = "create", "whole job"
REFUSED = {429, 503}


class RefusedError(Exception):
    """The server would not do it now."""

    def __init__(self, code: str, after_s: float) -> None:
        super().__init__(code)
        self.after_s = after_s


@dataclass
class Tally:
    """What became of what was asked."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)


def answered(reply: Reply) -> Reply:
    """Raises: RefusedError; CallFailedError for anything that is neither done nor refused."""
    if reply.status == 200:
        return reply
    if reply.status in REFUSED:
        raise RefusedError(str(reply.json()["error"]["code"]), reply.retry_after_s)
    raise CallFailedError(f"{reply.status} {reply.body[:300]!r}")


async def create(target: ControlPlane, connection: Connection) -> None:
    """One job that nobody completes."""
    answered(await connection.call(creation(target.key)))


async def whole_job(target: ControlPlane, connection: Connection) -> None:
    """Creates a job, calls in it, completes it; what is refused on the way is asked again."""
    job = job_id(answered(await connection.call(creation(target.key))))
    await until_answered(connection, call(job, target.key))
    check_bill(await until_answered(connection, completion(job, target.key)), calls=1)


async def until_answered(connection: Connection, request: bytes) -> Reply:
    """Asks again as often as it is refused. Raises: CallFailedError."""
    while True:
        try:
            return answered(await connection.call(request))
        except RefusedError as refusal:
            await asyncio.sleep(refusal.after_s)


STEPS: dict[str, Callable[[ControlPlane, Connection], Awaitable[None]]] = {CREATE: create, WHOLE: whole_job}


async def crowd(target: ControlPlane, kind: str, clients: int) -> tuple[Tally, float, float]:
    """So many clients for a while: what they got, how long that took, and the server's CPU."""
    tally = Tally()
    connections = [await Connection.open(target.server.port) for _ in range(clients)]
    cpu_before, began_at = cpu_s(target.server.pid), perf_counter()
    ends_at = began_at + SECONDS

    async def client(connection: Connection) -> None:
        while (asked_at := perf_counter()) < ends_at:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await STEPS[kind](target, connection)
            except RefusedError as refusal:
                tally.refused[str(refusal)] += 1
                await asyncio.sleep(min(refusal.after_s, max(0.0, ends_at - perf_counter())))
            else:
                tally.done += 1
                tally.took_s.append(perf_counter() - asked_at)

    try:
        await asyncio.gather(*(client(connection) for connection in connections))
    finally:
        for connection in connections:
            connection.close()
    return tally, perf_counter() - began_at, cpu_s(target.server.pid) - cpu_before


async def measure(counts: Sequence[int], console: Console) -> None:
    """Every crowd at every database, and the table of it."""
    table = Table("server", "what", "clients", "done/s", "refused", "CPU ms each", "median s", "slowest s")
    with tempfile.TemporaryDirectory(prefix="crowds-") as folder:
        async with all_targets(Path(folder), (SQLITE, POSTGRES), console) as targets:
            for target in targets:
                assert isinstance(target, ControlPlane)
                for kind in STEPS:
                    for clients in counts:
                        tally, seconds, cpu = await crowd(target, kind, clients)
                        took = sorted(tally.took_s) or [0.0]
                        refused = ", ".join(f"{count} {code}" for code, count in tally.refused.items())
                        figures = (
                            f"{tally.done / seconds:.1f}",
                            refused or "-",
                            f"{cpu / max(1, tally.done) * 1000:.1f}",
                            f"{took[len(took) // 2]:.2f}",
                            f"{took[-1]:.2f}",
                        )
                        table.add_row(target.name, kind, str(clients), *figures)
                        console.print(target.name, kind, clients, *figures)
    console.print(table)


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench.crowds", description=__doc__)
    parser.add_argument("--loops", type=int, default=0, metavar="N", help="busy loops beside")
    parser.add_argument("--clients", default="1,10,50,200,1000", help="how many clients at once, with commas")
    arguments = parser.parse_args()
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(arguments.loops)]
    try:
        uvloop.run(measure([int(each) for each in arguments.clients.split(",")], Console(width=140)))
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    main()
