"""`control-plane spend archive`: a month's calls and spend logs go from the database into files."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli.databases import existing_database
from control_plane.cli.output import echo, print_json
from control_plane.cli.progress import counting
from control_plane.clock import now
from control_plane.reconciliation.archive import ArchiveService, file_of
from control_plane.reconciliation.archiving import Exported
from control_plane.settings import Settings
from control_plane.storage.months import Month
from control_plane.units import usd


def archive(
    month: Annotated[str, typer.Option(help="The month to archive, in UTC, as 2026-01; the oldest first.")],
    to: Annotated[Path, typer.Option(help="The folder for calls-MONTH.jsonl.gz and spend_logs-MONTH.jsonl.gz.")],
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Only write the files; remove nothing.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON: month, is_removed, and by table (calls, spend_logs) file, rows, cost_nano_usd."
        ),
    ] = False,
) -> None:
    """Write a month's calls and spend logs to files, check them, and remove the rows. No bill and no usage changes."""
    wanted = Month.parse(month)
    exported = asyncio.run(_archive(Settings(), wanted, to, is_kept=keep))
    files = {table: str(file_of(to, table, wanted)) for table in exported.tables}
    if as_json:
        tables = {
            table: {"file": files[table], "rows": each.rows, "cost_nano_usd": each.cost}
            for table, each in exported.tables.items()
        }
        print_json({"month": str(wanted), "is_removed": not keep, **tables})
        return
    for table, each in exported.tables.items():
        echo(f"{files[table]}: {each.rows} {table.replace('_', ' ')}, {usd(each.cost):.9f} USD")
    echo("Nothing was removed." if keep else f"{wanted} was removed from the database.")


async def _archive(settings: Settings, month: Month, folder: Path, *, is_kept: bool) -> Exported:
    async with existing_database(settings.database_url) as db:
        service = ArchiveService(db, clock=now)
        with counting("rows") as advance:
            exported = await service.export(month, folder, progress=advance)
            if not is_kept:
                await service.remove(exported)
        return exported
