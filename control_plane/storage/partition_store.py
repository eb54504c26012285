"""SQL of the partitions, for Postgres. Names of tables are the program's own or the catalog's; they are quoted all the same."""

# ruff: noqa: S608 - of names that are the program's own, or of its tables in the catalog

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from control_plane.storage.database import Reader, Tx
from control_plane.storage.months import Month, Partition, partition_of

MOST_MOVED = 1000
"""Rows that are moved from the default partition into a new one, while neither can be written to."""

STATEMENT_TIMEOUT_MS = 5000
"""Of a statement while writers wait."""

_OBSTACLES = """
WITH wanted AS (SELECT oid, relnamespace, relowner, relrowsecurity FROM pg_class WHERE oid = to_regclass(:table))
SELECT 'trigger ' || tgname FROM pg_trigger, wanted WHERE tgrelid = wanted.oid AND NOT tgisinternal
UNION SELECT 'view ' || ev_class::regclass::text FROM pg_depend, pg_rewrite, wanted
    WHERE classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
    AND refobjid = wanted.oid AND ev_class <> wanted.oid
UNION SELECT 'foreign key ' || conname FROM pg_constraint, wanted
    WHERE contype = 'f' AND wanted.oid IN (conrelid, confrelid)
UNION SELECT 'publication ' || pubname FROM pg_publication_tables, wanted, pg_class, pg_namespace
    WHERE pg_class.oid = wanted.oid AND pg_namespace.oid = pg_class.relnamespace
    AND tablename = relname AND schemaname = nspname
UNION SELECT 'row security' FROM wanted WHERE relrowsecurity
UNION SELECT 'owner ' || pg_get_userbyid(relowner) FROM wanted WHERE NOT pg_has_role(relowner, 'USAGE')
UNION SELECT 'no CREATE in schema ' || relnamespace::regnamespace::text FROM wanted
    WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
ORDER BY 1
"""
"""What would go on with the old table instead of the new one, or what the user of this connection may not do."""

_INDEXES = """
SELECT pg_class.relname AS name, indisprimary AS is_primary, pg_get_indexdef(indexrelid) AS definition,
    pg_get_constraintdef(pg_constraint.oid) AS constraint_definition
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid LEFT JOIN pg_constraint ON conindid = indexrelid
WHERE indrelid = to_regclass(:table) AND indisvalid ORDER BY pg_class.relname
"""

_GRANTS = """
SELECT format('GRANT %s ON %s TO %s%s', privilege_type, CAST(:table AS text),
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(:table) AND grantee <> relowner
"""

_PARTITIONS = """
SELECT relname AS name, pg_get_expr(relpartbound, pg_class.oid) AS bound
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass(:table) ORDER BY relname
"""

_CHECKS = "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'c'"


async def is_partitioned(reader: Reader, table: str) -> bool:
    """Whether it is. A table that does not exist is not."""
    kind = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:table)"
    return bool(await reader.scalar(text(kind), {"table": table}))


async def is_empty(reader: Reader, table: str) -> bool:
    """Whether it has no rows."""
    return not await reader.scalar(text(f'SELECT EXISTS (SELECT 1 FROM "{table}")'))


async def list_obstacles(reader: Reader, table: str) -> Sequence[str]:
    """What keeps a table from becoming partitioned."""
    return list((await reader.execute(text(_OBSTACLES), {"table": table})).scalars())


async def list_partitions(reader: Reader, table: str) -> Sequence[Partition]:
    """The partitions of a table; none for one that is not partitioned."""
    rows = await reader.execute(text(_PARTITIONS), {"table": table})
    return [partition_of(row.name, row.bound) for row in rows]


async def lock(tx: Tx, table: str, *, keeps_writers: bool = False) -> None:
    """Waits for the table as long as the transaction allows. `keeps_writers`: only others that change the table wait.

    What the transaction makes afterwards is made where the table is, whatever the search path.
    """
    mode = "SHARE UPDATE EXCLUSIVE" if keeps_writers else "ACCESS EXCLUSIVE"
    await tx.execute(text(f'LOCK TABLE ONLY "{table}" IN {mode} MODE'))
    await tx.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
    path = """SELECT set_config('search_path', quote_ident(nspname), true)
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass(:table)"""
    await tx.execute(text(path), {"table": table})


async def checked_month(reader: Reader, table: str) -> Month | None:
    """The month before which all ids are, by the CHECK that `add_check` made."""
    for name in (await reader.execute(text(_CHECKS), {"table": table})).scalars():
        if name.startswith(_check(table, None)):
            return Month.parse(name.removeprefix(_check(table, None)).replace("_", "-"))
    return None


async def add_check(tx: Tx, table: str, first: Month) -> None:
    """A CHECK of what is written from now on."""
    check = f"""CHECK (id < '{first.first_id}') NOT VALID"""
    await tx.execute(text(f'ALTER TABLE "{table}" ADD CONSTRAINT {_check(table, first)} {check}'))


