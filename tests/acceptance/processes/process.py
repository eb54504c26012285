"""The product as its users run it: a process of its own, its settings in the environment, its log on stderr."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.patience import PATIENCE_S
from tests.support.server import MASTER_KEY, PATIENT, UNLIMITED, Team

START_S = COMMAND_S = 240
"""A command that loads LiteLLM in a process of its own, on a machine that does much else."""
STOP_S = 60


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The shell's variables without settings of ours but the lane, and these settings; what is kept is in the folder."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == "CONTROL_PLANE_LANE" or not name.startswith("CONTROL_PLANE_")
    }
    ours: Mapping[str, object] = {"var": folder / "var", "port": 0, **PATIENT, **settings}
    return inherited | {f"CONTROL_PLANE_{name.upper()}": str(value) for name, value in ours.items()}


@dataclass
class Run:
    """A command that has ended."""

    code: int
    output: str


async def run(command: str, folder: Path, **settings: object) -> Run:
    """Runs a command to its end."""
    return await run_arguments([command], folder, **settings)


async def run_arguments(arguments: Sequence[str], folder: Path, **settings: object) -> Run:
    """Runs a command of several words to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control_plane.cli", *arguments),
        cwd=folder,
        env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Run(process.returncode, output.decode())


@dataclass
class Process:
    """A command that goes on: `serve` or `demo`."""

    running: asyncio.subprocess.Process
    log: Path
    url: str = ""

    @property
    def output(self) -> str:
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.running.send_signal(number)

    async def ended(self, within_s: float = STOP_S) -> int:
        """The exit code."""
        async with asyncio.timeout(within_s):
            return await self.running.wait()

    async def until_said(self, text: str, before: int = 0) -> str:
        """The line of its output that has the text, behind so many others that have it."""
        async with asyncio.timeout(START_S):
            while True:
                said = [line for line in self.output.splitlines(keepends=True) if text in line and line.endswith("\n")]
                if len(said) > before:
                    return said[before]
                assert self.running.returncode is None, self.output
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def team(self) -> AsyncIterator[Team]:
        """A new team of this server with 100 credits."""
        master = {"Authorization": f"Bearer {MASTER_KEY}"}
        async with httpx.AsyncClient(base_url=self.url, headers=master, timeout=PATIENCE_S) as admin:
            answer = await admin.post(
                "/api/teams/create", json={"team_id": "team", "credits_allocated": 100, **UNLIMITED}
            )
            assert answer.status_code == 200, answer.text
            key = answer.json()["virtual_key"]
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S) as http:
                yield Team("team", key, http, admin)


@asynccontextmanager
async def started(command: str, folder: Path, *arguments: str, **settings: object) -> AsyncIterator[Process]:
    """Runs a command until the end of the block, at the latest."""
    log = folder / f"{command}.log"
    with log.open("wb") as output:
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control_plane.cli", command, *arguments),
            cwd=folder,
            env=environment(folder, **settings),
            stdout=output,
            stderr=output,
        )
    process = Process(running, log)
    try:
        yield process
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


@asynccontextmanager
async def server(folder: Path, **settings: object) -> AsyncIterator[Process]:
    """`serve`, as soon as it listens."""
    async with started("serve", folder, master_key=MASTER_KEY, **settings) as process:
        port = json.loads(await process.until_said('"listening"'))["port"]
        process.url = f"http://127.0.0.1:{port}"
        yield process
