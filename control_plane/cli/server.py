"""`serve` and `migrate`."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
import uvloop

from control_plane import failpoints
from control_plane.allocator import give_back_large_buffers
from control_plane.cli.draining import DrainingServer
from control_plane.cli.progress import counting
from control_plane.cli.protocol import protocol_of
from control_plane.errors import ControlPlaneError
from control_plane.logs import configure_logging
from control_plane.master_key import find_master_key
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate as migrate_database
from control_plane.storage.migrate import pending

log = logging.getLogger(__name__)

START_POLL_S = 0.01
FIRST_HANDED_FD = 3  # systemd's convention: sd_listen_fds(3)
GC_THRESHOLD = 50_000  # a call makes thousands of short-lived objects; the default of 700 costs 6-12 % of CPU


class CannotListen(ControlPlaneError):
    """The address to listen on cannot be used."""


class StoppedWhileStarting(Exception):
    """The process was asked to stop before it served."""


class Signals:
    """SIGTERM and Ctrl-C, from the first moment to the last: asked to stop, the process ends in order and with 0.

    SIGHUP, which would end it, reloads the configuration instead; while the house opens, that is read anyway.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._server: uvicorn.Server | None = None
        self._reload: Callable[[], object] | None = None

    def reload(self, ask: Callable[[], None]) -> None:
        """This is what SIGHUP does from now on, in the event loop."""
        self._reload = partial(asyncio.get_running_loop().call_soon_threadsafe, ask)

    def stop(self, server: uvicorn.Server) -> None:
        """This server is what a signal stops; at once if one came before."""
        self._server = server
        server.should_exit = self.is_asked

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While the block runs; uvicorn catches them itself while it serves, and repeats them to us afterwards."""
        handlers = {signal.SIGTERM: self._ask, signal.SIGINT: self._ask, signal.SIGHUP: self._hang_up}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, _number: int, _frame: object) -> None:
        self.is_asked = True
        if self._server is not None:
            self._server.should_exit = True

    def _hang_up(self, _number: int, _frame: object) -> None:
        if self._reload is not None:
            self._reload()


def migrate(settings: Settings) -> list[str]:
    """Brings the database to the newest schema; the migrations that were applied."""

    async def run_migrations() -> list[str]:
        db = Database(settings.database_url)
        try:
            missing = await pending(db)
            with counting("migrations", len(missing)) as advance:
                await migrate_database(db, applied=lambda number: advance(number, None))
            return missing
        finally:
            await db.aclose()

    return asyncio.run(run_migrations())


def serve(settings: Settings, fd: int | None = None) -> None:
    """Serves until SIGTERM or Ctrl-C; running calls may end until the grace is over.

    `fd`: a listening socket that was inherited, to take customers from, too.
    Raises: InvalidConfig, DatabaseUnavailable, CannotListen when it cannot start.
    """
    give_back_large_buffers()
    configure_logging(settings.log_level, settings.log_format)
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    show_new_master_key(settings)

    async def serve_until_stopped() -> None:
        async with serving(settings, fd):
            pass

    run(serve_until_stopped())


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs the program's main coroutine in the event loop the server wants. One that is stopped while it starts has ended well."""
    with suppress(StoppedWhileStarting), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@asynccontextmanager
async def serving(settings: Settings, fd: int | None = None) -> AsyncIterator[int]:
    """Opens the house and serves it; gives the port. Leaving the block waits for SIGTERM or Ctrl-C; an error ends it.

    The house is opened here and not by uvicorn, so that what is wrong with it is explained in a sentence.
    Raises: StoppedWhileStarting.
    """
    from control_plane.app import create_app  # noqa: PLC0415 - seconds of imports that other commands need not pay
    from control_plane.runtime import open_services  # noqa: PLC0415 - as above

    signals = Signals()
    with signals.caught(), bound(settings) as listener, _handed_over(fd) as shared:
        port: int = listener.getsockname()[1]
        async with open_services(settings) as services:
            if signals.is_asked:
                raise StoppedWhileStarting
            signals.reload(services.configuration.ask)
            _spare_the_collector()
            ports = frozenset(each.getsockname()[1] for each in shared)
            config = uvicorn.Config(
                create_app(services, shared_ports=ports),
                http=protocol_of(settings),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=settings.idle_connection_s,
                timeout_graceful_shutdown=round(settings.shutdown_grace_s),
            )
            server = DrainingServer(config, drain_s=settings.drain_s, say_so=services.calls.drain)
            signals.stop(server)
            task = asyncio.create_task(server.serve([listener, *shared]), name="server")
            try:
                await _until_started(server, task, settings)
                log.info("listening", extra={"host": settings.host, "port": port})
                yield port
                await task
            finally:
                server.should_exit = True
                await asyncio.wait([task])
                for request in server.server_state.tasks:  # after a second Ctrl-C; nothing is left otherwise
                    request.cancel()


def _spare_the_collector() -> None:
    """What is there now stays, so collections need not look at it again; and they may come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()  # off since the program began (`start.py`)


async def _until_started(server: uvicorn.Server, task: asyncio.Task[None], settings: Settings) -> None:
    while not server.started:
        if task.done():
            try:
                await task
            except OSError as error:
                raise _cannot_listen(settings, error) from None
            return
        await asyncio.sleep(START_POLL_S)


@contextmanager
def bound(settings: Settings) -> Iterator[socket.socket]:
    """The address is ours before the seconds that opening the house takes; nobody is let in yet."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise _cannot_listen(settings, error) from None
        yield listener


@contextmanager
def _handed_over(fd: int | None) -> Iterator[list[socket.socket]]:
    """The sockets that a parent or a service manager listens on for us, beside the address that is ours alone.

    Replicas share them: while one is replaced, the others take its customers.
    """
    descriptors = [] if fd is None else [fd]
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        number = int(os.environ.get("LISTEN_FDS", "0"))
        descriptors += range(FIRST_HANDED_FD, FIRST_HANDED_FD + number)
    with ExitStack() as stack:
        yield [stack.enter_context(socket.socket(fileno=descriptor)) for descriptor in descriptors]


def _cannot_listen(settings: Settings, error: OSError) -> CannotListen:
    return CannotListen(
        f"Cannot listen on {settings.host}, port {settings.port}: {error.strerror}. "
        "Set CONTROL_PLANE_PORT or CONTROL_PLANE_HOST."
    )


def show_new_master_key(settings: Settings) -> None:
    """Prints a master key that was made just now: this once, to the terminal, never to the log."""
    key, is_new = find_master_key(settings)
    if is_new:
        print(f"A master key was made: {key}\nIt is kept in {settings.var / 'master_key'}.", file=sys.stderr)  # noqa: T201
