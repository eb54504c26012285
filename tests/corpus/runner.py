"""Asks the whole product, in both lanes, over all APIs, and collects what is not as a case says."""

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import aiohttp

from control_plane.gateway.relay.eligibility import PROVIDERS
from tests.corpus.apis import APIS, Api, Request, Response
from tests.corpus.cases import Case, Expected, Form
from tests.corpus.provider import CorpusProvider, prompt_for
from tests.corpus.shapes import Shape, differences
from tests.support.patience import PATIENCE_S
from tests.support.server import INPUT_PRICE, OUTPUT_PRICE, Server, new_team

Json = dict[str, Any]
Lane = Literal["relay", "litellm"]

AT_ONCE = 10
CREDITS = 10**7
NANO = 10**9

QUERY = """
SELECT jobs.job_type, jobs.status AS job_status, jobs.credits_charged, jobs.credits_held, jobs.calls_open,
  calls.status, calls.prompt_tokens, calls.completion_tokens, calls.is_estimated, calls.is_unpriced, calls.is_cached,
  calls.cost_nano_usd, calls.error_code, calls.lane, calls.finish_reason
FROM jobs LEFT JOIN calls ON calls.job_id = jobs.id
"""


@dataclass(frozen=True)
class Asked:
    """One request of the corpus. `key`: the type of its job, by which its record is found."""

    case: Case
    number: int
    lane: Lane
    api: Api
    form: Form
    is_repeated: bool = False

    @property
    def key(self) -> str:
        return f"{self}{'-again' if self.is_repeated else ''}"

    @property
    def prompt(self) -> str:
        return prompt_for(self.number, self.form, self.seed)

    @property
    def seed(self) -> int:
        return crc32(str(self).encode())

    @property
    def expected(self) -> Expected:
        return self.case.expects[self.form]

    def __str__(self) -> str:
        return f"{self.case.name}-{self.lane}-{self.api.name}-{self.form}"


@dataclass
class Found:
    """What is wrong, by the case's name. `credits`: the team's, afterwards."""

    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    credits: Mapping[str, int] = field(default_factory=dict)

    def add(self, asked: Asked, problems: Sequence[str]) -> None:
        where = f"{asked.lane:8}{asked.api.name:10}{asked.form:7}{'again ' if asked.is_repeated else ''}"
        self.problems[asked.case.name] += [f"{where} {problem}" for problem in problems]


def lanes_of(case: Case) -> Sequence[Lane]:
    return ("relay", "litellm") if case.wire == "openai" else ("litellm",)


def group_of(case: Case, lane: Lane) -> str:
    provider = case.provider
    if lane == "relay" and provider not in PROVIDERS:
        provider = "openai"
    own = [case.model, case.base, case.params, case.info]
    return f"{provider}-{lane}-{crc32(json.dumps(own, sort_keys=True).encode()):08x}"


def config_of(cases: Sequence[Case], provider: CorpusProvider) -> Json:
    deployments: dict[str, Json] = {}
    for case in cases:
        for lane in lanes_of(case):
            group = group_of(case, lane)
            prefix = group.partition(f"-{lane}-")[0]
            is_moved = prefix != case.provider
            base = "/v1" if is_moved else case.base
            info = {"id": f"{group}-1", "max_output_tokens": 1000, **case.info}
            if case.has_usual_price:
                info |= {"input_cost_per_token": INPUT_PRICE, "output_cost_per_token": OUTPUT_PRICE}
            if lane == "litellm":
                info["lane"] = "litellm"
            deployments[group] = {
                "model_name": group,
                "litellm_params": {
                    "model": f"{prefix}/{case.model}",
                    "api_base": f"http://127.0.0.1:{provider.port}{base}",
                    "api_key": "sk-provider-secret",
                    **({} if is_moved else case.params),
                },
                "model_info": info,
            }
    return {
        "model_list": list(deployments.values()),
        "model_groups": {name: {"models": [name], "teams": ["*"], "cache": True} for name in deployments},
        "router_settings": {"num_retries": 0, "timeout": 20, "disable_cooldowns": True},
        "litellm_settings": {"drop_params": True},
    }


