"""`control-plane org | team | key`: organizations, teams and their virtual keys."""

from typing import Annotated

import typer

from control_plane.cli.remote import AsJson, Json, Url, ask, ask_for_all, show, show_all

org_app = typer.Typer(name="org", help="Organizations of a running server.", no_args_is_help=True)
team_app = typer.Typer(name="team", help="Teams of a running server.", no_args_is_help=True)
key_app = typer.Typer(name="key", help="Virtual keys of a team.", no_args_is_help=True)

Organization = Annotated[str, typer.Argument(help="The organization's id.")]
Team = Annotated[str, typer.Argument(help="The team's id.")]
Key = Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")]


@org_app.command("create")
def create_org(
    organization: Organization,
    name: Annotated[str | None, typer.Option(help="How people call it.", show_default="its id")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization."""
    body = {"organization_id": organization, "name": name or organization}
    show(ask(url, "POST", "organizations", "create", body=body), as_json=as_json)


@org_app.command("list")
def list_orgs(url: Url = None, as_json: AsJson = False) -> None:
    """List all organizations."""
    rows = ask_for_all(url, "organizations", name="organizations")
    show_all(rows, "organization_id", "name", "created_at", as_json=as_json)


@org_app.command("show")
def show_org(organization: Organization, url: Url = None, as_json: AsJson = False) -> None:
    """Show an organization."""
    show(ask(url, "GET", "organizations", organization), as_json=as_json)


@team_app.command("create")
def create_team(
    team: Team,
    org: Annotated[str | None, typer.Option(help="The organization it belongs to.")] = None,
    credits_: Annotated[int, typer.Option("--credits", min=0, help="Credits it begins with.")] = 0,
    group: Annotated[list[str] | None, typer.Option(help="A model group to grant; may be repeated.")] = None,
    mode: Annotated[str | None, typer.Option(help="job_based, consumption_usd or consumption_tokens.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create a team; its first virtual key is shown this once."""
    body = {
        "team_id": team,
        "organization_id": org,
        "credits_allocated": credits_,
        "model_groups": group or [],
        "budget_mode": mode,
    }
    show(ask(url, "POST", "teams", "create", body=body), as_json=as_json)


@team_app.command("list")
def list_teams(
    org: Annotated[str | None, typer.Option(help="Only this organization's.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List all teams."""
    rows = ask_for_all(url, "teams", name="teams", query={"organization_id": org})
    columns = (
        "team_id",
        "organization_id",
        "status",
        "budget_mode",
        "credits_available",
        "credits_held",
        "credits_used",
    )
    show_all(rows, *columns, as_json=as_json)


@team_app.command("show")
def show_team(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Show a team: credits, model groups and why it may use them, limits."""
    show(ask(url, "GET", "teams", team), as_json=as_json)


@team_app.command("groups")
def set_groups(
    team: Team,
    groups: Annotated[list[str] | None, typer.Argument(help="The model groups it is granted from now on.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Grant a team exactly these model groups, beside those that the YAML's patterns allow; none takes all grants back."""
    show(ask(url, "PUT", "teams", team, "model-groups", body={"model_groups": groups or []}), as_json=as_json)


@team_app.command("suspend")
def suspend(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Let a team begin nothing more; what runs may end."""
    show(ask(url, "POST", "teams", team, "suspend"), as_json=as_json)


@team_app.command("resume")
def resume(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Let a suspended team work again."""
    show(ask(url, "POST", "teams", team, "resume"), as_json=as_json)


@key_app.command("create")
def create_key(
    team: Team,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds until it expires.", show_default="never")] = None,
    group: Annotated[list[str] | None, typer.Option(help="The only model groups it may use; may be repeated.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create one more key of a team; it is shown this once."""
    body: Json = {"name": name, "ttl_seconds": ttl, "model_groups": group or None}
    show(ask(url, "POST", "teams", team, "keys", body=body), as_json=as_json)


@key_app.command("list")
def list_keys(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """List a team's keys by what they begin with, those that ended too."""
    rows = ask_for_all(url, "teams", team, "keys", name="keys")
    show_all(rows, "key_id", "prefix", "name", "kind", "status", "created_at", "expires_at", as_json=as_json)


@key_app.command("rotate")
def rotate_key(
    team: Team,
    key: Key,
    grace: Annotated[int, typer.Option(min=0, help="Seconds that the old key works on.")] = 0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Put a new key on the same terms in a key's place; the new one is shown this once."""
    show(ask(url, "POST", "teams", team, "keys", key, "rotate", body={"grace_seconds": grace}), as_json=as_json)


@key_app.command("revoke")
def revoke_key(team: Team, key: Key, url: Url = None, as_json: AsJson = False) -> None:
    """End a key; it is refused by every replica within 5 s."""
    show(ask(url, "DELETE", "teams", team, "keys", key), as_json=as_json)
