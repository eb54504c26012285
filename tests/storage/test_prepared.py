"""Statements that are compiled once and run on the driver mean what SQLAlchemy says they mean, on both databases."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Executable, bindparam, delete, insert, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from control_plane.ids import new_id
from control_plane.jobs.models import OpenCall
from control_plane.storage.columns import UtcDateTime
from control_plane.storage.database import Database, Tx
from control_plane.storage.postgres import PostgresPool
from control_plane.storage.prepared import Prepared
from control_plane.storage.rows import every, many, one

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(**values: object) -> dict[str, Any]:
    common = {"job_id": new_id(), "team_id": "acme", "worker_id": new_id(), "purpose": None, "model_group": "g"}
    numbers = dict.fromkeys(("prompt_tokens", "cost_nano_usd", "price_nano_usd", "markup_bps", "worst_nano_usd"), 1)
    reserved = {"reserved_tokens": 2**40, "reserved_cost_nano_usd": 2**62, "is_stream": True, "created_at": NOON}
    return {"id": new_id(), "metadata": {"a": ["é", None]}, **common, **numbers, **reserved, **values}


ROWS = [row(team_id=f"team {number}") for number in range(9)]


async def both_ways(tx: Tx, statement: Executable, parameters: Any = None) -> tuple[list[Any], list[Any]]:
    """Rows by SQLAlchemy, and by the driver."""
    by_core = [tuple(each) for each in await tx.execute(statement, parameters)]
    return by_core, [tuple(each) for each in await tx.execute(Prepared(statement), parameters)]


async def written(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    await tx.execute(Prepared(insert(OpenCall)), list(rows))


async def test_lists_of_every_length_find_what_they_name(db: Database) -> None:
    one_column = (
        every(OpenCall).where(col(OpenCall.id).in_(bindparam("ids", expanding=True))).order_by(col(OpenCall.id))
    )
    pairs = select(col(OpenCall.id)).where(
        tuple_(col(OpenCall.id), col(OpenCall.team_id)).in_(bindparam("pairs", expanding=True))
    )
    prepared = Prepared(pairs)

    async def look(tx: Tx) -> None:
        await written(tx, ROWS)
        for count in range(1, len(ROWS) + 1):
            ids = [each["id"] for each in ROWS[:count]]
            by_core, by_driver = await both_ways(tx, one_column, {"ids": ids})
            assert len(by_core) == count
            assert by_driver == by_core
            theirs = [(each["id"], each["team_id"]) for each in ROWS[:count]]
            found = {each.id for each in await tx.execute(prepared, {"pairs": [*theirs, (ROWS[8]["id"], "nobody")]})}
            assert found == set(ids)
        assert await both_ways(tx, one_column, {"ids": []}) == ([], [])

    await db.run_in_thread(look)


async def test_values_of_every_type_come_back_as_they_went(db: Database) -> None:
    async def look(tx: Tx) -> None:
        await written(tx, ROWS[:1])
        found = one(OpenCall, await tx.execute(Prepared(every(OpenCall))))
        assert found is not None
        kept = {"metadata": found.metadata_, **{name: getattr(found, name) for name in ROWS[0] if name != "metadata"}}
        assert kept == ROWS[0]
        at_noon = every(OpenCall).where(col(OpenCall.created_at) == bindparam("at", type_=UtcDateTime))
        assert len(many(OpenCall, await tx.execute(Prepared(at_noon), {"at": NOON}))) == 1

    await db.run_in_thread(look)


async def test_several_sets_of_values_change_and_return_each_of_their_rows(db: Database) -> None:
    change = (
        update(OpenCall)
        .where(col(OpenCall.id) == bindparam("call"))
        .values(prompt_tokens=col(OpenCall.prompt_tokens) + bindparam("more"))
    )
    sets = [{"call": each["id"], "more": number} for number, each in enumerate(ROWS[:3])]

    async def look(tx: Tx) -> None:
        await written(tx, ROWS[:4])
        await tx.execute(Prepared(change), sets)
        taken = Prepared(
            delete(OpenCall).where(col(OpenCall.id) == bindparam("call")).returning(col(OpenCall.prompt_tokens))
        )
        calls = [{"call": each["id"]} for each in ROWS[:5]]
        assert [each.prompt_tokens for each in await tx.execute(taken, calls)] == [1, 2, 3, 1]
        assert await tx.scalar(Prepared(select(col(OpenCall.id)))) is None

    await db.run_in_thread(look)


async def test_a_rule_of_the_database_that_is_broken_is_the_same_error(db: Database) -> None:
    async def look(tx: Tx) -> None:
        await written(tx, ROWS[:1])
        await written(tx, ROWS[:1])

    with pytest.raises(IntegrityError) as caught:
        await db.run_in_thread(look)
    assert "acme" not in str(caught.value), "values are customers'"
    assert "team 0" not in str(caught.value)


async def test_a_connection_that_died_is_made_anew_and_the_pool_is_told(postgres_url: str) -> None:
    db = Database(postgres_url)

    async def count(tx: Tx) -> list[Any]:
        return [tuple(each) for each in await tx.execute(Prepared(select(col(OpenCall.id))))]

    assert await db.run_in_thread(count) == []
    async with db.transaction() as tx:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        await tx.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    assert await db.run_in_thread(count) == []
    assert isinstance(db._backend, PostgresPool)
    assert db._backend._gone_at > 0
    await db.aclose()


async def test_outside_of_threads_the_statement_itself_is_run(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute(Prepared(insert(OpenCall)), ROWS[0])
        await tx.execute(Prepared(insert(OpenCall)), ROWS[1:3])
        found = many(OpenCall, await tx.execute(Prepared(every(OpenCall).order_by(col(OpenCall.id)))))
        taken = Prepared(delete(OpenCall).where(col(OpenCall.id) == bindparam("call")).returning(col(OpenCall.id)))
        gone = await tx.execute(taken, [{"call": each["id"]} for each in ROWS[1:4]])
    assert [each.id for each in found] == [each["id"] for each in ROWS[:3]]
    assert [each.id for each in gone] == [each["id"] for each in ROWS[1:3]]
