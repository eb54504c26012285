"""`control-plane ledger`: verifies the ledger."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from control_plane.administration.ledger_verification import Findings, LedgerVerifier
from control_plane.cli.databases import existing_database
from control_plane.cli.output import echo, print_json
from control_plane.cli.progress import counting
from control_plane.credits.verify import Discrepancy
from control_plane.ids import TeamId
from control_plane.settings import Settings

ledger_app = typer.Typer(name="ledger", help="Verify the credit ledger.", no_args_is_help=True)


@ledger_app.command()
def verify(
    team: Annotated[str | None, typer.Option(help="Only this team.", show_default="all")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: is_in_order, teams, entries, jobs, discrepancies.")
    ] = False,
) -> None:
    """Recompute every balance, hash chain and bill; report each team's first row that does not match.

    Read-only; may run beside a server. Exits with 1 if anything does not match.
    """
    findings = asyncio.run(_verify(Settings(), None if team is None else TeamId(team)))
    if as_json:
        print_json({"is_in_order": not findings.discrepancies, **asdict(findings)})
    else:
        echo(_as_text(findings))
    if findings.discrepancies:
        raise typer.Exit(1)


async def _verify(settings: Settings, team_id: TeamId | None) -> Findings:
    async with existing_database(settings.database_url) as db:
        audit = LedgerVerifier(db)
        rows = await audit.count(team_id)
        with counting("entries and jobs", rows) as advance:
            return await audit.run(team_id, tell=lambda found: advance(found.rows, None))


def _as_text(findings: Findings) -> str:
    read = f"{findings.entries} entries and {findings.jobs} jobs of {findings.teams} team(s)"
    if not findings.discrepancies:
        return f"OK: {read} fit together."
    wrong = "\n".join(_sentence(misfit) for misfit in findings.discrepancies)
    return f"{wrong}\n{len(findings.discrepancies)} of {findings.teams} team(s) do not fit; each ledger was read up to there."


def _sentence(misfit: Discrepancy) -> str:
    where = f"entry {misfit.number}, " if misfit.number is not None else ""
    row = f" ({where}id {misfit.id})" if misfit.id is not None else ""
    return f"{misfit.team_id}: {misfit.what}{row}: expected {misfit.expected}, found {misfit.found}"
