"""`control-plane spend`: reconciles LiteLLM's reports with bills, lists lost calls, deletes old logs."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from control_plane.cli.archive import archive
from control_plane.cli.databases import existing_database
from control_plane.cli.output import echo, print_json, visible
from control_plane.cli.progress import counting, waiting
from control_plane.clock import now
from control_plane.errors import Unprocessable
from control_plane.gateway.factory import open_gateway
from control_plane.jobs.models import Call
from control_plane.logs import configure_logging
from control_plane.model_groups.config import load_catalog
from control_plane.reconciliation.proxies import Proxy
from control_plane.reconciliation.rules import Reconciled, Sum
from control_plane.reconciliation.service import Price, ReconciliationService, Source
from control_plane.runtime import proxy_of
from control_plane.settings import Settings
from control_plane.tenants.principal import Principal
from control_plane.units import usd

spend_app = typer.Typer(name="spend", help="Compare spend logs with bills; list lost calls.", no_args_is_help=True)

ADMIN = Principal(team_id=None)
PAGE = 1000
MOST_JOBS = 20
"""In the table."""
WIDE = 160
MOST_DAYS = 36_500
_DURATION = re.compile(r"([0-9]+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Since = Annotated[str, typer.Option(help="A time (2026-11-01, 2026-11-01T12:00Z) or how long ago: 90m, 24h, 7d.")]


@spend_app.command()
def reconcile(
    since: Since = "24h",
    source: Annotated[
        Literal["embedded", "proxy"], typer.Option(help="The embedded Router's reports, or a LiteLLM proxy's logs.")
    ] = "embedded",
    *,
    prices: Annotated[
        bool, typer.Option(help="Also compare with the price list, which takes some seconds to load.")
    ] = True,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON: source, since, until, archived_until, unexplained, drift_nano_usd, by_finding|team|model|day|job, examples.",
        ),
    ] = False,
) -> None:
    """Compare recorded with reported usage, call by call. Exits with 1 if a difference is unexplained."""
    found = asyncio.run(_reconcile(Settings(), source, moment_of(since, now()), has_prices=prices))
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
    if found.unexplained:
        raise typer.Exit(1)


@spend_app.command()
def lost(
    since: Since = "30d",
    *,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON list: created_at, call_id, job_id, team_id, model_group, is_stream, tokens, cost_usd.",
        ),
    ] = False,
) -> None:
    """List the calls whose server died."""
    calls = asyncio.run(_lost(Settings(), moment_of(since, now())))
    if as_json:
        print_json([_lost_call(call) for call in calls])
        return
    table = Table("when", "call", "job", "team", "group", "tokens", "cost USD")
    for call in calls:
        known = _lost_call(call)
        table.add_row(*(visible(str(known[name])) for name in LOST_COLUMNS))
    _console().print(table)


@spend_app.command()
def prune(
    older_than_days: Annotated[
        int, typer.Option(min=1, max=MOST_DAYS, help="Age in days above which spend logs are deleted.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: dropped, the number.")] = False,
) -> None:
    """Delete old spend logs. Bills, usage and calls do not change."""
    with waiting("dropping old spend logs"):
        dropped = asyncio.run(_prune(Settings(), now() - timedelta(days=older_than_days)))
    if as_json:
        print_json({"dropped": dropped})
    else:
        echo(f"{dropped} spend logs dropped.")


spend_app.command()(archive)


LOST_COLUMNS = ("created_at", "call_id", "job_id", "team_id", "model_group", "tokens", "cost_usd")


def moment_of(text: str, present: datetime) -> datetime:
    """A time, or how long ago. Raises: Unprocessable."""
    try:
        if match := _DURATION.fullmatch(text):
            return present - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Unprocessable(f"{text!r} is no time: write 2026-11-01, 2026-11-01T12:00Z, or 90m, 24h, 7d.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


async def _reconcile(settings: Settings, source: Source, since: datetime, *, has_prices: bool) -> Reconciled:
    proxy = _proxy(settings) if source == "proxy" else None
    async with _prices(settings, is_wanted=has_prices) as price, _service(settings, price, proxy) as service:
        with counting("calls") as advance:
            if proxy is not None:
                return await service.reconcile_proxy(since, progress=advance)
            return await service.reconcile(source, since, progress=advance)


@asynccontextmanager
async def _prices(settings: Settings, *, is_wanted: bool) -> AsyncIterator[Price | None]:
    if not is_wanted:
        yield None
        return
    configure_logging("ERROR", "text")
    catalog = load_catalog(settings.config, os.environ)
    os.environ.update(catalog.environment)
    gateway = await open_gateway(catalog.router, lambda _report: None)
    try:
        yield gateway.price
    finally:
        await gateway.aclose()


def _proxy(settings: Settings) -> Proxy:
    """Raises: Unprocessable when no setting gives the address of its logs."""
    proxy = proxy_of(settings, load_catalog(settings.config, os.environ))
    if proxy is None:
        raise Unprocessable(
            "Where are the proxy's logs? Set CONTROL_PLANE_PROXY_DATABASE_URL, or CONTROL_PLANE_PROXY_URL and _PROXY_KEY."
        )
    return proxy


async def _lost(settings: Settings, since: datetime) -> Sequence[Call]:
    found: list[Call] = []
    async with _service(settings) as service:
        while page := await service.lost(ADMIN, since, before=found[-1].id if found else None, limit=PAGE):
            found += page
    return found


async def _prune(settings: Settings, before: datetime) -> int:
    async with _service(settings) as service:
        return await service.drop_logs(before)


@asynccontextmanager
async def _service(
    settings: Settings, price: Price | None = None, proxy: Proxy | None = None
) -> AsyncIterator[ReconciliationService]:
    async with existing_database(settings.database_url) as db:
        yield ReconciliationService(
            db, clock=now, kept_for=settings.spend_logs_kept_for, price=price, proxy=lambda: proxy
        )


def _lost_call(call: Call) -> dict[str, object]:
    return {
        "created_at": call.created_at.isoformat(),
        "call_id": str(call.id),
        "job_id": str(call.job_id),
        "team_id": call.team_id,
        "model_group": call.model_group,
        "is_stream": call.is_stream,
        "tokens": call.prompt_tokens + call.completion_tokens,
        "cost_usd": usd(call.cost_nano_usd),
    }


def _as_json(found: Reconciled) -> dict[str, object]:
    return {
        "source": found.source,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "archived_until": found.archived_until.isoformat() if found.archived_until else None,
        "unexplained": found.unexplained,
        "drift_nano_usd": found.drift,
        "by_finding": {finding.value: asdict(each) for finding, each in found.by_finding.items()},
        "by_team": _sums(found.by_team),
        "by_model": _sums(found.by_model),
        "by_day": _sums(found.by_day),
        "by_job": _sums(found.by_job),
        "examples": found.examples,
    }


def _sums(sums: dict[str, Sum]) -> dict[str, object]:
    return {name: asdict(each) for name, each in sums.items()}


def _show(found: Reconciled) -> None:
    console = _console()
    table = Table("", "calls", "recorded USD", "reported USD", "by price list", "difference", "unexplained")
    findings = {finding.value.replace("_", " "): each for finding, each in found.by_finding.items()}
    unfit = {job_id: each for job_id, each in found.by_job.items() if not each.fits}
    jobs = dict(list(unfit.items())[:MOST_JOBS])
    parts = (("team", found.by_team), ("model", found.by_model), ("day", found.by_day), ("job", jobs))
    for title, sums in (("", findings), *parts):
        for name, each in sums.items():
            difference = usd_signed(each.reported - each.recorded)
            amounts = (f"{usd(each.recorded):.9f}", f"{usd(each.reported):.9f}", f"{usd(each.priced):.9f}", difference)
            table.add_row(visible(f"{title} {name}".strip()), str(each.calls), *amounts, str(each.unexplained))
        table.add_section()
    console.print(table)
    console.print(f"{len(found.by_job)} jobs, of which {len(unfit)} do not fit; --json lists them all")
    for example in found.examples:
        console.print(" ".join(visible(f"{name}={value}") for name, value in example.items()), soft_wrap=True)
    if found.archived_until is not None and found.since < found.archived_until:
        console.print(f"calls of before {found.archived_until:%Y-%m} were archived and are not compared")
    console.print(f"{found.unexplained} unexplained")


def _console() -> Console:
    """As wide as the terminal; wide enough for whole numbers where there is none, as in a log or a pipe."""
    return Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)


def usd_signed(amount: int) -> str:
    """A difference in dollars."""
    return f"{'-' if amount < 0 else '+' if amount else ''}{usd(abs(amount)):.9f}"
