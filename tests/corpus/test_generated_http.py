"""Whatever a provider makes of an answer, no call stays open, nobody pays for nothing, and both lanes are alike."""

import asyncio
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from control_plane.errors import ControlPlaneError
from tests.corpus.apis import APIS, Response
from tests.corpus.cases import Case, Form, all_cases
from tests.corpus.mutations import mutated
from tests.corpus.provider import CorpusProvider
from tests.corpus.reading import forms
from tests.corpus.runner import CREDITS, Asked, Runner, config_of
from tests.support.server import new_team, serving, settings_for, write_config

Json = dict[str, Any]


ANSWERS = 80
SEED = 20261127


def answers(count: int) -> list[tuple[Case, Form]]:
    chance = random.Random(SEED)
    found = []
    for case, form in chance.sample([(case, form) for case, form in forms(all_cases()) if not case.is_dropped], count):
        data = mutated(case, form, chance.randrange(2**32))
        found.append((replace(case, bytes={form: data}, content_types={form: case.content_types[form]}), form))
    return found


async def test_no_changed_answer_leaves_a_call_open_or_is_paid_for_nothing(
    sqlite_template: Path, tmp_path: Path
) -> None:
    changed = answers(ANSWERS)
    cases = [case for case, _ in changed]
    file = tmp_path / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, file)
    asked: list[tuple[Asked, Asked]] = []
    for number, (case, form) in enumerate(changed):
        able = [api for api in APIS if api.can_ask(case.asks)]
        api = able[number % len(able)]
        asked.append((Asked(case, number, "relay", api, form), Asked(case, number, "litellm", api, form)))
    async with CorpusProvider.start(cases) as provider:
        config = write_config(tmp_path, config_of(cases, provider))
        async with (
            serving(settings_for(f"sqlite:///{file}", config)) as server,
            new_team(server, credits_allocated=CREDITS) as team,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {team.key}"}) as http,
        ):
            found = await Runner(server, provider, file, http).ask_all([one for pair in asked for one in pair])
            credits_ = await team.credits()
    problems = [
        f"{one.case.name} {one.form} {one.api.name} {one.case.bytes[one.form]!r}: {problem}"
        for pair in asked
        for one in pair
        for problem in problems_of(*found[one.key])
    ]
    problems += [
        f"{one.case.name} {one.form} {one.api.name} {one.case.bytes[one.form]!r}: {problem}"
        for one, other in asked
        for problem in unlike(one, found[one.key], found[other.key])
    ]
    assert not problems, "\n".join(problems)
    assert credits_["credits_held"] == 0


def problems_of(response: Response, rows: Sequence[Json]) -> list[str]:
    if len(rows) != 1:
        return [f"{len(rows)} calls recorded"]
    (row,) = rows
    problems = []
    if row["error_code"] == ControlPlaneError.code:
        problems.append(f"our own fault: {response.body[-300:]!r}")
    if row["status"] not in ("succeeded", "failed") or row["calls_open"] or row["credits_held"]:
        problems.append(f"the call is {row['status']}, {row['credits_held']} held")
    if row["credits_charged"] != (row["status"] == "succeeded"):
        problems.append(f"{row['credits_charged']} charged for a call that {row['status']}")
    return problems


def unlike(asked: Asked, one: tuple[Response, Sequence[Json]], other: tuple[Response, Sequence[Json]]) -> list[str]:
    """What differs between the lanes."""
    seen = [_seen(asked, *each) for each in (one, other)]
    return [
        f"{name}: {seen[0][name]!r} relayed, {seen[1][name]!r} through LiteLLM"
        for name in seen[0]
        if seen[0][name] != seen[1].get(name)
    ]


def _seen(asked: Asked, response: Response, rows: Sequence[Json]) -> Json:
    shape = asked.api.view(asked.api.read(response))
    recorded = ["status", "error_code", "completion_tokens", "is_estimated"]
    if rows and not rows[0]["is_estimated"]:  # where we count, the prompts of the two are not of one length
        recorded += ["prompt_tokens", "cost_nano_usd"]
    return {
        "http status": response.status,
        "text": shape.text,
        "reasoning": shape.reasoning,
        "calls": [(call.name, call.arguments) for call in shape.tool_calls],
        "finish": shape.finish,
        **{name: rows[0][name] for name in recorded if rows},
    }
