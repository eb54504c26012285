"""`ledger verify`: the database refuses to change what was written, and whoever gets around it is found out."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from control_plane.administration.ledger_verification import LedgerVerifier
from control_plane.credits import posting
from control_plane.credits.chain import entry_hash
from control_plane.credits.grants import Terms
from control_plane.credits.rules import EntryKind, settle
from control_plane.credits.values import EntryContext
from control_plane.credits.verify import Discrepancy, Entry, RunningTotals, StoredTotals, job_misfit
from control_plane.errors import TeamNotFound
from control_plane.ids import JobId, TeamId
from control_plane.jobs.rules import JobStatus
from control_plane.jobs.values import Closing, NewJob
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.units import Credits
from tests.acceptance.processes.process import environment
from tests.credits.ledgers import audit
from tests.support.ledger import Books
from tests.support.server import Team
from tests.support.services import ACME, ADMIN, DomainServices

OTHER = TeamId("other")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def chain(*moves: tuple[EntryKind, int, int]) -> list[Entry]:
    """A ledger that fits."""
    entries: list[Entry] = []
    available = held = 0
    previous = ""
    for number, (kind, available_delta, held_delta) in enumerate(moves, start=1):
        available, held = available + available_delta, held + held_delta
        entry = Entry(
            UUID(int=number), ACME, number, kind.value, f"ref {number}",
            available_delta, held_delta, available, held, None, "test", NOW, "",
        )  # fmt: skip
        previous = entry_hash(previous, entry.columns)
        entries.append(replace(entry, hash=previous))
    return entries


LEDGER = chain(
    (EntryKind.GRANT, 10, 0),
    (EntryKind.HOLD, -4, 4),
    (EntryKind.DEDUCTION, 0, -3),
    (EntryKind.RELEASE, 1, -1),
    (EntryKind.EXPIRY, -2, 0),
    (EntryKind.REFUND, 1, 0),
)
LEADS_TO = StoredTotals(
    allocated=8, used=2, available=6, held=0, entries=6, granted_left=6, jobs_held=0, jobs_charged=3
)


def read(entries: list[Entry]) -> RunningTotals | Discrepancy:
    totals: RunningTotals | Discrepancy = RunningTotals(ACME)
    for entry in entries:
        assert isinstance(totals, RunningTotals)
        totals = totals.followed_by(entry)
        if isinstance(totals, Discrepancy):
            break
    return totals


def test_a_ledger_that_fits_leads_to_what_is_kept_beside_it() -> None:
    totals = read(LEDGER)
    assert isinstance(totals, RunningTotals)
    assert list(totals.discrepancies(LEADS_TO)) == []


@pytest.mark.parametrize("column", StoredTotals.__slots__)
def test_anything_else_beside_it_does_not_follow(column: str) -> None:
    totals = read(LEDGER)
    assert isinstance(totals, RunningTotals)
    wrong = replace(LEADS_TO, **{column: getattr(LEADS_TO, column) + 1})
    [misfit] = totals.discrepancies(wrong)
    assert int(misfit.found) == int(misfit.expected) + 1
    assert column.removeprefix("jobs_").removeprefix("granted_") in misfit.what.replace("remaining", "left")


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"kind": "gift"}, "kind"),
        ({"kind": "refund"}, "hash"),
        ({"number": 9}, "number"),
        ({"available_delta": 7}, "available_after"),
        ({"held_delta": 1}, "held_after"),
        ({"available_after": 7}, "available_after"),
        ({"held_after": 1}, "held_after"),
        ({"ref": "other"}, "hash"),
        ({"reason": "because"}, "hash"),
        ({"actor": "nobody"}, "hash"),
        ({"created_at": NOW.replace(microsecond=1)}, "hash"),
        ({"id": UUID(int=99)}, "hash"),
        ({"team_id": "other"}, "hash"),
        ({"hash": ""}, "hash"),
        ({"available_delta": 11, "available_after": 11}, "hash"),
    ],
)
def test_an_entry_that_was_changed_is_named(change: dict[str, Any], column: str) -> None:
    misfit = read([replace(LEDGER[0], **change), *LEDGER[1:]])
    assert isinstance(misfit, Discrepancy)
    assert misfit.what == f"ledger_entries.{column}"


@pytest.mark.parametrize("position", range(len(LEDGER) - 1))
def test_an_entry_that_was_removed_leaves_a_gap(position: int) -> None:
    misfit = read([*LEDGER[:position], *LEDGER[position + 1 :]])
    assert isinstance(misfit, Discrepancy)
    assert (misfit.what, misfit.number, misfit.expected) == ("ledger_entries.number", position + 2, str(position + 1))


def test_a_job_and_its_deduction_say_the_same() -> None:
    assert job_misfit(ACME, UUID(int=1), None, 0) is None
    assert job_misfit(ACME, UUID(int=1), 3, 3) is None
    assert job_misfit(ACME, UUID(int=1), 3, 0) == Discrepancy(
        ACME, "jobs.credits_charged", "0", "3", id=str(UUID(int=1))
    )


async def history(services: DomainServices, team_id: TeamId) -> list[JobId]:
    """A team with grants, jobs of three fates, a refund and an expiry; one job is still open."""
    principal = Principal(team_id=team_id)
    await services.team(team_id, credits_allocated=10)
    soon = Terms(priority=5, expires_at=services.clock().replace(hour=23))
    await services.credits.add(ADMIN, team_id, 7, reason="trial", terms=soon)
    jobs = [JobId((await services.jobs.create(principal, NewJob("test"))).id) for _ in range(4)]
    async with services.db.transaction() as tx:  # a call that was delivered
        await tx.execute(text("UPDATE jobs SET calls_delivered = 1, calls_succeeded = 1, calls_total = 1"))
    for job_id, status in zip(jobs, (JobStatus.COMPLETED, JobStatus.COMPLETED, JobStatus.FAILED), strict=False):
        await services.jobs.complete(principal, job_id, Closing(status))
    await services.administration.refunds.refund(ADMIN, team_id, jobs[0], 1, reason="sorry")
    services.clock.now = services.clock().replace(hour=23)
    await services.credits.expire_grants()
    services.clock.now = services.clock().replace(hour=12)
    return jobs


async def unlock(db: Database) -> None:
    """As an operator with all rights would, to change the ledger."""
    async with db.transaction() as tx:
        if db.is_sqlite:
            for change in ("update", "delete", "replace"):
                await tx.execute(text(f"DROP TRIGGER ledger_entries_no_{change}"))
        else:
            await tx.execute(text("DROP TRIGGER ledger_entries_append_only ON ledger_entries"))


async def change(db: Database, statement: str) -> None:
    async with db.transaction() as tx:
        assert (await tx.execute(text(statement))).rowcount > 0


AMOUNTS = "available_delta, held_delta, available_after, held_after, reason, actor, created_at, hash"
REPLACING = [
    (f"id, team_id, number, kind, ref, {AMOUNTS}", f"{key}, 1000, {AMOUNTS.partition(', ')[2]}")
    for key in (
        "id, 'x', 90, 'x', 'x'",
        "lower(hex(randomblob(16))), team_id, number, 'x', 'x'",
        "lower(hex(randomblob(16))), 'x', 90, kind, ref",
    )
]
"""SQLite deletes what a new row collides with, by its id, its place or what it is about, if it is told to."""


async def test_the_database_refuses_to_change_what_was_written(services: DomainServices) -> None:
    await history(services, ACME)
    statements = [
        "UPDATE ledger_entries SET available_delta = 1000 WHERE number = 1",
        "UPDATE ledger_entries SET reason = NULL",
        "DELETE FROM ledger_entries WHERE number = 3",
    ]
    if services.db.is_sqlite:
        statements += [
            f"REPLACE INTO ledger_entries ({columns}) SELECT {values} FROM ledger_entries WHERE number = 1"
            for columns, values in REPLACING
        ]
    else:
        statements += ["TRUNCATE ledger_entries", "DELETE FROM ledger_entries WHERE number = 1000000"]
    before = await services.credits.transactions(ADMIN, ACME, limit=1000, before=None)
    for statement in statements:
        with pytest.raises(DatabaseError, match="append-only"):
            async with services.db.transaction() as tx:
                await tx.execute(text(statement))
    assert await services.credits.transactions(ADMIN, ACME, limit=1000, before=None) == before


async def test_an_unchanged_ledger_is_in_order(services: DomainServices) -> None:
    await history(services, ACME)
    await history(services, OTHER)
    await services.team("new", credits_allocated=0)
    found = await audit(services)
    assert found.discrepancies == []
    assert (found.teams, found.jobs) == (3, 8)
    assert found.rows == await LedgerVerifier(services.db).count()
    assert (await LedgerVerifier(services.db).run(ACME)).teams == 1
    with pytest.raises(TeamNotFound):
        await LedgerVerifier(services.db).run(TeamId("nobody"))


@pytest.mark.parametrize(
    ("tampering", "what", "number"),
    [
        ("UPDATE ledger_entries SET available_delta = 11 WHERE number = 1 AND team_id = 'acme'", "available_after", 1),
        ("UPDATE ledger_entries SET reason = 'paid' WHERE number = 2 AND team_id = 'acme'", "hash", 2),
        ("UPDATE ledger_entries SET actor = 'you' WHERE number = 9 AND team_id = 'acme'", "hash", 9),
        ("DELETE FROM ledger_entries WHERE number = 4 AND team_id = 'acme'", "number", 5),
    ],
)
async def test_an_entry_changed_behind_our_back_is_named_and_the_other_teams_are_not(
    services: DomainServices, tampering: str, what: str, number: int
) -> None:
    await history(services, ACME)
    await history(services, OTHER)
    await unlock(services.db)
    await change(services.db, tampering)
    [misfit] = (await audit(services)).discrepancies
    assert (misfit.team_id, misfit.what, misfit.number) == (ACME, f"ledger_entries.{what}", number)
    entries = await services.credits.transactions(ADMIN, ACME, limit=1000, before=None)
    assert misfit.id == str(next(entry.id for entry in entries if entry.number == number))


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        (
            "UPDATE credit_balances SET allocated = allocated + 5, available = available + 5",
            "credit_balances.allocated",
        ),
        ("UPDATE credit_balances SET used = used - 1, available = available + 1", "credit_balances.used"),
        ("UPDATE credit_balances SET entries = entries + 1", "credit_balances.entries"),
        ("DELETE FROM credit_balances", "credit_balances.entries"),
        ("UPDATE credit_grants SET remaining = 0", "credit_grants.remaining, in all"),
        ("UPDATE jobs SET credits_held = 7 WHERE completed_at IS NULL", "jobs.credits_held, in all"),
        ("UPDATE jobs SET credits_charged = 2 WHERE status = 'completed'", "jobs.credits_charged"),
        ("UPDATE jobs SET credits_charged = 1 WHERE status = 'failed'", "jobs.credits_charged"),
        ("DELETE FROM jobs WHERE status = 'completed'", "jobs.credits_charged, in all"),
    ],
)
async def test_what_is_kept_beside_the_ledger_is_checked_against_it(
    services: DomainServices, tampering: str, what: str
) -> None:
    await history(services, ACME)
    await change(services.db, tampering)
    [misfit] = (await audit(services)).discrepancies
    assert misfit.what == what
    assert misfit.expected != misfit.found


@pytest.mark.slow
async def test_an_audit_beside_work_finds_nothing_wrong(services: DomainServices) -> None:
    """Each team is read as it was at one moment, or an entry of a moment later would not be in the balance yet."""
    await history(services, ACME)
    principal = Principal(team_id=ACME)

    async def work() -> None:
        for _ in range(15):
            job = await services.jobs.create(principal, NewJob("test"))
            await services.credits.add(ADMIN, ACME, 3, reason="more")
            await services.jobs.complete(principal, JobId(job.id), Closing(JobStatus.CANCELLED))

    async def look() -> None:
        while not working.done():
            assert (await audit(services)).discrepancies == []

    working = asyncio.gather(work(), work())
    await asyncio.gather(look(), working)


async def test_deduction_and_release_of_a_job_are_two_entries_of_one_chain(services: DomainServices) -> None:
    await services.team(credits_allocated=10)
    async with services.db.transaction() as tx:
        movements = settle(Credits(2), 0)
        await posting.post(tx, ACME, movements, EntryContext("first", services.clock(), "test"))
    [misfit] = (await audit(services)).discrepancies
    assert misfit.what == "jobs.credits_charged, in all", "the deduction belongs to no job"


async def verify(db: Database, folder: Path, *more: str) -> tuple[int, str, str]:
    url = db.url.set(drivername=db.url.get_backend_name()).render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control_plane.cli", "ledger", "verify", *more),
        cwd=folder,
        env=environment(folder, database_url=url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, shown = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), shown.decode()


async def test_the_command_reads_beside_a_running_server(team: Team, server: Any, tmp_path: Path) -> None:
    job_id = await team.create_job()
    assert (await team.call(job_id)).status_code == 200
    await team.complete(job_id)
    await team.create_job()
    (await Books.of(team)).check()
    db: Database = server.services.db
    code, said, shown = await verify(db, tmp_path)
    assert (code, said) == (0, "OK: 4 entries and 2 jobs of 1 team(s) fit together.\n"), shown
    assert shown == ""  # the progress is for terminals
    await unlock(db)
    await change(db, "UPDATE ledger_entries SET available_after = 42 WHERE number = 2")
    code, said, _ = await verify(db, tmp_path, "--team", team.id)
    assert code == 1
    assert said.startswith(f"{team.id}: ledger_entries.available_after (entry 2, id ")
    assert ": expected 99, found 42\n" in said
    code, said, _ = await verify(db, tmp_path, "--json")
    found = json.loads(said)
    assert (code, found["is_in_order"], found["discrepancies"][0]["number"]) == (1, False, 2)
    code, _, shown = await verify(db, tmp_path, "--team", "nobody")
    assert (code, "no ledger of a team 'nobody'" in shown) == (1, True)
