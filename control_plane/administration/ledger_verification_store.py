"""SQL of the audit: ledgers and jobs in pages, and the totals stored beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, union
from sqlmodel import col

from control_plane.credits.models import CreditBalance, CreditGrant, LedgerEntry
from control_plane.credits.rules import EntryKind
from control_plane.credits.verify import Entry, StoredTotals
from control_plane.ids import JobId, TeamId
from control_plane.jobs.models import Job
from control_plane.storage.database import Reader
from control_plane.storage.rows import every


async def list_all_teams_with_credits(reader: Reader) -> Sequence[TeamId]:
    """Every team with a balance, a ledger or a grant, by id: deleted ones too."""
    known = union(*(select(col(table.team_id)) for table in (CreditBalance, LedgerEntry, CreditGrant)))
    return [TeamId(row.team_id) for row in await reader.execute(known.order_by("team_id"))]


async def count_rows(reader: Reader, team_id: TeamId | None) -> int:
    """The number of entries and jobs to read, of one team or of all."""
    rows = 0
    for table in (LedgerEntry, Job):
        statement = select(func.count()).select_from(table)
        if team_id is not None:
            statement = statement.where(col(table.team_id) == team_id)
        rows += await reader.scalar(statement) or 0
    return rows


async def list_entries_after(reader: Reader, team_id: TeamId, number: int, *, limit: int) -> Sequence[Entry]:
    """The team's ledger from the entry after `number` on, oldest first."""
    statement = (
        every(LedgerEntry)
        .where(col(LedgerEntry.team_id) == team_id, col(LedgerEntry.number) > number)
        .order_by(col(LedgerEntry.number))
        .limit(limit)
    )
    return [Entry(**row) for row in (await reader.execute(statement)).mappings()]


@dataclass(frozen=True, slots=True)
class JobCharge:
    """A job's recorded charge. None: it is open."""

    id: JobId
    charged: int | None


async def list_charges_after(reader: Reader, team_id: TeamId, job_id: UUID, *, limit: int) -> Sequence[JobCharge]:
    """The team's jobs with ids after this one."""
    statement = (
        select(col(Job.id), col(Job.credits_charged))
        .where(col(Job.team_id) == team_id, col(Job.id) > job_id)
        .order_by(col(Job.id))
        .limit(limit)
    )
    return [JobCharge(JobId(row.id), row.credits_charged) for row in await reader.execute(statement)]


async def find_deductions(reader: Reader, team_id: TeamId, job_ids: Sequence[JobId]) -> Mapping[JobId, int]:
    """The deductions of jobs, in credits; those without a deduction are left out."""
    statement = select(
        col(LedgerEntry.ref), -(col(LedgerEntry.available_delta) + col(LedgerEntry.held_delta)).label("deducted")
    ).where(
        col(LedgerEntry.kind) == EntryKind.DEDUCTION.value,
        col(LedgerEntry.ref).in_([str(job_id) for job_id in job_ids]),
        col(LedgerEntry.team_id) == team_id,
    )
    return {JobId(UUID(row.ref)): row.deducted for row in await reader.execute(statement)}


async def find_kept(reader: Reader, team_id: TeamId) -> StoredTotals | None:
    """The totals stored beside the team's ledger; None: not even a balance."""
    balance = (await reader.execute(every(CreditBalance).where(col(CreditBalance.team_id) == team_id))).one_or_none()
    if balance is None:
        return None
    grants = select(func.coalesce(func.sum(col(CreditGrant.remaining)), 0)).where(col(CreditGrant.team_id) == team_id)
    jobs = select(
        func.coalesce(func.sum(col(Job.credits_held)), 0).label("held"),
        func.coalesce(func.sum(col(Job.credits_charged)), 0).label("charged"),
    ).where(col(Job.team_id) == team_id)
    sums = (await reader.execute(jobs)).one()
    return StoredTotals(
        allocated=balance.allocated,
        used=balance.used,
        available=balance.available,
        held=balance.held,
        entries=balance.entries,
        granted_left=int(await reader.scalar(grants) or 0),
        jobs_held=int(sums.held),
        jobs_charged=int(sums.charged),
    )
