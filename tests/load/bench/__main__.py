"""`python -m tests.load.bench [--quick] [--only TEXT] [--json FILE]`: some eight minutes; Linux, because CPU and memory come from /proc.

Targets take turns in every scenario of every round, the order turning with the round, so that a noisy neighbour hits
all alike. Servers of several workers are measured behind them, when these have ended. The first wrong answer or
wrong bill ends the run: figures with errors in them say nothing.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from rich.console import Console

from tests.load.bench import hot_team, memory
from tests.load.bench.load import CallFailedError, Cell, hold_open
from tests.load.bench.process import rss_kb
from tests.load.bench.report import Row, as_dicts, row, show
from tests.load.bench.scenarios import MANY_TEAMS, SCENARIOS, Kind, Scenario
from tests.load.bench.servers import BARE, NAMES, PASS, PEERS, PROXY, RELAYED, all_targets
from tests.load.bench.targets import Target, one_cell

IDLE_STREAMS = 200
REST_S = 1.0  # after opening or leaving streams: what is only passing has passed


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float
    warm_up_s: float
    hot_seconds: float  # fifty clients need longer until each has had its turn


FULL = Effort(rounds=5, seconds=1.2, warm_up_s=0.6, hot_seconds=4)
QUICK = Effort(rounds=2, seconds=0.8, warm_up_s=0.4, hot_seconds=2)


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


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for: everything, or what has one of these texts in its name."""

    texts: Sequence[str] = ()

    def takes(self, name: str) -> bool:
        """Whether this is measured for itself."""
        return not self.texts or any(text in name for text in self.texts)

    def scenarios(self) -> list[Scenario]:
        """In the report's order, with those that others are compared with."""
        named = {each for each in SCENARIOS if self.takes(each.name)}
        return [each for each in SCENARIOS if each in named or any(each == other.beside for other in named)]


async def measure(
    targets: Sequence[Target], scenarios: Sequence[Scenario], effort: Effort, console: Console
) -> dict[tuple[Scenario, str], list[Cell]]:
    """A warm-up that is not counted, and then the rounds."""
    for scenario in scenarios:
        for target in targets:
            if target.can(scenario.kind):
                await one_cell(target, scenario, effort.warm_up_s)
    cells: dict[tuple[Scenario, str], list[Cell]] = defaultdict(list)
    for number in range(effort.rounds):
        console.print(f"round {number + 1} of {effort.rounds}")
        turn = number % len(targets)
        for scenario in scenarios:
            for target in [*targets[turn:], *targets[:turn]]:
                if target.can(scenario.kind):
                    cells[scenario, target.name].append(await one_cell(target, scenario, effort.seconds))
    for target in targets:
        await target.finish()
    return cells


def rows_of(cells: Mapping[tuple[Scenario, str], Sequence[Cell]], yardstick: str) -> list[Row]:
    """The report's lines, scenario by scenario."""

    def compared(scenario: Scenario, name: str, with_: str) -> Sequence[Cell]:
        if name == with_:
            return ()
        asked = (scenario, scenario.beside) if scenario.beside else (scenario,)
        return next((cells[each, with_] for each in asked if (each, with_) in cells), ())

    ordered = sorted(cells, key=lambda key: (SCENARIOS.index(key[0]), (PROXY, *NAMES).index(key[1])))
    return [
        row(
            scenario if name in RELAYED and yardstick == BARE else replace(scenario, aim=None),
            name,
            cells[scenario, name],
            compared(scenario, name, yardstick),
            passthrough=compared(scenario, name, PASS),
            beside=cells[scenario.beside, name] if scenario.beside else (),
        )
        for scenario, name in ordered
    ]


async def everything(
    folder: Path, names: Sequence[str], proxy: Path | None, choice: Choice, effort: Effort, console: Console
) -> dict[str, Any]:
    """Measures what was chosen, and prints it. Returns it for a file. Raises: CallFailedError."""
    found: dict[str, Any] = {}
    scenarios, has_idle = choice.scenarios(), choice.takes(Kind.IDLE)
    if scenarios or has_idle:
        teams = MANY_TEAMS if any(each.kind is Kind.MANY_TEAMS for each in scenarios) else 0
        async with all_targets(folder, names, console, proxy, teams=teams) as targets:
            able = [target for target in targets if has_idle and target.can(Kind.IDLE)]
            idle = {target.name: await idle_kb(target, IDLE_STREAMS) for target in able}  # while the heaps are small
            rows = rows_of(await measure(targets, scenarios, effort, console), names[0])
        show(console, rows, idle, names[0])
        console.print(f"{sum(line.calls for line in rows)} calls, no errors")
        found |= {"rows": as_dicts(rows), "idle_stream_kb": idle}
    if names != NAMES:
        return found
    if choice.takes(hot_team.NAME):
        (folder / "hot").mkdir()
        hot = await hot_team.measure(folder / "hot", effort.rounds, effort.hot_seconds, console)
        if hot is not None:
            hot_team.show(console, hot)
            found["hot_team"] = asdict(hot)
    if choice.takes(memory.NAME):
        (folder / "memory").mkdir()
        footprints = await memory.measure(folder / "memory", effort.seconds, console)
        memory.show(console, footprints)
        found["memory"] = as_dicts(footprints)
    return found


async def main() -> int:
    """Measures and reports. Returns the exit code: 1 when an answer or a bill was wrong, or nothing was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds: does it run, roughly what costs it")
    parser.add_argument("--only", default="", metavar="TEXT", help="what has it in its name; several with |: 'hot|two'")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--bare-only", action="store_true", help="only the yardstick")
    parser.add_argument("--proxy", type=Path, metavar="LITELLM", help="compare with LiteLLM's proxy: its program")
    arguments = parser.parse_args()
    console = Console(width=max(Console().width, 140))
    effort = QUICK if arguments.quick else FULL
    choice = Choice(arguments.only.split("|") if arguments.only else ())
    names = PEERS if arguments.proxy else (BARE,) if arguments.bare_only else NAMES
    started_at = perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            found = await everything(Path(folder), names, arguments.proxy, choice, effort, console)
        except CallFailedError as failed:
            console.print(f"the run is void: {failed}")
            return 1
    if not found:
        every = [each.name for each in SCENARIOS] + [Kind.IDLE, hot_team.NAME, memory.NAME]
        parser.error(f"nothing has '{arguments.only}' in its name; there are: {'; '.join(every)}")
    console.print(f"{perf_counter() - started_at:.0f} s")
    if arguments.json:
        facts = {
            "python": platform.python_version(),
            "litellm": version("litellm"),
            "cpus": os.cpu_count(),
            "rounds": effort.rounds,
            "seconds_per_cell": effort.seconds,
        }
        arguments.json.write_text(json.dumps({**facts, **found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
