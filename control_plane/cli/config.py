"""`control-plane config`: check `litellm_config.yaml` before a server is started or reloaded with it."""

import os
from collections.abc import Sized
from pathlib import Path
from typing import Annotated

import typer

from control_plane.errors import InvalidConfig
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.shape import json_schema

config_app = typer.Typer(
    name="config", help="Check the configuration file, or print its JSON Schema.", no_args_is_help=True
)


@config_app.command()
def check(
    path: Annotated[
        Path, typer.Argument(envvar="CONTROL_PLANE_CONFIG", help="The file to check.", show_default=True)
    ] = Path("litellm_config.yaml"),
) -> None:
    """Check the file and list every mistake by line. Exits with 1 if there is one."""
    try:
        catalog = load_catalog(path, os.environ)
    except InvalidConfig as mistakes:
        typer.echo(mistakes.message, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"OK: {_count(catalog.router.deployments, 'deployment')}, {_count(catalog.groups, 'model group')}")


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    typer.echo(json_schema(), nl=False)
