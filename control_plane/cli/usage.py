"""`control-plane team usage | org usage`: monthly usage, as summed up by the API."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, Json, echo, print_json, show, show_all
from control_plane.cli.remote import Url, ask

By = Literal["job-type", "model-group", "day"]
PARTS = {"job-type": "job_types", "model-group": "model_groups", "day": "days"}

Period = Annotated[str | None, typer.Option(help="YYYY-MM, in UTC.", show_default="this month")]


def team_usage(
    team: Annotated[str, typer.Argument(help="The team's id.")],
    period: Period = None,
    by: Annotated[By | None, typer.Option(help="Only this table.", show_default="the sum and all tables")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a team's usage in a month: in sum, by job type, by model group and by day."""
    used = ask(url, "GET", "teams", team, "usage", shape=answers.TeamUsage, query={"period": period})
    _show(used, list(PARTS) if by is None else [by], has_sum=by is None, as_json=as_json)


def organization_usage(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    period: Period = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show an organization's usage in a month: in sum and by job type."""
    used = ask(
        url, "GET", "organizations", organization, "usage", shape=answers.OrganizationUsage, query={"period": period}
    )
    _show(used, ["job-type"], has_sum=True, as_json=as_json)


def _show(used: Json, parts: Sequence[str], *, has_sum: bool, as_json: bool) -> None:
    if as_json:
        print_json(used)
        return
    if has_sum:
        show({"period": used["period"], **used["summary"]}, as_json=False)
    for part in parts:
        name = part.replace("-", "_")
        rows = [{name: key, **values} for key, values in sorted(used[PARTS[part]].items())]
        if has_sum:
            echo("")
        show_all(rows, *(rows[0] if rows else (name,)), as_json=False)