def requests_of(cases: Sequence[tuple[int, Case]], *, is_complete: bool) -> Iterator[Asked]:
    """Each case in both lanes and both forms, at every API; or, where not `is_complete`, at one, another for each."""
    for number, case in cases:
        able = [api for api in APIS if api.can_ask(case.asks)]
        for place, (lane, form) in enumerate(product(lanes_of(case), case.forms)):
            for api in able if is_complete else [able[(number + place) % len(able)]]:
                yield Asked(case, number, lane, api, form)


class Runner:
    """Runs the corpus with one team against one server."""

    def __init__(self, server: Server, provider: CorpusProvider, file: Path, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._provider = provider
        self._file = file
        self._http = http
        self._places = asyncio.Semaphore(AT_ONCE)
        self._responses: dict[str, Response] = {}
        self.found = Found()

    async def run(self, asked: Sequence[Asked]) -> Found:
        first = list({one.lane: one for one in asked}.values())
        for one in first:  # what is loaded late stops the event loop
            await self._ask(one)
        async with asyncio.TaskGroup() as tasks:
            for one in asked:
                if one not in first:
                    tasks.create_task(self._ask(one))
        for one in asked:
            count = self._provider.asked[one.number, one.form, one.seed]
            if count != 1:
                self.found.add(one, [f"the provider was asked {count} times"])
        again = [
            Asked(one.case, one.number, one.lane, one.api, one.form, is_repeated=True)
            for one in asked
            if one.api.name == "chat" and one.expected.outcome == "succeeded"
        ]
        async with asyncio.TaskGroup() as tasks:
            for one in again:
                tasks.create_task(self._ask(one))
        rows = await self._settled_rows()
        for one in [*asked, *again]:
            self.found.add(one, self._problems(one, rows.get(one.key, [])))
        return self.found

    async def _ask(self, asked: Asked) -> None:
        async with self._places:
            job_id = await self._new_job(asked.key) if asked.api.name == "job" else ""
            request = asked.api.request(
                group_of(asked.case, asked.lane),
                asked.prompt,
                asked.case.asks,
                asked.form,
                history=asked.case.history,
                job_id=job_id,
            )
            self._responses[asked.key] = await self._post(request, {"X-Job-Type": asked.key})
            if job_id:
                await self._post(Request(f"/api/jobs/{job_id}/complete", {"status": "completed"}))

    async def _new_job(self, key: str) -> str:
        made = await self._post(Request("/api/jobs/create", {"job_type": key}))
        job_id: str = made.json()["job_id"]
        return job_id

    async def _post(self, request: Request, headers: Mapping[str, str] | None = None) -> Response:
        async with self._http.post(self._server.url + request.path, json=request.body, headers=headers) as response:
            return Response(response.status, response.headers, await response.read())

    async def ask_all(self, asked: Sequence[Asked]) -> dict[str, tuple[Response, Sequence[Json]]]:
        """Each response, with the records of its call."""
        async with asyncio.TaskGroup() as tasks:
            for one in asked:
                tasks.create_task(self._ask(one))
        rows = await self._settled_rows()
        return {one.key: (self._responses[one.key], rows.get(one.key, [])) for one in asked}

    async def _settled_rows(self) -> dict[str, list[Json]]:
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(self._is_any_open):  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.05)
        return await asyncio.to_thread(self._rows)

    def _is_any_open(self) -> bool:
        """Whether a job waits to be closed: after an answer that failed, nobody waits for that."""
        connection = sqlite3.connect(self._file)
        (count,) = connection.execute("SELECT count(*) FROM jobs WHERE completed_at IS NULL").fetchone()
        connection.close()
        return bool(count)

    def _rows(self) -> dict[str, list[Json]]:
        rows: dict[str, list[Json]] = defaultdict(list)
        connection = sqlite3.connect(self._file)
        connection.row_factory = sqlite3.Row
        for row in connection.execute(QUERY):
            rows[row["job_type"]].append(dict(row))
        connection.close()
        return rows

    def _problems(self, asked: Asked, rows: Sequence[Json]) -> list[str]:
        response, expected = self._responses[asked.key], asked.expected
        if response.status != (status := asked.api.status(expected)):
            return [f"status {response.status}, not {status}: {response.body[:300]!r}"]
        if len(rows) != 1:
            return [f"{len(rows)} calls recorded"]
        try:
            got = asked.api.read(response)
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            return [f"{type(error).__name__} {error} in {response.body[:2000]!r}"]
        problems = differences(
            asked.api.view(Shape.of(expected)),
            asked.api.view(got),
            shown=asked.api.shown,
            counts=() if expected.estimated and not expected.usage else asked.api.counts,
        )
        problems += _header_problems(asked, response)
        return [*problems, *_record_problems(asked, got, rows[0])]


