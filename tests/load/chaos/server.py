"""The server that is killed: a process group of its own, started again and again on the same database."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.acceptance.processes.process import START_S, Run, environment, run_arguments

DIE_S = 20


@dataclass
class ChaosServer:
    """`url` is where it listens now; `is_up` is set while it does."""

    folder: Path
    settings: Mapping[str, object]
    url: str = ""
    is_up: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None
    _starts: int = 0

    async def start(self, failpoint: str = "") -> None:
        """Returns when it listens."""
        self._starts += 1
        log = self.folder / f"server-{self._starts}.log"
        known = environment(self.folder, **self.settings) | {"CONTROL_PLANE_FAILPOINT": failpoint}
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "control_plane.cli", "serve"),
                cwd=self.folder,
                env=known,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        async with asyncio.timeout(START_S):
            while '"listening"' not in (said := log.read_text()):
                assert self._process.returncode is None, said
                await asyncio.sleep(0.05)
        line = next(line for line in said.splitlines() if '"listening"' in line)
        self.url = f"http://127.0.0.1:{json.loads(line)['port']}"
        self.is_up.set()

    @property
    def pid(self) -> int:
        """Of the server that runs now."""
        assert self._process is not None, "it was started"
        return self._process.pid

    async def kill(self) -> None:
        """`kill -9`, for the whole group."""
        assert self._process is not None, "it was started"
        self.is_up.clear()
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def died(self, within_s: float = DIE_S) -> bool:
        """Whether it died by itself, at its failpoint; killed if it did not."""
        assert self._process is not None, "it was started"
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            return False
        self.is_up.clear()
        return True

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None, "it was started"
        self._process.terminate()
        return await self._process.wait()

    async def command(self, *arguments: str) -> Run:
        """Another command on the same database."""
        return await run_arguments(arguments, self.folder, **self.settings)

    def client(self, key: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=15)
