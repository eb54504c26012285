"""`control-plane config`: check `litellm_config.yaml`, see what a new version would change, put it in force."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli import findings
from control_plane.cli.importing import import_file
from control_plane.cli.output import echo, print_json
from control_plane.cli.progress import waiting
from control_plane.cli.remote import Url
from control_plane.cli.rollout import Change, put_in_force, put_in_place
from control_plane.cli.servers import InForce, Rollout, Servers
from control_plane.cli.trial import inspect_and_build
from control_plane.errors import InvalidConfig
from control_plane.master_key import existing_master_key
from control_plane.model_groups import losses
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.config import Inspection, generation_of, inspect
from control_plane.model_groups.diff import changes
from control_plane.model_groups.schema import json_schema
from control_plane.settings import Settings

config_app = typer.Typer(
    name="config", help="Check the configuration file, change it while servers run.", no_args_is_help=True
)

NewFile = Annotated[Path, typer.Argument(help="The new version of the file.", show_default=False)]
WaitS = Annotated[float, typer.Option(help="How long all servers may take to follow.", min=0, max=3600)]
Yes = Annotated[bool, typer.Option("--yes", help="Do it though teams lose access to model groups.")]
NoEnv = Annotated[
    bool, typer.Option("--no-env", help="Take every os.environ/NAME as present, so that no key has to be set.")
]
RolloutJson = Annotated[
    bool, typer.Option("--json", help="Print JSON: ok (in force, or in place), generation, message.")
]


@config_app.command()
def check(
    path: Annotated[
        Path, typer.Argument(envvar="CONTROL_PLANE_CONFIG", help="The file to check.", show_default=True)
    ] = Path("litellm_config.yaml"),
    no_env: NoEnv = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON: file, ok, generation, deployments, model_groups, errors, warnings, findings (severity, file, "
            "line, path, message).",
        ),
    ] = False,
) -> None:
    """Check the file, build what a server would build from it, and list every mistake by line. Exits with 1 if there is one."""
    inspection = _inspected(path, None if no_env else os.environ)
    findings.show(path, inspection, as_json=as_json)
    if inspection.catalog is None:
        raise typer.Exit(1)


@config_app.command()
def diff(
    new: NewFile,
    no_env: NoEnv = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: generation, compared (with the file in use), lost_patterns, changes."),
    ] = False,
) -> None:
    """Show what a new version would change of the file in use, after checking it. Shows no keys and addresses."""
    environ = None if no_env else os.environ
    catalog = _checked(new, environ)
    difference = _difference(Settings(), catalog, environ)
    if as_json:
        print_json(
            {
                "generation": catalog.generation,
                "compared": difference.is_compared,
                "lost_patterns": difference.lost,
                "changes": difference.changes,
            }
        )
    else:
        difference.show(Settings())


@config_app.command()
def access(
    new: NewFile,
    url: Url = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: lost_access, a sentence for each loss.")] = False,
) -> None:
    """Name the teams of running servers that a new version takes model groups from. Asks whether it may, or needs --yes."""
    catalog = _catalog(new, inspect(new, os.environ))
    servers = _servers(Settings(), url)
    lost = _lost(servers.in_force(), servers, catalog)
    if as_json:
        print_json({"lost_access": lost})
    _require_consent(lost, yes=yes)


@config_app.command()
def apply(
    new: Annotated[Path | None, typer.Argument(help="The new version; none: the file was edited in its place.")] = None,
    url: Url = None,
    wait_s: WaitS = 40,
    yes: Yes = False,
    offline: Annotated[bool, typer.Option("--offline", help="No server runs: only put it in place.")] = False,
    as_json: RolloutJson = False,
) -> None:
    """Check a new version, put it in the place of the file in use, and wait until every server has it in force.

    A file with mistakes changes nothing, nor does an address where no server answers. If a server refuses the version,
    or does not follow, the one before is put back; it is kept beside the file, with .previous at its end. Exits with 1 then.
    """
    settings = Settings()
    change = None if new is None else _change(settings.config)
    catalog = _checked(settings.config if new is None else new, os.environ)
    content = None if new is None else _content(new, catalog)
    if new is not None and not as_json:
        _difference(settings, catalog, os.environ).show(settings)
    if offline:
        if change is not None and content is not None:
            with _writing(settings.config):
                put_in_place(change, content)
        sentence = f"{settings.config} is version {catalog.generation}. The next server that starts has it in force."
        _report(Rollout(is_good=True, sentence=sentence), catalog, as_json=as_json)
        return
    servers = _servers(settings, url)
    before = servers.in_force()
    _require_consent(_lost(before, servers, catalog), yes=yes)
    with waiting("waiting for the servers"), _writing(settings.config):
        if change is None or content is None:
            rollout = servers.follow(catalog.generation, wait_s, replicas=before.replicas)
        else:
            rollout = put_in_force(
                change, content, servers, replicas=before.replicas, wait_s=wait_s, generations=before.generations
            )
    if rollout.is_good and not as_json:
        echo(f"{settings.config} is version {catalog.generation}.")
    _report(rollout, catalog, as_json=as_json)


@config_app.command()
def follow(file: NewFile, url: Url = None, wait_s: WaitS = 40, as_json: RolloutJson = False) -> None:
    """Wait until every running server has this version of the file in force. Exits with 1 if one has not."""
    catalog = _catalog(file, inspect(file, os.environ))
    servers = _servers(Settings(), url)
    with waiting("waiting for the servers"):
        rollout = servers.follow(catalog.generation, wait_s, is_same_file=False)
    _report(rollout, catalog, as_json=as_json)


config_app.command("import")(import_file)


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    typer.echo(json_schema(), nl=False)


def _inspected(path: Path, environ: Mapping[str, str] | None) -> Inspection:
    try:
        with waiting("building what a server would build"):
            return inspect_and_build(path, environ)
    except InvalidConfig as mistakes:
        echo(mistakes.message, err=True)
        raise typer.Exit(1) from None


def _checked(path: Path, environ: Mapping[str, str] | None) -> Catalog:
    return _catalog(path, _inspected(path, environ))


def _catalog(path: Path, inspection: Inspection) -> Catalog:
    if inspection.catalog is None:
        findings.show(path, inspection)
        raise typer.Exit(1)
    findings.show_warnings(inspection.warnings)
    return inspection.catalog


def _servers(settings: Settings, url: str | None) -> Servers:
    return Servers(url or f"http://{settings.host}:{settings.port}", existing_master_key(settings))


def _lost(in_force: InForce, servers: Servers, after: Catalog) -> list[str]:
    before = in_force.admissions
    if not losses.may_lose(before, after):
        return []
    return losses.sentences(losses.lost_access(before, after, servers.list_teams()))


def _require_consent(lost: list[str], *, yes: bool) -> None:
    for sentence in lost:
        echo(sentence, err=True)
    if not lost or yes:
        return
    if not sys.stdin.isatty():
        echo("Nothing was changed: --yes is needed, since teams lose access.", err=True)
        raise typer.Exit(1)
    typer.confirm("Is that meant?", abort=True, err=True)


def _change(file: Path) -> Change:
    """As the file is before anything is compared with it: what is agreed to is that change and no other."""
    with _writing(file):
        return Change(file)


def _content(new: Path, catalog: Catalog) -> bytes:
    """What was checked. It is read again, and may be another by now."""
    with _writing(new):
        content = new.read_bytes()
    if generation_of(content) != catalog.generation:
        echo(f"{new} was changed while it was checked, or cannot be read twice; nothing was done.", err=True)
        raise typer.Exit(1)
    return content


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        echo(f"{file} cannot be read or written: {error.strerror}", err=True)
        raise typer.Exit(1) from None


def _report(rollout: Rollout, catalog: Catalog, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": rollout.is_good, "generation": catalog.generation, "message": rollout.sentence})
    else:
        echo(rollout.sentence, err=not rollout.is_good)
    if not rollout.is_good:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Difference:
    """What a new version changes, a sentence each. `is_compared`: there is a file in use without mistakes."""

    is_compared: bool
    lost: Sequence[str]
    changes: Sequence[str]

    def show(self, settings: Settings) -> None:
        if not self.is_compared:
            echo(f"{settings.config} itself has mistakes, or is not there; this is all that the new version says.")
        for sentence in (*self.lost, *(self.changes or ["Nothing changes but comments or the order."])):
            echo(sentence)


def _difference(settings: Settings, after: Catalog, environ: Mapping[str, str] | None) -> _Difference:
    try:
        before = inspect(settings.config, environ).catalog
    except InvalidConfig:
        before = None
    lost = (
        []
        if before is None
        else losses.sentences(losses.lost_patterns(losses.admissions(before), after), what="pattern")
    )
    return _Difference(before is not None, lost, changes(before, after))
