"""`serve --workers N`: several processes that take their customers from one socket, and a parent that keeps them running.

Each worker also listens on a port of its own, PORT+1 and on: what one process says of itself is asked there.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

from control_plane.cli.server import bound
from control_plane.errors import InvalidConfig
from control_plane.logs import configure_logging
from control_plane.settings import PREFIX, Settings
from control_plane.storage.database import parse_database_url

log = logging.getLogger(__name__)

BACKLOG = 2048
RESTART_S = 1.0  # a worker that dies at once must not eat the machine


def serve_by_workers(settings: Settings, count: int) -> int:
    """Serves until SIGTERM or Ctrl-C; the exit code. SIGHUP goes on to the workers. A worker that dies is started again.

    Raises: InvalidConfig for a database that belongs to one process, CannotListen.
    """
    if parse_database_url(settings.database_url).get_backend_name() == "sqlite":
        raise InvalidConfig(
            [
                f"--workers {count}: an SQLite database belongs to one process; use Postgres (CONTROL_PLANE_DATABASE_URL)."
            ]
        )
    configure_logging(settings.log_level, settings.log_format)
    with bound(settings) as shared:
        shared.listen(BACKLOG)
        return asyncio.run(Workers(settings, shared).run(count))


class Workers:
    """The processes, while they run."""

    def __init__(self, settings: Settings, shared: socket.socket) -> None:
        self._settings = settings
        self._shared = shared
        self._port = shared.getsockname()[1]
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._is_stopping = asyncio.Event()

    async def run(self, count: int) -> int:
        """Until they are asked to stop, and have."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        log.info("workers_started", extra={"workers": count, "port": self._port})
        codes = await asyncio.gather(*(self._keep_running(number) for number in range(1, count + 1)))
        return max(codes)

    async def _keep_running(self, number: int) -> int:
        """Worker `number`, again and again. Its last exit code."""
        while True:
            process = await self._start(number)
            self._running[number] = process
            if self._is_stopping.is_set():  # while it was being started
                self._send(process, signal.SIGTERM)
            code = await process.wait()
            if self._is_stopping.is_set():
                return max(code, 0) if code != -signal.SIGTERM else 0  # by a signal before it could catch one
            log.error("worker_died", extra={"worker": number, "exit_code": code})
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await self._is_stopping.wait()
                    return code

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        shared = self._shared.fileno()
        own = {f"{PREFIX}PORT": str(self._port + number if self._settings.port else 0)}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control_plane.cli", "serve", "--fd", str(shared)),
            env=os.environ | own,
            pass_fds=[shared],
            start_new_session=True,  # Ctrl-C is ours to pass on
        )

    def _stop(self, number: signal.Signals) -> None:
        self._is_stopping.set()
        self._tell(number)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._running.values():
            self._send(process, number)

    def _send(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)
