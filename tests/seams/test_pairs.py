"""Every pair of what can happen to one request: each answer of the provider is charged or at risk, once, and said so.

The pairs with a lost acknowledgement are in `test_lost_answers.py`, on the database that can lose one. What a killed
process leaves behind is made by hand here; processes are killed in `tests/load/chaos` and `tests/acceptance/sdks/test_repeating.py`.
"""

from collections.abc import Awaitable, Callable
from itertools import combinations
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from control_plane import failpoints
from control_plane.calls.writer import CallWriter
from control_plane.chat import Rate, UsageEstimate
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs.rules import Intent
from tests.idempotency.test_keys import left_by_a_dead_server, nothing
from tests.load.chaos.checks import find_inconsistencies
from tests.seams.accounts import Accounts, metered
from tests.support.ledger import Books, Json
from tests.support.provider import Provider
from tests.support.server import (
    COST_NANO_USD,
    COST_USD,
    Server,
    Team,
    call_body,
    config_for,
    serving,
    settings_for,
    write_config,
)

RETRY, KEY, CACHE, CLAMP, CAP, FAILED, LOST, KILL = THINGS = (
    "SDK retry",
    "idempotency key",
    "response cache",
    "clamp",
    "cap",
    "failed completion",
    "lost acknowledgement",
    "kill -9",
)
CAPPED: Json = {"max_cost_usd": 2 * COST_USD}
"""Fits one call with its worst case, and behind it only a shorter one."""

CLAMPED: Json = {**CAPPED, "on_cap": "clamp"}


