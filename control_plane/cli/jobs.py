"""`control-plane jobs`: a team's jobs."""

from typing import Annotated

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, show, show_all
from control_plane.cli.remote import Most, Url, ask, ask_for_all
from control_plane.cli.tenants import Team

jobs_app = typer.Typer(name="jobs", help="Jobs of a team.", no_args_is_help=True)

JOB = ("job_id", "job_type", "status", "credits_charged", "credits_held", "created_at", "completed_at")

Job = Annotated[str, typer.Argument(help="The job's id.")]


@jobs_app.command("list")
def list_jobs(
    team: Team,
    status: Annotated[str | None, typer.Option(help="Only those in this status.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    limit: Most = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List a team's jobs, newest first."""
    query = {"status": status, "job_type": job_type}
    rows = ask_for_all(url, "teams", team, "jobs", name="jobs", shape=answers.Job, limit=limit, query=query)
    show_all(rows, *JOB, as_json=as_json)


@jobs_app.command("show")
def show_job(job: Job, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job."""
    show(ask(url, "GET", "jobs", job, shape=answers.Job), as_json=as_json)


@jobs_app.command()
def costs(job: Job, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job's costs, call by call."""
    show(ask(url, "GET", "jobs", job, "costs", shape=answers.Costs)["costs"], as_json=as_json)
