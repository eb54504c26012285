"""`control-plane config`: check `litellm_config.yaml`, see what a new version would change, put it in force."""

import os
from collections.abc import Sized
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli.applying import Servers, replace_file
from control_plane.errors import InvalidConfig
from control_plane.master_key import find_master_key
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.changes import changes
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.shape import json_schema
from control_plane.settings import Settings

config_app = typer.Typer(
    name="config", help="Check the configuration file, change it while servers run.", no_args_is_help=True
)

NewFile = Annotated[Path, typer.Argument(help="The new version of the file.", show_default=False)]


@config_app.command()
def check(
    path: Annotated[
        Path, typer.Argument(envvar="CONTROL_PLANE_CONFIG", help="The file to check.", show_default=True)
    ] = Path("litellm_config.yaml"),
) -> None:
    """Check the file and list every mistake by line. Exits with 1 if there is one."""
    catalog = _checked(path)
    typer.echo(f"OK: {_count(catalog.router.deployments, 'deployment')}, {_count(catalog.groups, 'model group')}")


@config_app.command()
def diff(new: NewFile) -> None:
    """Show what a new version would change of the file in use, after checking it. Shows no keys and addresses."""
    _show_changes(Settings(), _checked(new))


@config_app.command()
def apply(
    new: Annotated[Path | None, typer.Argument(help="The new version; none: the file was edited in its place.")] = None,
    url: Annotated[str | None, typer.Option(help="Where a server answers; the settings' host and port.")] = None,
    wait_s: Annotated[float, typer.Option(help="How long all servers may take to follow.", min=0)] = 40,
) -> None:
    """Check a new version, put it in the place of the file in use, and wait until every server has it in force.

    A file with mistakes changes nothing. Exits with 1 if there is one, or if a server has not followed.
    """
    settings = Settings()
    catalog = _checked(settings.config if new is None else new)
    if new is not None:
        _show_changes(settings, catalog)
        try:
            replace_file(settings.config, new.read_bytes())
        except OSError as error:
            typer.echo(f"{settings.config} cannot be written: {error.strerror}", err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{settings.config} is version {catalog.generation}.")
    key, _ = find_master_key(settings)
    servers = Servers(url or f"http://{settings.host}:{settings.port}", key)
    told = servers.follow(catalog.generation, wait_s)
    typer.echo(told.sentence, err=not told.is_good)
    if not told.is_good:
        raise typer.Exit(1)


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    typer.echo(json_schema(), nl=False)


def _checked(path: Path) -> Catalog:
    try:
        return load_catalog(path, os.environ)
    except InvalidConfig as mistakes:
        typer.echo(mistakes.message, err=True)
        raise typer.Exit(1) from None


def _show_changes(settings: Settings, after: Catalog) -> None:
    try:
        before = load_catalog(settings.config, os.environ)
    except InvalidConfig:
        before = None
        typer.echo(f"{settings.config} itself has mistakes, or is not there; this is all that the new version says.")
    for sentence in changes(before, after) or ["Nothing changes but comments or the order."]:
        typer.echo(sentence)


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
