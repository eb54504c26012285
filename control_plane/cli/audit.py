"""`control-plane audit`: the audit log."""

import asyncio
from typing import Annotated

import typer

from control_plane import clock
from control_plane.audit.service import AuditLog
from control_plane.cli import answers
from control_plane.cli.databases import existing_database
from control_plane.cli.output import AsJson, Json, echo, json_text, print_json, show_all
from control_plane.cli.progress import counting
from control_plane.cli.remote import Most, Url, ask_for_all
from control_plane.settings import Settings

audit_app = typer.Typer(name="audit", help="The audit log: who changed what.", no_args_is_help=True)

COLUMNS = ("number", "created_at", "means", "actor", "action", "target", "reason")


@audit_app.command("list")
def list_entries(
    action: Annotated[str | None, typer.Option(help="Only this action, as team.created.")] = None,
    target: Annotated[str | None, typer.Option(help="Only about this id.")] = None,
    actor_id: Annotated[str | None, typer.Option(help="Only of this token or key.")] = None,
    limit: Most = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List entries, newest first."""
    query: Json = {"action": action, "target": target, "actor_id": actor_id}
    rows = ask_for_all(url, "audit", name="entries", shape=answers.AuditEntry, limit=limit, query=query)
    show_all(rows, *COLUMNS, as_json=as_json)


@audit_app.command()
def verify(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: is_whole, entries, mistake.")] = False,
) -> None:
    """Recompute the hash chain; report the first entry that does not follow from those before.

    Read-only; may run beside a server. Exits with 1 if anything does not match.
    """
    entries, mistake = asyncio.run(_verify(Settings()))
    if as_json:
        print_json({"is_whole": mistake is None, "entries": entries, "mistake": mistake})
    else:
        echo(
            f"OK: {entries} entries follow from each other." if mistake is None else f"The log was changed: {mistake}."
        )
    if mistake is not None:
        raise typer.Exit(1)


@audit_app.command()
def export() -> None:
    """Write every entry to standard output, oldest first: one JSON object a line."""
    asyncio.run(_export(Settings()))


async def _verify(settings: Settings) -> tuple[int, str | None]:
    async with existing_database(settings.database_url) as db:
        log = AuditLog(db, clock=clock.now)
        entries = await log.count()
        with counting("entries", entries) as advance:
            return entries, await log.verify(tell=lambda read: advance(read, None))


async def _export(settings: Settings) -> None:
    async with existing_database(settings.database_url) as db:
        async for entry in AuditLog(db, clock=clock.now).entries():
            typer.echo(json_text(entry.model_dump(mode="json"), indent=None))
