"""The command line: `control-plane serve | migrate | demo | smoke | doctor | config … | org … | team … | key … | …`.

Exit codes: 0 done; 1 refused, failed, or something is wrong with what was looked at; 2 the command line is wrong; 130 Ctrl-C.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version as version_of
from typing import Annotated

import typer
from pydantic import ValidationError

from control_plane.cli import server
from control_plane.cli.accounts import credits_app, jobs_app
from control_plane.cli.config import config_app
from control_plane.cli.demo import demo as run_demo
from control_plane.cli.doctor import Finding, examine
from control_plane.cli.keys import key_app
from control_plane.cli.ledger import ledger_app
from control_plane.cli.output import echo, print_json
from control_plane.cli.refills import refill_app
from control_plane.cli.smoke import smoke as run_smoke
from control_plane.cli.spend import spend_app
from control_plane.cli.tenants import org_app, team_app
from control_plane.cli.workers import serve_by_workers
from control_plane.errors import HouseError
from control_plane.settings import Settings

app = typer.Typer(
    name="control-plane",
    help="A control plane in front of LLMs that bills by job.",
    epilog="Exit codes: 0 done; 1 refused, failed, or something is wrong; 2 the command line is wrong; 130 Ctrl-C. "
    "The reason is one sentence on standard error, results are on standard output.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (config_app, org_app, team_app, key_app, credits_app, refill_app, jobs_app, spend_app, ledger_app):
    app.add_typer(commands)

USAGE = 2


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        ours, litellm = version_of("control-plane"), version_of("litellm")
        echo(f"control-plane {ours} (litellm {litellm}, Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """A control plane in front of LLMs that bills by job."""


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
def migrate(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON: applied, the list of migrations.")] = False
) -> None:
    """Bring the database to the newest schema."""
    applied = server.migrate(Settings())
    if as_json:
        print_json({"applied": applied})
    else:
        echo("The database is up to date.")


@app.command()
def demo() -> None:
    """Start, run a three-call job as a team would, show its bill, and keep serving until Ctrl-C."""
    run_demo(Settings())


@app.command()
def smoke(
    url: Annotated[
        str, typer.Option(envvar="CONTROL_PLANE_URL", help="The address that customers use.")
    ] = "http://127.0.0.1:8003",
    group: Annotated[str | None, typer.Option(help="The model group to call, if not the first for demo-smoke.")] = None,
    *,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON: url, model_group, job_id, calls, credits_charged, cost_usd; null without a group.",
        ),
    ] = False,
) -> None:
    """Run a job of two calls at a running service, as the team demo-smoke. Exits with 1 if it is not billed."""
    result = asyncio.run(run_smoke(Settings(), url, group, tell=(lambda _: None) if as_json else echo))
    if as_json:
        print_json(asdict(result))


@app.command()
def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: ok, findings (level ok|warning|wrong, about, message).")
    ] = False,
) -> None:
    """Look at settings, keys, model groups, database, Redis, address and clocks. Exits with 1 if anything is wrong."""
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            echo(f"{finding.level:<8} {finding.about:<13} {finding.says}")

    async def look() -> None:
        try:
            settings = Settings()
        except ValidationError as error:
            for sentence in _sentences(error):
                note(Finding("wrong", "settings", sentence))
            return
        async for finding in examine(settings, os.environ):
            note(finding)

    asyncio.run(look())
    is_well = all(finding.level != "wrong" for finding in findings)
    if as_json:
        shown = [{"level": each.level, "about": each.about, "message": each.says} for each in findings]
        print_json({"ok": is_well, "findings": shown})
    if not is_well:
        raise typer.Exit(1)


def main() -> None:
    """The entry point. What can be explained is explained in a sentence; the exit codes are in `--help`."""
    try:
        code = app(prog_name="control-plane", standalone_mode=False)
    except HouseError as error:
        server.explain(error.message)
        code = 1
    except ValidationError as error:
        for sentence in _sentences(error):
            server.explain(sentence)
        code = 1
    except typer.Abort:  # a question that was not answered
        server.explain("Nothing was done.")
        code = 1
    except typer.TyperException as error:
        code = _explain_usage(error)
    except OSError as error:  # of a file that the command line or a setting names
        server.explain(f"{error.filename}: {error.strerror}." if error.filename else str(error))
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _explain_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    words = str(getattr(error, "format_message", error.__str__)()).strip().removesuffix(".")
    if words:  # a group without a command has shown its help
        server.explain(f"{words}." if context is None else f"{words}. See {context.command_path} --help.")
    return USAGE


def _sentences(error: ValidationError) -> Iterator[str]:
    """What is wrong with settings, without their values."""
    for problem in error.errors(include_url=False, include_input=False):
        name = "CONTROL_PLANE_" + "_".join(str(part) for part in problem["loc"]).upper()
        yield f"{name}: {problem['msg'].removeprefix('Value error, ')}"
