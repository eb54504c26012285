"""`control-plane refill`: a team's automatic refills."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, show
from control_plane.cli.remote import Url, ask, given
from control_plane.cli.tenants import Team

refill_app = typer.Typer(name="refill", help="Automatic refills of a team's credits.", no_args_is_help=True)


@refill_app.command("show")
def show_refill(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Show a team's auto-refill and its next date."""
    show(ask(url, "GET", "teams", team, "auto-refill", shape=answers.Team), as_json=as_json)


@refill_app.command("set")
def set_refill(
    team: Team,
    credits_: Annotated[int, typer.Argument(metavar="CREDITS", min=1, help="Credits for each period.")],
    every: Annotated[Literal["daily", "weekly", "monthly"], typer.Option(help="The period.")],
    timezone: Annotated[str, typer.Option(help="Time zone of the periods, such as Europe/Berlin.")] = "UTC",
    starts_on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day of the first period.", show_default="today"),
    ] = None,
    rollover: Annotated[bool, typer.Option(help="Keep the rest of a refill when the next one comes.")] = True,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Add credits to a team at the start of each period, from the next one on; replaces the previous setting."""
    body = {
        "refill_amount": credits_,
        "refill_period": every,
        "timezone": timezone,
        "starts_on": None if starts_on is None else starts_on.date().isoformat(),
        "rollover": rollover,
    }
    show(
        ask(url, "POST", "teams", team, "configure-auto-refill", shape=answers.Team, body=given(body)), as_json=as_json
    )


@refill_app.command("unset")
def unset_refill(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Stop a team's auto-refill; it keeps its credits."""
    show(
        ask(url, "POST", "teams", team, "configure-auto-refill", shape=answers.Team, body={"enabled": False}),
        as_json=as_json,
    )
