"""A real Postgres for the run, from the wheel, with its default durability."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server: an empty database behind `url`, and its postmaster."""

    url: str
    pid: int


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Postgres]:
    """Serves until the block is left. Raises: whatever the wheel raises when it cannot run here."""
    with warnings.catch_warnings(action="ignore"):  # it warns where the shell has no runtime folder
        import pgserver  # noqa: PLC0415  # where the wheel is missing, the rest of the benchmark still runs

    server = await asyncio.to_thread(pgserver.get_server, folder / "pgdata")
    try:
        yield Postgres(server.get_uri(), server.get_pid())
    finally:
        await asyncio.to_thread(server.cleanup)
