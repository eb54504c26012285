"""Many clients at once, on both databases: nothing is charged twice, given away or left held."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from tests.support.crowd import ManyPools
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import COST_NANO_USD, COST_USD, Server, Team, call_body, new_team

TOKENS = 21  # of one call of the provider's usual answer


@asynccontextmanager
async def crowd_of(server: Server, team: Team) -> AsyncIterator[Team]:
    """The team with a client that opens as many connections as it has requests."""
    headers = {"Authorization": f"Bearer {team.key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60, transport=ManyPools()) as http:
        yield Team(team.id, team.key, http, team.admin)


@pytest_asyncio.fixture
async def crowd(server: Server, team: Team) -> AsyncIterator[Team]:
    async with crowd_of(server, team) as many:
        yield many


async def at_once(times: int, request: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return list(await asyncio.gather(*(request() for _ in range(times))))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def test_200_completions_at_once_charge_once_and_say_the_same(crowd: Team) -> None:
    job_id = await crowd.create_job()
    await crowd.call(job_id)
    answers = await at_once(200, lambda: crowd.complete(job_id))
    assert statuses(answers) == {200: 200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["costs"]["credits_charged"] == 1
    books = await Books.of(crowd)
    books.check()
    assert len(books.of_kind("deduction")) == 1
    assert books.credits["credits_used"] == 1


async def test_200_different_completions_at_once_have_one_winner(crowd: Team) -> None:
    job_id = await crowd.create_job()
    await crowd.call(job_id)
    kinds = ("completed", "failed", "cancelled", "completed")
    answers = await asyncio.gather(*(crowd.complete(job_id, kinds[number % 4]) for number in range(200)))
    assert statuses(answers).keys() == {200, 409}
    winners = {answer.json()["status"] for answer in answers if answer.status_code == 200}
    assert len(winners) == 1
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409} == {"job_closed"}
    books = await Books.of(crowd)
    books.check()
    assert books.credits["credits_used"] == (1 if winners == {"completed"} else 0)


async def test_200_jobs_at_once_on_100_credits_are_100_jobs(crowd: Team) -> None:
    answers = await at_once(200, lambda: crowd.http.post("/api/jobs/create", json={"job_type": "race"}))
    assert statuses(answers) == {200: 100, 403: 100}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 403} == {"insufficient_credits"}
    books = await Books.of(crowd)
    books.check()
    assert (books.credits["credits_available"], books.credits["credits_held"]) == (0, 100)
    assert len(books.jobs) == 100
    # and every one of them can be cancelled, which gives all of it back
    ended = await asyncio.gather(*(crowd.complete(job["job_id"], "cancelled") for job in books.jobs))
    assert statuses(ended) == {200: 100}
    books = await Books.of(crowd)
    books.check()
    assert (books.credits["credits_available"], books.credits["credits_used"]) == (100, 0)


async def test_1000_jobs_at_once_on_10_credits_are_10_jobs(server: Server) -> None:
    async with new_team(server, credits_allocated=10) as team, crowd_of(server, team) as crowd:
        answers = await at_once(1000, lambda: crowd.http.post("/api/jobs/create", json={"job_type": "race"}))
        assert statuses(answers)[200] == 10
        assert statuses(answers).keys() <= {200, 403, 503}, "503: refused for now, and nothing was done"
        assert (await crowd.credits())["credits_available"] == 0
        (await Books.of(crowd)).check()


async def test_20_calls_at_once_add_up(crowd: Team) -> None:
    job_id = await crowd.create_job()
    answers = await at_once(20, lambda: crowd.call(job_id))
    assert statuses(answers) == {200: 20}
    costs = (await crowd.complete(job_id)).json()["costs"]
    assert (costs["total_calls"], costs["successful_calls"], costs["failed_calls"]) == (20, 20, 0)
    assert costs["total_tokens"] == 20 * TOKENS
    assert costs["total_cost_usd"] == pytest.approx(20 * COST_USD, abs=1e-12)
    books = await Books.of(crowd)
    books.check()
    assert len({call["call_id"] for call in books.calls}) == 20


@pytest.mark.parametrize("group", ["ok", "e500"])
async def test_calls_that_race_with_the_completion_are_billed_or_refused(crowd: Team, group: str) -> None:
    job_id = await crowd.create_job()
    completion, *calls = await asyncio.gather(
        crowd.complete(job_id), *(crowd.call(job_id, group) for _ in range(30)), crowd.call(job_id, "ok")
    )
    assert completion.status_code == 200
    bill = completion.json()
    refused = [answer for answer in calls if answer.status_code == 409]
    assert {answer.json()["error"]["code"] for answer in refused} <= {"job_closed"}
    made = len(calls) - len(refused)
    assert bill["costs"]["total_calls"] == len(bill["calls"]) == made
    answered = sum(answer.status_code == 200 for answer in calls)
    assert bill["costs"]["successful_calls"] == answered
    assert bill["costs"]["total_tokens"] == TOKENS * answered
    assert bill["costs"]["credits_charged"] == (1 if answered else 0)
    assert (await crowd.complete(job_id)).json() == bill, "a call was added after the bill"
    books = await Books.of(crowd)
    books.check()


async def test_completions_that_wait_for_a_call_do_not_keep_it_from_ending(crowd: Team, provider: Provider) -> None:
    job_id = await crowd.create_job()
    call = asyncio.create_task(crowd.call(job_id, "hold"))
    await provider.wait_requests("hold")
    waiting = [asyncio.create_task(crowd.complete(job_id)) for _ in range(100)]
    # another customer's work goes on meanwhile
    assert (await crowd.call(await crowd.create_job())).status_code == 200
    provider.release("hold")
    assert (await call).status_code == 200
    answers = await asyncio.gather(*waiting)
    assert statuses(answers) == {200: 100}
    assert len({answer.content for answer in answers}) == 1
    assert len((await Books.of(crowd)).of_kind("deduction")) == 1


async def test_one_call_jobs_at_once_on_10_credits_are_10_answers(server: Server, provider: Provider) -> None:
    async with new_team(server, credits_allocated=10) as team, crowd_of(server, team) as crowd:
        body = {"job_type": "race", **call_body("rolehold")}
        asked = asyncio.create_task(at_once(30, lambda: crowd.http.post("/api/jobs/create-and-call", json=body)))
        await provider.wait_requests("rolehold", 10)
        provider.release("rolehold")
        assert statuses(await asked) == {200: 10, 403: 20}
        assert provider.count("rolehold") == 10, "a call was made that nobody can pay"
        books = await Books.of(crowd)
        books.check()
        assert books.credits["credits_used"] == 10


async def test_the_bill_in_usd_mode_is_the_cost_rounded_up_once(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_usd", credits_per_dollar=100_000) as team:
        job_id = await team.create_job()
        for _ in range(3):
            assert (await team.call(job_id)).status_code == 200
        costs = (await team.complete(job_id)).json()["costs"]
        assert costs["credits_charged"] == -(-3 * COST_NANO_USD * 100_000 // 10**9) == 10
        assert costs["credits_remaining"] == 90
        (await Books.of(team)).check()


async def test_the_bill_in_token_mode_is_the_tokens_rounded_up_once(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=10) as team:
        job_id = await team.create_job()
        for _ in range(3):
            assert (await team.call(job_id)).status_code == 200
        costs = (await team.complete(job_id)).json()["costs"]
        assert costs["credits_charged"] == 7  # 63 tokens
        assert costs["credits_remaining"] == 93
        (await Books.of(team)).check()


async def test_a_hold_grows_with_use_and_what_cannot_be_held_is_refused(server: Server, provider: Provider) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=21, credits_allocated=4) as team:
        job_id = await team.create_job()
        held = [(await team.credits())["credits_held"]]
        for _ in range(3):
            assert (await team.call(job_id)).status_code == 200
            held.append((await team.credits())["credits_held"])
        assert held == [1, 1, 2, 3]
        before, asked = await Books.of(team), len(provider.requests)
        for route in ("llm-call", "llm-call-stream"):
            refused = await team.http.post(f"/api/jobs/{job_id}/{route}", json=call_body())
            assert refused.status_code == 403
            error = refused.json()["error"]
            assert error["code"] == "insufficient_credits"
            assert (error["credits_needed"], error["credits_available"]) == (2, 1)
            assert error["affordable_max_tokens"] > 0
        assert await Books.of(team) == before
        assert len(provider.requests) == asked
        fitting = call_body() | {"max_tokens": error["affordable_max_tokens"]}
        too_much = call_body() | {"max_tokens": error["affordable_max_tokens"] + 1}
        assert (await team.http.post(f"/api/jobs/{job_id}/llm-call", json=too_much)).status_code == 403
        assert (await team.http.post(f"/api/jobs/{job_id}/llm-call", json=fitting)).status_code == 200
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 4
        (await Books.of(team)).check()


async def test_a_consumption_job_that_fails_gives_its_whole_hold_back(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job()
        for _ in range(3):
            await team.call(job_id)
        assert (await team.credits())["credits_held"] == 63
        costs = (await team.complete(job_id, "failed")).json()["costs"]
        assert (costs["credits_charged"], costs["credits_remaining"]) == (0, 100)
        assert costs["total_tokens"] == 63, "what it took stays visible"
        (await Books.of(team)).check()


async def test_calls_at_once_in_a_consumption_job_never_cost_more_than_the_team_has(server: Server) -> None:
    """Each holds its worst case before it is made, so that nobody spends what another has begun to (D6)."""
    async with (
        new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1, credits_allocated=50) as team,
        crowd_of(server, team) as crowd,
    ):
        job_id = await crowd.create_job()
        answers = await at_once(20, lambda: crowd.call(job_id))
        answered = statuses(answers)[200]
        assert statuses(answers).keys() <= {200, 403}
        costs = (await crowd.complete(job_id)).json()["costs"]
        assert costs["credits_charged"] == costs["total_tokens"] == answered * TOKENS
        assert (await crowd.credits())["credits_remaining"] == 50 - answered * TOKENS >= 0
        assert answered, "none of them could be made"
        (await Books.of(crowd)).check()


async def test_a_plan_changed_meanwhile_does_not_change_a_job(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=10) as team:
        job_id = await team.create_job()
        await team.call(job_id)
        changed = await team.admin.patch(
            f"/api/teams/{team.id}/budget-mode", json={"budget_mode": "job_based", "tokens_per_credit": 1}
        )
        assert changed.status_code == 200
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 3
        (await Books.of(team)).check()


async def test_any_history_adds_up(crowd: Team, provider: Provider) -> None:
    """Jobs of every fate at once, with an administrator who adds and takes credits in between."""
    ends = ("completed", "failed", "cancelled")

    async def one(number: int) -> None:
        job_id = await crowd.create_job()
        groups = ("ok", "e500", "Falling", "break4")
        await asyncio.gather(*(crowd.call(job_id, groups[(number + call) % 4]) for call in range(number % 3)))
        answers = await asyncio.gather(*(crowd.complete(job_id, ends[number % 3]) for _ in range(2)))
        assert statuses(answers) == {200: 2}

    async def administer(number: int) -> None:
        amount = {"credits": 3 if number % 2 else -2, "reason": "test"}
        answer = await crowd.admin.post(f"/api/teams/{crowd.id}/credits/adjust", json=amount)
        assert answer.status_code == 200

    await asyncio.gather(*(one(number) for number in range(24)), *(administer(number) for number in range(6)))
    books = await Books.of(crowd)
    books.check()
    assert books.credits["credits_allocated"] == 103
    assert all(job["completed_at"] for job in books.jobs)
