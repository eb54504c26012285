"""`control-plane credits`: a team's balance and ledger."""

from datetime import datetime
from typing import Annotated

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, show, show_all
from control_plane.cli.remote import Most, Url, ask, ask_for_all, given
from control_plane.cli.tenants import Team

credits_app = typer.Typer(name="credits", help="Credits of a team.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Reason for the ledger.")]
TRANSACTION = ("number", "kind", "available_delta", "held_delta", "remaining_after", "reason", "actor", "created_at")
GRANT = ("grant_id", "credits_granted", "credits_left", "priority", "expires_at", "created_at")
EVENT = ("event_id", "kind", "credits_remaining", "threshold", "created_at")


@credits_app.command("show")
def show_credits(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """Show a team's balance."""
    show(ask(url, "GET", "teams", team, "credits", shape=answers.Credits), as_json=as_json)


@credits_app.command()
def add(
    team: Team,
    credits_: Annotated[int, typer.Argument(metavar="CREDITS", min=1, help="How many.")],
    reason: Reason,
    expires_at: Annotated[datetime | None, typer.Option(help="When the rest of them expires, in UTC.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Add credits to a team."""
    until = None if expires_at is None else f"{expires_at.isoformat()}Z"
    body = {"credits": credits_, "reason": reason, "expires_at": until}
    show(ask(url, "POST", "teams", team, "credits", "add", shape=answers.Credits, body=given(body)), as_json=as_json)


@credits_app.command()
def refund(
    team: Team,
    reason: Reason,
    job: Annotated[str | None, typer.Option(help="The job whose charge is refunded, once.")] = None,
    credits_: Annotated[int | None, typer.Option("--credits", min=1, help="How many, if not all of the job's.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Refund used credits: of a job, or in general."""
    if job is None and credits_ is None:
        raise typer.BadParameter("give --job or --credits")
    body = {"credits": credits_, "reason": reason, "job_id": job}
    show(ask(url, "POST", "teams", team, "credits", "refund", shape=answers.Credits, body=given(body)), as_json=as_json)


@credits_app.command()
def adjust(
    team: Team,
    reason: Reason,
    by: Annotated[int, typer.Option(help="Credits to add; below 0: to remove.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Correct a team's allocation."""
    show(
        ask(
            url,
            "POST",
            "teams",
            team,
            "credits",
            "adjust",
            shape=answers.Credits,
            body={"credits": by, "reason": reason},
        ),
        as_json=as_json,
    )


@credits_app.command()
def transactions(team: Team, limit: Most = 50, url: Url = None, as_json: AsJson = False) -> None:
    """List a team's ledger, newest first."""
    rows = ask_for_all(
        url, "teams", team, "credits", "transactions", name="transactions", shape=answers.Transaction, limit=limit
    )
    show_all(rows, *TRANSACTION, as_json=as_json)


@credits_app.command()
def grants(team: Team, url: Url = None, as_json: AsJson = False) -> None:
    """List grants with credits left, in the order of their use."""
    rows = ask_for_all(url, "teams", team, "credits", "grants", name="grants", shape=answers.Grant)
    show_all(rows, *GRANT, as_json=as_json)


@credits_app.command("low-balance")
def low_balance(
    team: Team,
    below: Annotated[int | None, typer.Option(min=1, help="Write an event below this many remaining credits.")] = None,
    never: Annotated[bool, typer.Option("--never", help="Write no events.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Set the remaining credits below which an event is written."""
    if (below is None) != never:
        raise typer.BadParameter("give --below or --never")
    show(
        ask(
            url,
            "PATCH",
            "teams",
            team,
            "credits",
            "low-balance-threshold",
            shape=answers.Team,
            body={"threshold": below},
        ),
        as_json=as_json,
    )


@credits_app.command()
def events(team: Team, limit: Most = 50, url: Url = None, as_json: AsJson = False) -> None:
    """List a team's low-balance events, newest first."""
    rows = ask_for_all(url, "teams", team, "credits", "events", name="events", shape=answers.Event, limit=limit)
    show_all(rows, *EVENT, as_json=as_json)
