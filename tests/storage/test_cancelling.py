"""A request that is cancelled inside a transaction leaves the database as usable as it was."""

import asyncio

import anyio
import pytest
from sqlalchemy import text

from control_plane.storage.database import Database


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_a_cancelled_transaction_does_not_stay_open(db: Database, how: str) -> None:
    """Cancelled while it began, SQLite's only writing connection stayed in it: every later write was a 503."""
    async with db.transaction() as tx:
        await tx.execute(text("CREATE TABLE notes (number integer PRIMARY KEY)"))

    async def note(number: int) -> None:
        async with db.transaction() as tx:
            await tx.execute(text("INSERT INTO notes VALUES (:number)"), {"number": number})

    for turns in range(25):
        if how == "task":
            writing = asyncio.create_task(note(turns))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(note, turns)
                for _ in range(turns):
                    await asyncio.sleep(0)
                group.cancel_scope.cancel()
        await note(1000 + turns)
    async with db.reader() as reader:
        assert await reader.scalar(text("SELECT count(*) FROM notes WHERE number >= 1000")) == 25