def _header_problems(asked: Asked, response: Response) -> list[str]:
    problems = []
    wait = asked.expected.retry_after
    if wait is not None and response.headers.get("Retry-After") != str(wait):
        problems.append(f"Retry-After: {response.headers.get('Retry-After')}, not {wait}")
    if asked.is_repeated:
        is_cached = response.headers.get("X-Cached") == "true"
        if is_cached != may_be_cached(asked):
            problems.append("the answer is given again" if is_cached else "the answer is not given again")
    return problems


def may_be_cached(asked: Asked) -> bool:
    expected = asked.expected
    if expected.cached is not None:
        return expected.cached
    return expected.finish in ("stop", "length") and not asked.case.asks.get("tools")


def _record_problems(asked: Asked, got: Shape, row: Json) -> list[str]:
    """What is wrong with the record of the call, and with what was charged for it."""
    expected = asked.expected
    is_cached = asked.is_repeated and may_be_cached(asked)
    want: Json = {
        "status": expected.outcome,
        "error_code": expected.error,
        "calls_open": 0,
        "credits_held": 0,
        "credits_charged": 1 if expected.outcome == "succeeded" else 0,
        "is_cached": is_cached,
    }
    if expected.outcome == "succeeded" and not is_cached:
        want |= {
            "lane": asked.lane,
            "finish_reason": expected.finish,
            "is_estimated": expected.estimated,
            "is_unpriced": expected.unpriced,
            **{name: expected.usage[name] for name in ("prompt_tokens", "completion_tokens") if name in expected.usage},
            "cost_nano_usd": _cost(asked, row),
        }
    problems = [f"recorded {name}: {row[name]!r}, not {value!r}" for name, value in want.items() if row[name] != value]
    if expected.outcome == "succeeded" and expected.estimated and not is_cached:
        problems += [f"recorded {name}: 0" for name in ("prompt_tokens",) if not row[name]]
    if got.cost_usd is not None and round(got.cost_usd * NANO) != row["cost_nano_usd"]:
        problems.append(f"cost_usd of the answer: {got.cost_usd}, recorded {row['cost_nano_usd']}")
    return problems


def _cost(asked: Asked, row: Json) -> int:
    if asked.expected.cost_usd is not None:
        return round(asked.expected.cost_usd * NANO)
    assert asked.case.has_usual_price, f"{asked.case.name}: a case with prices of its own says what its answer costs"
    dollars: float = row["prompt_tokens"] * INPUT_PRICE + row["completion_tokens"] * OUTPUT_PRICE
    return round(dollars * NANO)


async def run_corpus(server: Server, provider: CorpusProvider, file: Path, asked: Sequence[Asked]) -> Found:
    """Asks all of it, as one team."""
    async with (
        new_team(server, credits_allocated=CREDITS) as team,
        aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {team.key}"}, timeout=aiohttp.ClientTimeout(total=60)
        ) as http,
    ):
        found = await Runner(server, provider, file, http).run(asked)
        found.credits = await team.credits()
        return found
