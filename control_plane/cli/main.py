"""The command line: `control-plane serve | migrate | demo | smoke | doctor | config … | org … | team … | key … | …`.

Exit codes: 0 done; 1 refused, failed, or a check found a fault; 2 the command line is wrong; 130 Ctrl-C.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version as version_of
from typing import Annotated

import typer
from pydantic import ValidationError

from control_plane.cli.output import echo, explain, print_json
from control_plane.errors import ControlPlaneError
from control_plane.settings import Settings

# What only some commands need is imported by them: all of it takes seconds.
# ruff: noqa: PLC0415

app = typer.Typer(
    name="control-plane",
    help="A control plane in front of LLMs that bills by job.",
    epilog="Exit codes: 0 done; 1 refused, failed, or something is wrong; 2 the command line is wrong; 130 Ctrl-C. "
    "The reason is one sentence on standard error, results are on standard output.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

GROUPS = {
    "config": "config:config_app",
    "org": "tenants:org_app",
    "team": "tenants:team_app",
    "key": "keys:key_app",
    "credits": "credits:credits_app",
    "refill": "refills:refill_app",
    "jobs": "jobs:jobs_app",
    "spend": "spend:spend_app",
    "ledger": "ledger:ledger_app",
    "token": "tokens:token_app",
    "audit": "audit:audit_app",
}
"""Groups of commands in the order of `--help`: module of this package and name of its Typer."""

SINGLE = {
    "serve": ("server", "workers"),
    "migrate": ("server",),
    "demo": ("demo",),
    "smoke": ("smoke",),
    "doctor": ("doctor",),
}
"""Commands of this module, and what they import."""

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
        int, typer.Option(min=1, help="Processes that share the address; more than 1 needs Postgres.")
    ] = 1,
    fd: Annotated[int | None, typer.Option(help="File descriptor of an inherited listening socket.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Settings come from the environment: see README."""
    if workers > 1:
        from control_plane.cli.workers import serve_by_workers

        raise typer.Exit(serve_by_workers(Settings(), workers))
    from control_plane.cli import server

    server.serve(Settings(), fd)


@app.command()
def migrate(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON: applied, the list of migrations.")] = False
) -> None:
    """Migrate the database to the newest schema."""
    from control_plane.cli import server

    applied = server.migrate(Settings())
    if as_json:
        print_json({"applied": applied})
    else:
        echo("The database is up to date.")


@app.command()
def demo() -> None:
    """Start a server, run a three-call job as a team, show its bill, and serve until Ctrl-C."""
    from control_plane.cli.demo import demo as run

    run(Settings())


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
    """Run a two-call job on a running service, as the team demo-smoke. Exits with 1 if it is not billed."""
    from control_plane.cli.smoke import smoke as run

    result = asyncio.run(run(Settings(), url, group, tell=(lambda _: None) if as_json else echo))
    if as_json:
        print_json(asdict(result))


@app.command()
def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: ok, findings (level ok|warning|wrong, about, message).")
    ] = False,
) -> None:
    """Check settings, keys, model groups, database, Redis, address and clocks. Exits with 1 if anything is wrong."""
    from control_plane.cli.doctor import Finding, examine

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


def add_groups(words: Sequence[str]) -> None:
    """Adds the group of commands that a command line names, or all where it names none; imports what a single one needs."""
    known = {each.name for each in app.registered_groups}
    named = words[0] if words else ""
    for module in SINGLE.get(named, ()):
        import_module(f"control_plane.cli.{module}")
    for name in [] if named in SINGLE else [named] if named in GROUPS else GROUPS:
        if name not in known:
            module, _, group = GROUPS[name].partition(":")
            app.add_typer(getattr(import_module(f"control_plane.cli.{module}"), group), name=name)


def main() -> None:
    """The entry point. What can be explained is explained in a sentence; the exit codes are in `--help`."""
    add_groups(sys.argv[1:])
    try:
        code = app(prog_name="control-plane", standalone_mode=False)
    except ControlPlaneError as error:
        explain(error.message)
        code = 1
    except ValidationError as error:
        for sentence in _sentences(error):
            explain(sentence)
        code = 1
    except typer.Abort:  # a question that was not answered
        explain("Nothing was done.")
        code = 1
    except typer.TyperException as error:
        code = _explain_usage(error)
    except OSError as error:  # of a file that the command line or a setting names
        explain(f"{error.filename}: {error.strerror}." if error.filename else str(error))
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _explain_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    words = str(getattr(error, "format_message", error.__str__)()).strip().removesuffix(".")
    if words:  # a group without a command has shown its help
        explain(f"{words}." if context is None else f"{words}. See {context.command_path} --help.")
    return USAGE


def _sentences(error: ValidationError) -> Iterator[str]:
    """Mistakes in settings, without their values."""
    for problem in error.errors(include_url=False, include_input=False):
        name = "CONTROL_PLANE_" + "_".join(str(part) for part in problem["loc"]).upper()
        yield f"{name}: {problem['msg'].removeprefix('Value error, ')}"
