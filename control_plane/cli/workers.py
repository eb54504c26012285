"""`serve --workers N`: several processes that take their customers from one socket, and a parent that keeps them running.

The parent imports the program once and forks: the workers share what was imported, and are there in a second. It has no
thread and no event loop, which a fork would break. Each worker also listens on a port of its own, PORT+1 and on: what one
process says of itself is asked there.
"""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from control_plane.cli.server import bound, serve
from control_plane.errors import InvalidConfig
from control_plane.logs import configure_logging
from control_plane.model_groups.config import load_catalog
from control_plane.settings import Settings
from control_plane.storage.database import parse_database_url

log = logging.getLogger(__name__)

BACKLOG = 2048
RESTART_S = 1.0  # a worker that dies at once must not eat the machine
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve_by_workers(settings: Settings, count: int) -> int:
    """Serves until SIGTERM or Ctrl-C; the exit code. SIGHUP goes on to the workers. A worker that dies is started again.

    Raises: InvalidConfig for a database that belongs to one process, or for the YAML; CannotListen. In a worker: as `serve`.
    """
    if parse_database_url(settings.database_url).get_backend_name() == "sqlite":
        raise InvalidConfig(
            [
                f"--workers {count}: an SQLite database belongs to one process; use Postgres (CONTROL_PLANE_DATABASE_URL)."
            ]
        )
    configure_logging(settings.log_level, settings.log_format, has_thread=False)
    with bound(settings) as shared:
        shared.listen(BACKLOG)
        port = shared.getsockname()[1]
        with _environment_of(settings):
            _import_all()
        workers = Workers(port)
        number = workers.run(count)
        if number is None:
            return workers.exit_code
        serve(settings.model_copy(update={"port": port + number if settings.port else 0}), shared.detach())
        return 0


@dataclass(frozen=True, slots=True)
class _Worker:
    """One of them. `started_at`: monotonic."""

    number: int
    started_at: float


class Workers:
    """The processes, while they run."""

    def __init__(self, port: int) -> None:
        self.exit_code = 0
        self._port = port
        self._running: dict[int, _Worker] = {}  # by process
        self._is_stopping = False

    def run(self, count: int) -> int | None:
        """Until they are asked to stop, and have. In a worker: its number, at once."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._stop)
        signal.signal(signal.SIGHUP, self._tell)
        log.info("workers_started", extra={"workers": count, "port": self._port})
        for number in range(1, count + 1):
            if not self._is_stopping and self._is_worker(number):
                return number
        while self._running:
            process, status = os.waitpid(-1, 0)
            worker, code = self._running.pop(process), os.waitstatus_to_exitcode(status)
            if not self._is_stopping:
                log.error("worker_died", extra={"worker": worker.number, "exit_code": code})
                time.sleep(max(0.0, worker.started_at + RESTART_S - time.monotonic()))
            if self._is_stopping:
                self.exit_code = max(self.exit_code, code)
            elif self._is_worker(worker.number):
                return worker.number
        return None

    def _is_worker(self, number: int) -> bool:
        """Forks: True in the worker."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a worker must not do with one what the parent does
        try:
            process = os.fork()
            if process:
                self._running[process] = _Worker(number, time.monotonic())
                return False
            os.setsid()  # Ctrl-C is the parent's to pass on
            for each in SIGNALS:
                signal.signal(each, signal.SIG_IGN if each is signal.SIGHUP else signal.SIG_DFL)
            return True
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _stop(self, number: int, frame: object) -> None:
        self._is_stopping = True
        self._tell(number, frame)

    def _tell(self, number: int, _frame: object) -> None:
        for process in list(self._running):
            with suppress(ProcessLookupError):
                os.kill(process, number)


def _import_all() -> None:
    """What the workers will share. What was imported stays, so that no collection writes into its pages."""
    import control_plane.app  # noqa: PLC0415 - seconds, of which other commands need none
    import control_plane.runtime  # noqa: F401, PLC0415 - as above
    from control_plane.gateway import litellm_setup  # noqa: PLC0415 - as above

    litellm_setup.import_litellm()
    gc.collect()
    gc.freeze()


@contextmanager
def _environment_of(settings: Settings) -> Iterator[None]:
    """The variables that the YAML sets, for the block: the workers read it again. Raises: InvalidConfig."""
    before = dict(os.environ)
    os.environ.update(load_catalog(settings.config, before).environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
