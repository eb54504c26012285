"""`control-plane org | team`: organizations and teams."""

from typing import Annotated

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, show, show_all
from control_plane.cli.remote import Url, ask, ask_for_all, given
from control_plane.cli.team_changes import Mode, update_team
from control_plane.cli.usage import organization_usage, team_usage

org_app = typer.Typer(name="org", help="Organizations of a running server.", no_args_is_help=True)
team_app = typer.Typer(name="team", help="Teams of a running server.", no_args_is_help=True)

Organization = Annotated[str, typer.Argument(help="The organization's id.")]
Team = Annotated[str, typer.Argument(help="The team's id.")]

team_app.command("update")(update_team)
team_app.command("usage")(team_usage)
org_app.command("usage")(organization_usage)


@org_app.command("create")
def create_org(
    organization: Organization,
    name: Annotated[str | None, typer.Option(help="Name for people.", show_default="its id")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization."""
    body = {"organization_id": organization, "name": name or organization}
    show(ask(url, "POST", "organizations", "create", shape=answers.Organization, body=body), as_json=as_json)


@org_app.command("list")
def list_orgs(url: Url = None, as_json: AsJson = False) -> None:
    """List all organizations."""
    rows = ask_for_all(url, "organizations", name="organizations", shape=answers.Organization)
    show_all(rows, "organization_id", "name", "created_at", as_json=as_json)


@org_app.command("show")
def show_org(organization: Organization, url: Url = None, as_json: AsJson = False) -> None:
    """Show an organization."""
    show(ask(url, "GET", "organizations", organization, shape=answers.Organization), as_json=as_json)


@team_app.command("create")
def create_team(
    team: Team,
    org: Annotated[str | None, typer.Option(help="The organization it belongs to.")] = None,
    credits_: Annotated[int, typer.Option("--credits", min=0, help="Initial credits.")] = 0,
    group: Annotated[list[str] | None, typer.Option(help="A model group to grant; may be repeated.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="How its jobs are charged.", show_default="job_based")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Create a team; its first virtual key is shown only once. `team update` sets the rest."""
    body = {
        "team_id": team,
        "organization_id": org,
        "credits_allocated": credits_,
        "model_groups": group or [],
        "budget_mode": mode,
    }
    show(ask(url, "POST", "teams", "create", shape=answers.NewTeam, body=given(body)), as_json=as_json)


@team_app.command("list")
def list_teams(
    org: Annotated[str | None, typer.Option(help="Only this organization's.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List all teams."""
    rows = ask_for_all(url, "teams", name="teams", shape=answers.Team, query={"organization_id": org})
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
    """Show a team: credits, prices, limits, and which model groups it may use and why."""
    show(ask(url, "GET", "teams", team, shape=answers.Team), as_json=as_json)


@team_app.command("groups")
def set_groups(
    team: Team,
    groups: Annotated[list[str] | None, typer.Argument(help="The model groups to grant.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Grant a team exactly these model groups, in addition to the YAML's patterns; none revokes all grants."""
    show(
        ask(url, "PUT", "teams", team, "model-groups", shape=answers.Team, body={"model_groups": groups or []}),
        as_json=as_json,
    )


@team_app.command("suspend")
def suspend(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Suspend a team: it gets no new jobs and calls; running calls may end."""
    show(ask(url, "POST", "teams", team, "suspend", shape=answers.Team), as_json=as_json)


@team_app.command("resume")
def resume(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Resume a suspended team."""
    show(ask(url, "POST", "teams", team, "resume", shape=answers.Team), as_json=as_json)
