"""A database that hangs refuses nobody: it is silent, and counts as away all the same."""

import os
import signal

import pytest
from sqlalchemy import text

from control_plane.errors import DatabaseUnavailable
from control_plane.storage.database import Database, Tx


async def test_a_database_that_says_nothing_is_unavailable_and_comes_back(postgres_url: str) -> None:
    """A frozen machine, a full disk: calls waited for their intent for ever, and nobody heard 503."""
    db = Database(postgres_url, pool_size=1, answer_timeout_s=0.2)
    async with db.reader() as reader:
        backend: int = await reader.scalar(text("SELECT pg_backend_pid()"))
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with db.transaction() as tx:
                await _work(tx)
    finally:
        os.kill(backend, signal.SIGCONT)
    async with db.reader() as reader:
        assert await reader.scalar(text("SELECT to_regclass('never')")) is None
        assert await reader.scalar(text("SELECT pg_backend_pid()")) != backend
    await db.aclose()


async def test_a_hot_transaction_does_not_wait_for_a_silent_database_either(postgres_url: str) -> None:
    """It waits in a thread: each of these would have kept one for ever."""
    db = Database(postgres_url, answer_timeout_s=0.2)
    backend = await db.run_in_thread(_backend)
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable):
            await db.run_in_thread(_work)
    finally:
        os.kill(backend, signal.SIGCONT)
    backends = {await db.run_in_thread(_backend) for _ in range(10)}
    assert backends
    assert backend not in backends
    async with db.reader() as reader:
        assert await reader.scalar(text("SELECT to_regclass('never')")) is None
    await db.aclose()


async def _backend(tx: Tx) -> int:
    number: int = await tx.scalar(text("SELECT pg_backend_pid()"))
    return number


async def _work(tx: Tx) -> None:
    await tx.execute(text("CREATE TABLE never (number integer)"))


async def test_work_that_says_it_is_long_may_take_its_time(db: Database) -> None:
    hasty = Database(db.url.render_as_string(hide_password=False), answer_timeout_s=0)
    with pytest.raises(DatabaseUnavailable):
        await hasty.check()
    async with hasty.transaction(is_long=True) as tx, hasty.reader(is_long=True) as reader:
        assert await tx.scalar(text("SELECT 1")) == await reader.scalar(text("SELECT 1"))
    await hasty.aclose()
