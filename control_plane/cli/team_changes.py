"""`control-plane team update`: the fields of `PUT /api/teams/{id}`, an option each."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import typer

from control_plane.cli import answers
from control_plane.cli.output import AsJson, show
from control_plane.cli.remote import Url, ask, given


class Unset(StrEnum):
    """Settings that can be reset to their default, or removed."""

    ALIAS = "alias"
    DEFAULT_GROUP = "default-group"
    RPM = "rpm"
    TPM = "tpm"
    MAX_PARALLEL_CALLS = "max-parallel-calls"
    JOBS_PER_MINUTE = "jobs-per-minute"
    AT_RISK_LIMIT_USD = "at-risk-limit-usd"
    PRICES = "prices"
    METADATA = "metadata"


FIELDS = {"alias": "team_alias", "default-group": "default_model_group", "prices": "job_type_prices"}
"""API names that differ from the option's."""
EMPTY: dict[str, dict[str, Any]] = {"prices": {}, "metadata": {}}
"""Empty values; all others are null, which is their default."""

Mode = Literal["job_based", "consumption_usd", "consumption_tokens"]
Rule = Literal["any_call_succeeded", "all_calls_succeeded"]


def update_team(  # noqa: PLR0913 - an option for each field
    team: Annotated[str, typer.Argument(help="The team's id.")],
    *,
    alias: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    default_group: Annotated[str | None, typer.Option(help="The model group of calls that name none.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="How its jobs are charged.")] = None,
    credits_per_dollar: Annotated[int | None, typer.Option(min=1, help="In mode consumption_usd.")] = None,
    tokens_per_credit: Annotated[int | None, typer.Option(min=1, help="In mode consumption_tokens.")] = None,
    charge_rule: Annotated[Rule | None, typer.Option(help="Which calls must succeed for a job to be charged.")] = None,
    markup_bps: Annotated[int | None, typer.Option(min=0, help="Added to the cost, in 1/100 %: 2000 is 20 %.")] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=CREDITS", help="What a job of a type costs; may be repeated. Replaces all prices."),
    ] = None,
    at_risk_limit_usd: Annotated[float | None, typer.Option(min=0, help="The most unbilled provider cost.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Calls a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute.")] = None,
    max_parallel_calls: Annotated[int | None, typer.Option(min=1, help="Calls at once.")] = None,
    jobs_per_minute: Annotated[int | None, typer.Option(min=1, help="New jobs a minute.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="A JSON object. Replaces all metadata.")] = None,
    unset: Annotated[
        list[Unset] | None, typer.Option(help="Reset it to its default, or remove it; may be repeated.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Update the given settings of a team. Existing jobs keep the prices they were created with.

    Model groups are set by `team groups`, credits by `credits`.
    """
    named = given(
        {
            "team_alias": alias,
            "default_model_group": default_group,
            "budget_mode": mode,
            "credits_per_dollar": credits_per_dollar,
            "tokens_per_credit": tokens_per_credit,
            "charge_rule": charge_rule,
            "markup_bps": markup_bps,
            "job_type_prices": None if price is None else _prices(price),
            "at_risk_limit_usd": at_risk_limit_usd,
            "rpm": rpm,
            "tpm": tpm,
            "max_parallel_calls": max_parallel_calls,
            "jobs_per_minute": jobs_per_minute,
            "metadata": None if metadata is None else _object(metadata),
        }
    )
    cleared = {FIELDS.get(name, name.replace("-", "_")): EMPTY.get(name) for name in unset or ()}
    if twice := named.keys() & cleared.keys():
        raise typer.BadParameter(f"{', '.join(sorted(twice))}: set and unset at once.")
    if not named and not cleared:
        raise typer.BadParameter("nothing is to be changed; name an option")
    show(ask(url, "PUT", "teams", team, shape=answers.Team, body={**named, **cleared}), as_json=as_json)


def _prices(texts: Sequence[str]) -> dict[str, int]:
    prices = {}
    for text in texts:
        job_type, _, amount = text.rpartition("=")
        if not job_type or not (amount.isascii() and amount.isdecimal()):
            raise typer.BadParameter(
                f"{text!r} is no price; write TYPE=CREDITS, such as report=5", param_hint="--price"
            )
        prices[job_type] = int(amount)
    return prices


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("write a JSON object, such as '{\"customer\": 7}'", param_hint="--metadata")
    return value
