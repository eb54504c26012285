"""The command line: `control-plane serve | migrate | demo | smoke | doctor | config … | org … | team … | key … | credits … | jobs … | …`."""

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import ValidationError

from control_plane.cli import server
from control_plane.cli.accounts import credits_app, jobs_app
from control_plane.cli.config import config_app
from control_plane.cli.demo import demo as run_demo
from control_plane.cli.doctor import examine
from control_plane.cli.ledger import ledger_app
from control_plane.cli.smoke import smoke as run_smoke
from control_plane.cli.spend import spend_app
from control_plane.cli.tenants import key_app, org_app, team_app
from control_plane.cli.workers import serve_by_workers
from control_plane.errors import HouseError
from control_plane.settings import Settings

app = typer.Typer(
    name="control-plane",
    help="A control plane in front of LLMs that bills by job.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (config_app, org_app, team_app, key_app, credits_app, jobs_app, spend_app, ledger_app):
    app.add_typer(commands)


@app.command()
def serve(
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the address; more than 1 need Postgres.")
    ] = 1,
    fd: Annotated[int | None, typer.Option(help="An inherited listening socket to take customers from, too.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Settings come from the environment: see README."""
    if workers > 1:
        raise typer.Exit(serve_by_workers(Settings(), workers))
    server.serve(Settings(), fd)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    server.migrate(Settings())
    typer.echo("The database is up to date.")


@app.command()
def demo() -> None:
    """Start, run a three-call job as a team would, show its bill, and keep serving until Ctrl-C."""
    run_demo(Settings())


@app.command()
def smoke(
    url: Annotated[str, typer.Option(help="The address that customers use.")] = "http://127.0.0.1:8003",
    group: Annotated[str | None, typer.Option(help="The model group to call, if not the first for demo-smoke.")] = None,
) -> None:
    """Run a job of two calls at a running service, as the team demo-smoke. Exits with 1 if it is not billed."""
    asyncio.run(run_smoke(Settings(), url, group))


@app.command()
def doctor() -> None:
    """Look at settings, keys, model groups, database, Redis, address and clocks. Exits with 1 if anything is wrong."""

    async def look() -> bool:
        is_well = True
        try:
            settings = Settings()
        except ValidationError as error:
            for sentence in _sentences(error):
                typer.echo(f"{'wrong':<8} {'settings':<13} {sentence}")
            return False
        async for finding in examine(settings, os.environ):
            typer.echo(f"{finding.level:<8} {finding.about:<13} {finding.says}")
            is_well = is_well and finding.level != "wrong"
        return is_well

    if not asyncio.run(look()):
        raise typer.Exit(1)


def main() -> None:
    """The entry point. What can be explained is explained in a sentence."""
    try:
        app()
    except HouseError as error:
        server.explain(error)
        sys.exit(1)
    except ValidationError as error:
        for sentence in _sentences(error):
            typer.echo(f"control-plane: {sentence}", err=True)
        sys.exit(1)


def _sentences(error: ValidationError) -> Iterator[str]:
    """What is wrong with settings, without their values."""
    for problem in error.errors(include_url=False, include_input=False):
        name = "CONTROL_PLANE_" + "_".join(str(part) for part in problem["loc"]).upper()
        yield f"{name}: {problem['msg'].removeprefix('Value error, ')}"
