"""`control-plane key`: virtual keys of a team, those for web pages too."""

from collections.abc import Sequence
from typing import Annotated

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, Json, show, show_all
from control_plane.cli.remote import Url, ask, ask_for_all, given
from control_plane.cli.tenants import Team

key_app = typer.Typer(name="key", help="Virtual keys of a team.", no_args_is_help=True)

COLUMNS = ("key_id", "prefix", "name", "kind", "status", "origins", "job_type", "created_at", "expires_at")

Key = Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")]
Origins = Annotated[
    list[str] | None,
    typer.Option("--origin", help="A web origin whose pages may use it, https://app.example.com; may be repeated."),
]


@key_app.command("create")
def create_key(  # noqa: PLR0913 - an option for each field
    team: Team,
    *,
    name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds until it expires.", show_default="never")] = None,
    group: Annotated[list[str] | None, typer.Option(help="The only model groups it may use; may be repeated.")] = None,
    publishable: Annotated[
        bool, typer.Option("--publishable", help="For web pages: works from its origins only, and only to respond.")
    ] = False,
    origin: Origins = None,
    job_type: Annotated[
        str | None, typer.Option(help="Job type of a publishable key's jobs.", show_default="respond")
    ] = None,
    default_group: Annotated[str | None, typer.Option(help="The model group of calls that name none.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Calls a minute.", show_default="the team's")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute.", show_default="the team's")] = None,
    max_parallel_calls: Annotated[int | None, typer.Option(min=1, help="Calls at once.")] = None,
    jobs_per_minute: Annotated[int | None, typer.Option(min=1, help="New jobs a minute.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create another key of a team; it is shown only once."""
    if publishable and not origin:
        raise typer.BadParameter("a publishable key works from its origins only: name one", param_hint="--origin")
    if job_type is not None and not publishable:
        raise typer.BadParameter("only a publishable key has a job type", param_hint="--job-type")
    body: Json = {
        "name": name,
        "ttl_seconds": ttl,
        "model_groups": group or None,
        "kind": "publishable" if publishable else None,
        "origins": origin or None,
        "job_type": job_type,
        "default_model_group": default_group,
        "rpm": rpm,
        "tpm": tpm,
        "max_parallel_calls": max_parallel_calls,
        "jobs_per_minute": jobs_per_minute,
    }
    show(ask(url, "POST", "teams", team, "keys", shape=answers.NewKey, body=given(body)), as_json=as_json)


@key_app.command("list")
def list_keys(
    team: Team,
    publishable: Annotated[bool, typer.Option("--publishable", help="Only keys for web pages.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List a team's keys by prefix, expired and revoked ones too."""
    rows: Sequence[Json] = ask_for_all(url, "teams", team, "keys", name="keys", shape=answers.Key)
    if publishable:
        rows = [row for row in rows if row["kind"] == "publishable"]
    show_all(rows, *COLUMNS, as_json=as_json)


@key_app.command("origins")
def set_origins(
    team: Team,
    key: Key,
    origins: Annotated[
        list[str] | None, typer.Argument(help="The origins whose pages may use it; none: no page may.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Set the web origins of a key; effective on every replica within 5 s."""
    show(
        ask(url, "PUT", "teams", team, "keys", key, "origins", shape=answers.Key, body={"origins": origins or []}),
        as_json=as_json,
    )


@key_app.command("rotate")
def rotate_key(
    team: Team,
    key: Key,
    grace: Annotated[int, typer.Option(min=0, help="Seconds for which the old key still works.")] = 0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key with a new one on the same terms; the new one is shown only once."""
    show(
        ask(url, "POST", "teams", team, "keys", key, "rotate", shape=answers.NewKey, body={"grace_seconds": grace}),
        as_json=as_json,
    )


@key_app.command("revoke")
def revoke_key(team: Team, key: Key, url: Url = None, as_json: AsJson = False) -> None:
    """Revoke a key; effective on every replica within 5 s."""
    show(ask(url, "DELETE", "teams", team, "keys", key, shape=answers.Key), as_json=as_json)
