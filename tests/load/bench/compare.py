"""`python -m tests.load.bench.compare REF [--rounds N] [--only stream]`: this checkout against another commit, cell by cell in turn.

Both serve at the same time, each on databases of its own; in every round each scenario is asked of one and then of the
other, and the order turns. The first wrong answer or wrong bill ends the run.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from rich.console import Console

from tests.load.bench.api import create_team
from tests.load.bench.load import CallFailedError, Cell
from tests.load.bench.postgres import postgres
from tests.load.bench.report import row, show
from tests.load.bench.scenarios import Kind, Scenario
from tests.load.bench.servers import provider
from tests.load.bench.targets import ControlPlane, control_plane, one_cell

SCENARIOS = (
    Scenario(Kind.BUFFERED, 1),
    Scenario(Kind.BUFFERED, 16),
    Scenario(Kind.STREAM, 16),
    Scenario(Kind.PACED, 64),
    Scenario(Kind.JOB, 1),
    Scenario(Kind.JOB, 16),
    Scenario(Kind.JOB, 64),
)
DATABASES = ("SQLite", "Postgres")
BEFORE, NOW = "before", "now"
SECONDS, WARM_UP_S = 1.2, 0.6

Cells = Mapping[tuple[Scenario, str, str], Sequence[Cell]]
"""By scenario, database and checkout."""


@asynccontextmanager
async def checkout(ref: str) -> AsyncIterator[Path]:
    """The files of a commit, for a while. Raises: SystemExit for one that does not exist."""
    with tempfile.TemporaryDirectory(prefix="bench-before-") as folder:
        archive = await asyncio.create_subprocess_exec("git", "archive", ref, stdout=asyncio.subprocess.PIPE)
        packed, _ = await archive.communicate()
        if archive.returncode != 0:
            raise SystemExit(f"{ref} is no commit of this repository.")
        await asyncio.to_thread(subprocess.run, ["tar", "-x", "-C", folder], input=packed, check=True)
        yield Path(folder)


@asynccontextmanager
async def both(folder: Path, trees: Mapping[str, Path | None]) -> AsyncIterator[Mapping[tuple[str, str], ControlPlane]]:
    """A server of each checkout on each database."""
    async with AsyncExitStack() as stack:
        file = await stack.enter_async_context(provider(folder))
        targets = {}
        for name, tree in trees.items():
            (folder / name).mkdir()
            database = await stack.enter_async_context(postgres(folder / name))
            urls = {"SQLite": (f"sqlite:///{folder / name}/before.db", None), "Postgres": (database.url, database.pid)}
            for kind, (url, pid) in urls.items():
                starting = await control_plane(folder / name, file, kind, url, tree=tree)
                server = await stack.enter_async_context(starting)
                targets[kind, name] = ControlPlane(name, server, await create_team(server), database_pid=pid)
        yield targets


async def measure(
    targets: Mapping[tuple[str, str], ControlPlane], scenarios: Sequence[Scenario], rounds: int, console: Console
) -> Cells:
    """A warm-up that is not counted, and then the rounds."""
    cells: defaultdict[tuple[Scenario, str, str], list[Cell]] = defaultdict(list)
    for number in range(-1, rounds):
        console.print(f"round {number + 1} of {rounds}")
        for scenario in scenarios:
            for kind in DATABASES:
                for name in (BEFORE, NOW) if number % 2 else (NOW, BEFORE):
                    seconds = WARM_UP_S if number < 0 else SECONDS
                    cell = await one_cell(targets[kind, name], scenario, seconds)
                    if number >= 0:
                        cells[scenario, kind, name].append(cell)
    return cells


async def main() -> int:
    """Measures and reports. Returns the exit code: 1 when an answer or a bill was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.bench.compare", description=__doc__)
    parser.add_argument("ref", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios whose names hold it")
    arguments = parser.parse_args()
    scenarios = [each for each in SCENARIOS if arguments.only in each.name]
    console = Console(width=max(Console().width, 140))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with checkout(arguments.ref) as before, both(Path(folder), {BEFORE: before, NOW: None}) as targets:
            try:
                cells = await measure(targets, scenarios, arguments.rounds, console)
            except CallFailedError as failed:
                console.print(f"the run is void: {failed}")
                return 1
    for kind in DATABASES:
        console.print(kind)
        names = ((scenario, name) for scenario in scenarios for name in (BEFORE, NOW))
        show(
            console,
            [
                row(scenario, name, cells[scenario, kind, name], cells[scenario, kind, BEFORE] if name == NOW else ())
                for scenario, name in names
            ],
            {},
            f"{BEFORE} ({arguments.ref})",
        )
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
