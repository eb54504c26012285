"""`python -m tests.bench [--quick] [--json FILE]`: under four minutes; Linux, because CPU and memory come from /proc.

Targets take turns in every scenario of every round, the order turning with the round, so that a noisy neighbour hits
all alike. The first wrong answer or wrong bill ends the run: figures with errors in them say nothing.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import uvloop
from rich.console import Console

from tests.bench.load import CallFailedError, Cell, drive, hold_open
from tests.bench.postgres import postgres
from tests.bench.process import free_port, rss_kb, running
from tests.bench.report import Row, as_json, row, show
from tests.bench.scenarios import SCENARIOS, Kind, Scenario, config
from tests.bench.targets import (
    BareRouter,
    ControlPlane,
    Proxy,
    Target,
    control_plane,
    create_team,
    litellms_proxy,
    plain_server,
)

IDLE_STREAMS = 200
REST_S = 1.0  # after opening or leaving streams: what is only passing has passed
BARE, PASS, SQLITE, POSTGRES = "bare router", "pass-through", "ours, SQLite", "ours, Postgres"
LITELLM = "ours, LiteLLM's lane"
PROXY = "LiteLLM's proxy"
NAMES = (BARE, PASS, LITELLM, SQLITE, POSTGRES)
PEERS = (PROXY, SQLITE)
RELAYED = (SQLITE, POSTGRES)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float
    warm_up_s: float


FULL = Effort(rounds=5, seconds=1.2, warm_up_s=0.6)
QUICK = Effort(rounds=2, seconds=0.8, warm_up_s=0.4)


@asynccontextmanager
async def all_targets(
    folder: Path, names: Sequence[str], console: Console, proxy: Path | None = None
) -> AsyncIterator[list[Target]]:
    """The provider and every server asked for, running; databases that cannot run here are named and left out."""
    async with AsyncExitStack() as stack:
        provider_port = free_port()
        await stack.enter_async_context(
            running(
                ["-m", "tests.bench.provider", "--port", str(provider_port)],
                port=provider_port,
                log=folder / "provider.log",
            )
        )
        config_file = folder / "litellm_config.yaml"
        config_file.write_text(config(provider_port))
        targets: list[Target] = []
        if BARE in names:
            targets.append(BareRouter(BARE, await stack.enter_async_context(plain_server(folder, config_file, "bare"))))
        if PROXY in names and proxy is not None:
            targets.append(Proxy(PROXY, await stack.enter_async_context(litellms_proxy(folder, config_file, proxy))))
        if PASS in names:
            floor = await stack.enter_async_context(plain_server(folder, config_file, "passthrough"))
            targets.append(BareRouter(PASS, floor))
        for name, lane in ((SQLITE, "auto"), (LITELLM, "litellm")):
            if name in names:
                url = f"sqlite:///{folder / lane}.db"
                server = await stack.enter_async_context(
                    await control_plane(folder, config_file, f"sqlite-{lane}", url, lane=lane)
                )
                targets.append(ControlPlane(name, server, await create_team(server)))
        if POSTGRES in names:
            try:
                database = await stack.enter_async_context(postgres(folder))
            except Exception as reason:  # noqa: BLE001  # the wheel names no error of its own
                console.print(f"no Postgres here, its rows are missing: {reason!r}")
            else:
                server = await stack.enter_async_context(
                    await control_plane(folder, config_file, "postgres", database.url)
                )
                targets.append(ControlPlane(POSTGRES, server, await create_team(server), database_pid=database.pid))
        yield targets


async def one_cell(target: Target, scenario: Scenario, seconds: float) -> Cell:
    """Runs one scenario on one target for a while and has the bills checked."""
    steps = await target.steps(scenario.kind, scenario.connections)
    cell = await drive(
        target.server, steps, seconds=seconds, pause_s=scenario.pause_s, database_pid=target.database_pid
    )
    await target.close(scenario.kind, cell.calls)
    return cell


async def idle_kb(target: Target, streams: int) -> float:
    """Resident KB that the server adds for each stream it holds while the provider is silent.

    Counted behind a first quarter as many, which fill what the heap had free.
    """
    ballast = streams // 4
    requests = await target.requests(Kind.IDLE, ballast + streams)
    connections = await hold_open(target.server, requests[:ballast])
    await asyncio.sleep(REST_S)
    before = rss_kb(target.server.pid)
    connections += await hold_open(target.server, requests[ballast:])
    await asyncio.sleep(REST_S)
    added = rss_kb(target.server.pid) - before
    for connection in connections:
        connection.close()
    await asyncio.sleep(REST_S)
    return added / streams


async def measure(
    targets: Sequence[Target], effort: Effort, console: Console
) -> tuple[dict[str, float], dict[tuple[Scenario, str], list[Cell]]]:
    """Memory first, while the heaps are small; then a warm-up that is not counted; then the rounds."""
    memory = {target.name: await idle_kb(target, IDLE_STREAMS) for target in targets if target.can(Kind.IDLE)}
    for scenario in SCENARIOS:
        for target in targets:
            if target.can(scenario.kind):
                await one_cell(target, scenario, effort.warm_up_s)
    cells: dict[tuple[Scenario, str], list[Cell]] = defaultdict(list)
    for number in range(effort.rounds):
        console.print(f"round {number + 1} of {effort.rounds}")
        turn = number % len(targets)
        for scenario in SCENARIOS:
            for target in [*targets[turn:], *targets[:turn]]:
                if target.can(scenario.kind):
                    cells[scenario, target.name].append(await one_cell(target, scenario, effort.seconds))
    return memory, cells


def rows_of(cells: Mapping[tuple[Scenario, str], Sequence[Cell]], yardstick: str) -> list[Row]:
    """The report's lines, scenario by scenario."""
    ordered = sorted(cells, key=lambda key: (SCENARIOS.index(key[0]), (PROXY, *NAMES).index(key[1])))
    return [
        row(
            scenario if name in RELAYED and yardstick == BARE else replace(scenario, aim=None),
            name,
            cells[scenario, name],
            cells.get((scenario, yardstick), ()) if name != yardstick else (),
        )
        for scenario, name in ordered
    ]


async def main() -> int:
    """Measures and reports. Returns the exit code: 1 when an answer or a bill was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds: does it run, roughly what costs it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--bare-only", action="store_true", help="only the yardstick")
    parser.add_argument("--proxy", type=Path, metavar="LITELLM", help="compare with LiteLLM's proxy: its program")
    arguments = parser.parse_args()
    console = Console(width=max(Console().width, 140))
    effort = QUICK if arguments.quick else FULL
    names = PEERS if arguments.proxy else (BARE,) if arguments.bare_only else NAMES
    started_at = perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            async with all_targets(Path(folder), names, console, arguments.proxy) as targets:
                memory, cells = await measure(targets, effort, console)
        except CallFailedError as failed:
            console.print(f"the run is void: {failed}")
            return 1
    rows = rows_of(cells, names[0])
    show(console, rows, memory, names[0])
    console.print(f"{sum(line.calls for line in rows)} calls, no errors, {perf_counter() - started_at:.0f} s")
    if arguments.json:
        facts = {
            "python": platform.python_version(),
            "litellm": version("litellm"),
            "cpus": os.cpu_count(),
            "rounds": effort.rounds,
            "seconds_per_cell": effort.seconds,
        }
        arguments.json.write_text(json.dumps(as_json(facts, rows, memory), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
