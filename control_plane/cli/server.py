"""`serve` and `migrate`."""

import asyncio
import sys

import uvicorn

from control_plane.errors import HouseError
from control_plane.logs import configure_logging
from control_plane.master_key import find_master_key
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate as migrate_database


def migrate(settings: Settings) -> None:
    """Brings the database to the newest schema."""

    async def run() -> None:
        db = Database(settings.database_url)
        try:
            await migrate_database(db)
        finally:
            await db.aclose()

    asyncio.run(run())


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or Ctrl-C; running calls may end until the grace is over. Exits with 1 if it cannot start."""
    configure_logging(settings.log_level, settings.log_format)
    show_new_master_key(settings)
    server = uvicorn.Server(server_config(settings))
    server.run()
    if not server.started:
        sys.exit(1)


def server_config(settings: Settings) -> uvicorn.Config:
    """How uvicorn runs us."""
    from control_plane.app import create_app  # noqa: PLC0415 - seconds of imports that other commands need not pay

    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_grace_s),
    )


def show_new_master_key(settings: Settings) -> None:
    """Prints a master key that was made just now: this once, to the terminal, never to the log."""
    key, is_new = find_master_key(settings)
    if is_new:
        print(f"A master key was made: {key}\nIt is kept in {settings.var / 'master_key'}.", file=sys.stderr)  # noqa: T201


def explain(error: HouseError) -> None:
    """What went wrong, for people, without a traceback."""
    print(f"control-plane: {error.message}", file=sys.stderr)  # noqa: T201