async def validate_check(tx: Tx, table: str, first: Month) -> None:
    """Holds the CHECK against every row. Validating it again does nothing."""
    await tx.execute(text(f'ALTER TABLE "{table}" VALIDATE CONSTRAINT {_check(table, first)}'))


async def drop_check(tx: Tx, table: str, first: Month) -> None:
    """Takes the CHECK away."""
    await tx.execute(text(f'ALTER TABLE "{table}" DROP CONSTRAINT {_check(table, first)}'))


async def exchange(tx: Tx, table: str, first: Month) -> None:
    """A new, partitioned table takes the place of the locked one, which becomes its partition of all before a month."""
    indexes = list(await tx.execute(text(_INDEXES), {"table": table}))
    grants = list((await tx.execute(text(_GRANTS), {"table": table})).scalars())
    owner = await tx.scalar(
        text("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(:table)"),
        {"table": table},
    )
    before = f"{table}_before"
    await _do(tx, f'ALTER TABLE "{table}" RENAME TO "{before}"')
    for index in indexes:
        await _do(tx, f'ALTER INDEX "{index.name}" RENAME TO "{index.name[:56]}_before"')
    like = f'LIKE "{before}" INCLUDING ALL EXCLUDING INDEXES EXCLUDING CONSTRAINTS'
    await _do(tx, f'CREATE TABLE "{table}" ({like}) PARTITION BY RANGE (id)')
    for index in indexes:
        await _do(
            tx,
            index.definition
            if index.constraint_definition is None
            else f'ALTER TABLE "{table}" ADD CONSTRAINT "{index.name}" {index.constraint_definition}',
        )
    await _do(tx, f'ALTER TABLE "{table}" OWNER TO {owner}', *grants)
    await _do(
        tx, f"""ALTER TABLE "{table}" ATTACH PARTITION "{before}" FOR VALUES FROM (MINVALUE) TO ('{first.first_id}')"""
    )
    await _do(tx, f'ALTER TABLE "{before}" DROP CONSTRAINT IF EXISTS {_check(table, first)}')


async def add_month(tx: Tx, table: str, month: Month) -> None:
    """A partition for a month, with what the default one holds of it."""
    name, default = f"{table}_{month.suffix}", f"{table}_default"
    start, end = month.first_id, month.plus(1).first_id
    await _do(tx, f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING ALL)')
    if await tx.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": default}):
        await _do(
            tx,
            f'LOCK TABLE "{default}" IN ACCESS EXCLUSIVE MODE',
            f"""WITH moved AS (DELETE FROM "{default}" WHERE id >= '{start}' AND id < '{end}' RETURNING *)
                INSERT INTO "{name}" SELECT * FROM moved""",
        )
    await _do(tx, f"""ALTER TABLE "{table}" ATTACH PARTITION "{name}" FOR VALUES FROM ('{start}') TO ('{end}')""")


async def add_default(tx: Tx, table: str) -> None:
    """A partition for ids of months that have none."""
    await _do(tx, f'CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT')


async def count_default(reader: Reader, table: str, month: Month) -> int:
    """How many rows of a month the default partition holds; as many as are counted if there are more than can be moved."""
    if not await reader.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": f"{table}_default"}):
        return 0
    ids = "id >= :start AND id < :end"
    counting = f'SELECT count(*) FROM (SELECT 1 FROM "{table}_default" WHERE {ids} LIMIT {MOST_MOVED + 1}) AS found'
    values = {"start": month.first_id, "end": month.plus(1).first_id}
    return int(await reader.scalar(text(counting), values))


async def count(reader: Reader, partition: str) -> int:
    """How many rows a partition has."""
    return int(await reader.scalar(text(f'SELECT count(*) FROM "{partition}"')))


async def drop(tx: Tx, table: str, partition: str) -> None:
    """Drops a partition of a locked table; does nothing when it is gone."""
    if any(each.name == partition for each in await list_partitions(tx, table)):
        await _do(tx, f'ALTER TABLE "{table}" DETACH PARTITION "{partition}"', f'DROP TABLE "{partition}"')


async def delete_before(tx: Tx, partition: str, before: UUID, *, limit: int) -> int:
    """Deletes so many rows of a partition with smaller ids, the oldest first; returns how many there were."""
    oldest = f'SELECT id FROM "{partition}" WHERE id < :before ORDER BY id LIMIT :limit'
    deleted = await tx.execute(
        text(f'DELETE FROM "{partition}" WHERE id IN ({oldest})'), {"before": before, "limit": limit}
    )
    return int(deleted.rowcount)


async def _do(tx: Tx, *statements: str) -> None:
    for statement in statements:
        await tx.execute(text(statement.replace(":", r"\:")))


def _check(table: str, first: Month | None) -> str:
    return f"{table}_before_{first.suffix if first else ''}"