class Case:
    """One pair on a server of all pairs: its own team, and what the provider gave while it ran."""

    def __init__(self, server: Server, team: Team, provider: Provider) -> None:
        self.server, self.team, self.provider = server, team, provider

    async def chat(self, *, tries: int | None = None, key: str | None = None, job: str | None = None) -> httpx.Response:
        headers = {"X-Stainless-Retry-Count": tries, "Idempotency-Key": key, "X-Job-Id": job}
        said = {name: str(value) for name, value in headers.items() if value is not None}
        body = {"model": "ok", "messages": [{"role": "user", "content": self.team.id}], "temperature": 0}
        return await self.team.http.post("/v1/chat/completions", json=body, headers=said)

    async def one_call(self, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"job_type": "test", **call_body("ok", self.team.id, temperature=0), **more}
        return await self.team.http.post("/api/jobs/create-and-call", json=body, headers=headers)

    async def failing(self, asking: Awaitable[httpx.Response]) -> None:
        """An answer that cannot be rendered: the provider gave it, and its client hears of a failure."""
        failpoints.arm_failure("rendering")
        try:
            assert (await asking).status_code == 500
        finally:
            failpoints.arm_failure(None)

    async def killed(self) -> None:
        """The server died before the answer to `key-1` was kept."""
        await left_by_a_dead_server(self.server, f"team:{self.team.id}", nothing)

    async def lost_call(self, job_id: str) -> None:
        """A call that a server had opened when it was killed, found by another."""
        db, clock, dead = self.server.services.db, self.server.services.clock, new_id()
        demand = UsageEstimate(prompt_tokens=20, expected_prompt_tokens=11, max_tokens=10, rate=Rate(10**9, 2 * 10**9))
        intent = Intent(
            CallId(new_id()), JobId(UUID(job_id)), TeamId(self.team.id), "ok", False, None, {}, clock(), demand=demand
        )
        await CallWriter(db, dead, clock=clock)._write([intent])
        await self.server.services.lease.give_up_dead()

    async def call(self, job_id: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = call_body("ok", self.team.id, temperature=0, **more)
        return await self.team.http.post(f"/api/jobs/{job_id}/llm-call", json=body, headers=headers)

    async def accounts(self) -> tuple[float, float, float]:
        """(given, charged, at risk) in answers, when every job is closed."""
        for job in (await Books.of(self.team)).jobs:
            if not job["completed_at"]:
                assert (await self.team.complete(job["job_id"])).status_code == 200
        (await Books.of(self.team)).check()
        found = await Accounts.of(self.team, self.provider)
        assert found.are_even, found
        return found.given, found.charged, found.at_risk


def charged(answer: httpx.Response) -> int:
    """What the answer says that its job was charged, in credits: nano-USD."""
    assert answer.status_code == 200, answer.text
    if "X-Credits-Charged" in answer.headers:
        return int(answer.headers["X-Credits-Charged"])
    said: int = answer.json()["costs"]["credits_charged"]
    return said


async def retry_and_key(case: Case) -> None:
    first, again = await case.chat(tries=0, key="k"), await case.chat(tries=1, key="k")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert charged(first) == charged(again) == COST_NANO_USD
    assert await case.accounts() == (1, 1, 0)


async def retry_and_cache(case: Case) -> None:
    """The first job is refunded, so its answer is not given again for nothing; not after a failure in between either."""
    await case.chat(tries=0)
    again = await case.chat(tries=1)
    assert "X-Cached" not in again.headers
    assert charged(again) == COST_NANO_USD
    assert await case.accounts() == (2, 1, 1)


async def retry_and_failure(case: Case) -> None:
    await case.chat(tries=0)
    await case.failing(case.chat(tries=1))
    assert await case.accounts() == (2, 0, 2)
    assert charged(await case.chat(tries=2)) == COST_NANO_USD
    assert await case.accounts() == (3, 1, 2)


async def retry_and_clamp(case: Case) -> None:
    """Calls that join a job are not undone: both are in its bill."""
    job_id = await case.team.create_job(**CLAMPED)
    for tries in (0, 1):
        assert (await case.chat(tries=tries, job=job_id)).status_code == 200
    assert await case.accounts() == (2, 2, 0)


async def retry_and_cap(case: Case) -> None:
    job_id = await case.team.create_job(**CAPPED)
    assert [(await case.chat(tries=tries, job=job_id)).status_code for tries in (0, 1)] == [200, 403]
    assert await case.accounts() == (1, 1, 0)


async def key_and_cache(case: Case) -> None:
    await case.one_call("key-1")
    await case.killed()
    again = await case.one_call("key-1")
    assert "X-Cached" not in again.headers
    assert charged(again) == COST_NANO_USD
    assert await case.accounts() == (2, 1, 1)


async def key_and_clamp(case: Case) -> None:
    for _ in range(2):
        assert charged(await case.one_call("key-1", max_tokens=1000, **CLAMPED)) == COST_NANO_USD
        await case.killed()
    assert await case.accounts() == (2, 1, 1)


async def key_and_cap(case: Case) -> None:
    for _ in range(2):
        refused = await case.one_call("key-1", max_cost_usd=COST_USD / 100)
        assert refused.json()["error"]["code"] == "job_cap_reached"
    assert await case.accounts() == (0, 0, 0)


async def key_and_failure(case: Case) -> None:
    await case.failing(case.one_call("key-1"))
    assert charged(await case.one_call("key-1")) == COST_NANO_USD
    assert await case.accounts() == (2, 1, 1)


async def key_and_kill(case: Case) -> None:
    """In a job of several calls: the one whose answer died is taken out of the bill, and not given again from the cache."""
    job_id = await case.team.create_job()
    await case.call(job_id, "key-1")
    await case.killed()
    again = await case.call(job_id, "key-1")
    assert (again.json()["metadata"]["cached"], again.json()["metadata"]["cost_usd"]) == (False, COST_USD)
    assert await case.accounts() == (2, 1, 1)


async def cache_and_clamp(case: Case) -> None:
    """What was cut to fit is no answer to who asks for the whole."""
    assert (await case.call(await case.team.create_job(**CLAMPED), max_tokens=1000)).status_code == 200
    whole = await case.one_call(max_tokens=1000)
    assert "X-Cached" not in whole.headers
    assert await case.accounts() == (2, 2, 0)


async def cache_and_cap(case: Case) -> None:
    await case.one_call()
    again = await case.one_call(**CAPPED)
    assert (again.headers["X-Cached"], charged(again)) == ("true", 0)
    assert await case.accounts() == (1, 1, 0)


async def cache_and_failure(case: Case) -> None:
    job_id = await case.team.create_job()
    await case.call(job_id)
    await case.team.complete(job_id, "failed")
    assert charged(await case.one_call()) == 0
    assert await case.accounts() == (1, 0, 1)


async def cache_and_kill(case: Case) -> None:
    """What died was itself an answer given again: it had cost nothing, and is given again."""
    await case.one_call()
    await case.one_call("key-1")
    await case.killed()
    assert charged(await case.one_call("key-1")) == 0
    assert await case.accounts() == (1, 1, 0)


async def clamp_and_cap(case: Case) -> None:
    job_id = await case.team.create_job(**CLAMPED)
    answers = [await case.call(job_id, max_tokens=tokens) for tokens in (10, 1000, 1000)]
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert await case.accounts() == (2, 2, 0)


async def clamp_and_failure(case: Case) -> None:
    job_id = await case.team.create_job(**CLAMPED)
    await case.failing(case.call(job_id, max_tokens=1000))
    assert charged(await case.team.complete(job_id)) == 0
    assert await case.accounts() == (1, 0, 1)


async def cap_and_failure(case: Case) -> None:
    job_id = await case.team.create_job(**CAPPED)
    await case.failing(case.call(job_id))
    assert (await case.call(job_id)).status_code == 200
    assert charged(await case.team.complete(job_id)) == COST_NANO_USD
    assert await case.accounts() == (2, 1, 1)


async def capped_and_kill(case: Case) -> None:
    """Nothing was delivered: the estimate of what was lost is at risk, and frees nothing of the cap."""
    for caps in (CAPPED, CLAMPED):
        job_id = await case.team.create_job(**caps)
        await case.lost_call(job_id)
        (lost,) = (await case.team.costs(job_id))["breakdown"]
        assert (lost["status"], lost["cost_usd"] > 0) == ("lost", True)
        assert charged(await case.team.complete(job_id)) == 0
    found = await Accounts.of(case.team, case.provider)
    assert (found.charged, round(found.at_risk * COST_NANO_USD)) == (0, round(2 * lost["cost_usd"] * 1e9))


async def failure_and_kill(case: Case) -> None:
    await case.failing(case.one_call("key-1"))
    await case.killed()
    assert charged(await case.one_call("key-1")) == COST_NANO_USD
    assert await case.accounts() == (2, 1, 1)


ELSEWHERE = "tests/seams/test_lost_answers.py, behind a network that loses the answer to a COMMIT"

PAIRS: dict[tuple[str, str], Callable[[Case], Awaitable[None]] | str] = {
    (RETRY, KEY): retry_and_key,
    (RETRY, CACHE): retry_and_cache,
    (RETRY, CLAMP): retry_and_clamp,
    (RETRY, CAP): retry_and_cap,
    (RETRY, FAILED): retry_and_failure,
    (RETRY, LOST): ELSEWHERE,
    (RETRY, KILL): "tests/acceptance/sdks/test_repeating.py kills a server between the charge and the answer",
    (KEY, CACHE): key_and_cache,
    (KEY, CLAMP): key_and_clamp,
    (KEY, CAP): key_and_cap,
    (KEY, FAILED): key_and_failure,
    (KEY, LOST): ELSEWHERE,
    (KEY, KILL): key_and_kill,
    (CACHE, CLAMP): cache_and_clamp,
    (CACHE, CAP): cache_and_cap,
    (CACHE, FAILED): cache_and_failure,
    (CACHE, LOST): ELSEWHERE,
    (CACHE, KILL): cache_and_kill,
    (CLAMP, CAP): clamp_and_cap,
    (CLAMP, FAILED): clamp_and_failure,
    (CLAMP, LOST): ELSEWHERE,
    (CLAMP, KILL): capped_and_kill,
    (CAP, FAILED): cap_and_failure,
    (CAP, LOST): ELSEWHERE,
    (CAP, KILL): capped_and_kill,
    (FAILED, LOST): ELSEWHERE,
    (FAILED, KILL): failure_and_kill,
    (LOST, KILL): "cannot be told from a kill behind the commit: the record stands, and its client heard nothing",
}


def test_no_pair_is_forgotten() -> None:
    assert set(PAIRS) == set(combinations(THINGS, 2))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_pair_is_charged_or_at_risk_once(provider: Provider, database_url: str, tmp_path: Path) -> None:
    """One server for all: what fails is named by its pair."""
    config = config_for(provider, litellm_settings={"drop_params": True, "cache": True})
    unpaid = {}
    async with serving(settings_for(database_url, write_config(tmp_path, config))) as server:
        for pair, happen in PAIRS.items():
            if isinstance(happen, str):
                continue
            provider.forget()
            async with metered(server) as team:
                try:
                    await happen(Case(server, team, provider))
                except AssertionError as error:
                    unpaid[pair] = str(error)
        assert unpaid == {}
        assert await find_inconsistencies(server.services.db) == []
