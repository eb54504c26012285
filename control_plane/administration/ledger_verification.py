"""The audit: reads every ledger from its beginning and reports what does not follow from it. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from control_plane.administration import ledger_verification_store
from control_plane.credits.verify import Discrepancy, RunningTotals, StoredTotals, job_misfit
from control_plane.errors import TeamNotFound
from control_plane.ids import TeamId
from control_plane.storage.database import Database, Reader

ROWS_AT_ONCE = 1000
FIRST_ID = UUID(int=0)
NOTHING = StoredTotals(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class Findings:
    """An audit's progress, and the first discrepancy of each team."""

    teams: int = 0
    entries: int = 0
    jobs: int = 0
    discrepancies: list[Discrepancy] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Entries and jobs read."""
        return self.entries + self.jobs


class LedgerVerifier:
    """Recomputes numbers, balances, hashes and bills. Each team is read as it was at one moment, while others work."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._findings = Findings()
        self._tell: Callable[[Findings], None] = lambda _: None

    async def count(self, team_id: TeamId | None = None) -> int:
        """The number of rows to read, for progress output."""
        async with self._db.reader(is_long=True) as reader:
            return await ledger_verification_store.count_rows(reader, team_id)

    async def run(self, team_id: TeamId | None = None, *, tell: Callable[[Findings], None] | None = None) -> Findings:
        """Audits one team, or all. Calls `tell` for every page read. Raises: TeamNotFound, DatabaseUnavailable."""
        self._findings = Findings()
        self._tell = tell or self._tell
        async with self._db.reader(is_long=True) as reader:
            teams = await ledger_verification_store.list_all_teams_with_credits(reader)
        if team_id is not None and team_id not in teams:
            raise TeamNotFound(f"There is no ledger of a team '{team_id}'.")
        for each in teams if team_id is None else [team_id]:
            async with self._db.snapshot() as reader:
                misfit = await self._audit(reader, each)
            self._findings.teams += 1
            if misfit is not None:
                self._findings.discrepancies.append(misfit)
        return self._findings

    async def _audit(self, reader: Reader, team_id: TeamId) -> Discrepancy | None:
        """The first row of the team that does not fit."""
        totals = RunningTotals(team_id)
        while page := await ledger_verification_store.list_entries_after(
            reader, team_id, totals.entries, limit=ROWS_AT_ONCE
        ):
            for entry in page:
                then = totals.followed_by(entry)
                if isinstance(then, Discrepancy):
                    return then
                totals = then
            self._findings.entries += len(page)
            self._tell(self._findings)
        return await self._audit_jobs(reader, team_id) or next(
            totals.discrepancies(await ledger_verification_store.find_kept(reader, team_id) or NOTHING), None
        )

    async def _audit_jobs(self, reader: Reader, team_id: TeamId) -> Discrepancy | None:
        last = FIRST_ID
        while page := await ledger_verification_store.list_charges_after(reader, team_id, last, limit=ROWS_AT_ONCE):
            deducted = await ledger_verification_store.find_deductions(reader, team_id, [job.id for job in page])
            for job in page:
                if misfit := job_misfit(team_id, job.id, job.charged, deducted.get(job.id, 0)):
                    return misfit
            last = page[-1].id
            self._findings.jobs += len(page)
            self._tell(self._findings)
        return None
