"""What a server needs to be there: CPU until it is ready, and memory, shared pages counted once (PSS).

Four workers are one line, so that what they share shows: before their first call, and after some.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.load.bench.api import create_team
from tests.load.bench.process import Server, cpu_s, processes, pss_kb
from tests.load.bench.scenarios import Kind, Scenario
from tests.load.bench.servers import BARE, PASS, POSTGRES, SQLITE, database, provider
from tests.load.bench.targets import BareRouter, ControlPlane, Target, control_plane, one_cell, plain_server

NAME = "memory and start"
WORKERS = 4
TOGETHER = f"{POSTGRES}, {WORKERS} workers"
CALLS = (Scenario(Kind.BUFFERED, 64), Scenario(Kind.STREAM, 16))


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one server, all its processes together."""

    target: str
    processes: int
    start_cpu_s: float
    pss_mb: float
    pss_after_calls_mb: float


@dataclass(frozen=True, slots=True)
class _Start:
    """A server that is ready and was asked nothing."""

    cpu_s: float
    processes: int
    pss_mb: float

    @classmethod
    def of(cls, server: Server) -> "_Start":
        return cls(cpu_s(server.pid), processes(server.pid), pss_kb(server.pid) / 1024)


async def measure(folder: Path, seconds: float, console: Console) -> list[Footprint]:
    """One server after the other. Raises: CallFailedError."""
    found = []
    async with provider(folder) as config, database(folder, console) as postgres:
        for name, module in ((BARE, "bare"), (PASS, "passthrough")):
            async with plain_server(folder, config, module) as server:
                found.append(await _footprint(_Start.of(server), BareRouter(name, server), seconds))
        urls = {SQLITE: f"sqlite:///{folder}/memory.db"}
        if postgres is not None:
            urls |= {POSTGRES: postgres.url, TOGETHER: postgres.url}
        for number, (name, url) in enumerate(urls.items()):
            workers = WORKERS if name == TOGETHER else 1
            async with await control_plane(folder, config, f"memory-{number}", url, workers=workers) as server:
                start = _Start.of(server)
                target = ControlPlane(name, server, await create_team(server, f"memory-{number}"))
                found.append(await _footprint(start, target, seconds))
    return found


async def _footprint(start: _Start, target: Target, seconds: float) -> Footprint:
    for scenario in CALLS:
        await one_cell(target, scenario, seconds)
    after = pss_kb(target.server.pid) / 1024
    return Footprint(target.name, start.processes, start.cpu_s, start.pss_mb, after)


def show(console: Console, found: Sequence[Footprint]) -> None:
    """Prints them, with ratios to the bare router."""
    table = Table(title="CPU until ready, and PSS of all processes of a server; ratio to the first")
    for heading in ("target", "processes", "start CPU s", "ratio", "PSS MB", "ratio", "PSS MB after calls", "ratio"):
        table.add_column(heading, justify="left" if heading == "target" else "right")
    first = found[0]
    for each in found:
        table.add_row(
            each.target,
            str(each.processes),
            f"{each.start_cpu_s:.1f}",
            f"{each.start_cpu_s / first.start_cpu_s:.2f}",
            f"{each.pss_mb:.0f}",
            f"{each.pss_mb / first.pss_mb:.2f}",
            f"{each.pss_after_calls_mb:.0f}",
            f"{each.pss_after_calls_mb / first.pss_after_calls_mb:.2f}",
        )
    console.print(table)
