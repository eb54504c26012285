"""A POST sent again with its Idempotency-Key is answered as the first time, and nothing is done twice."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlmodel import col

from control_plane.calls.writer import CallWriter
from control_plane.chat import Rate, UsageEstimate
from control_plane.idempotency import store
from control_plane.idempotency.models import IdempotencyKey
from control_plane.idempotency.service import KEPT_FOR, Claim, IdempotencyService
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs.rules import Intent
from control_plane.replicas.lease import Lease
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.storage.rows import every, one
from tests.load.chaos.checks import find_inconsistencies
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, call_body, new_team, serving
from tests.support.services import Watch

ONE_CALL = {"job_type": "test", **call_body()}


def with_key(key: str = "key-1") -> dict[str, str]:
    return {"Idempotency-Key": key}


async def post(team: Team, path: str, body: object, key: str = "key-1") -> httpx.Response:
    return await team.http.post(path, json=body, headers=with_key(key))


def assert_replayed(again: httpx.Response, first: httpx.Response) -> None:
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    for name in ("X-Call-Id", "X-Job-Id", "X-Credits-Remaining"):
        assert again.headers.get(name) == first.headers.get(name)


async def test_a_job_created_twice_is_one_job_with_one_hold(team: Team) -> None:
    first = await post(team, "/api/jobs/create", {"job_type": "a"})
    assert_replayed(await post(team, "/api/jobs/create", {"job_type": "a"}), first)
    assert (await team.credits())["credits_held"] == 1
    assert len((await Books.of(team)).jobs) == 1


async def test_a_call_made_twice_asks_the_provider_once(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    for route in ("llm-call", "llm-call-stream"):
        path = f"/api/jobs/{job_id}/{route}"
        first = await post(team, path, call_body(), route)
        assert first.status_code == 200
        assert_replayed(await post(team, path, call_body(), route), first)
    assert provider.count("ok") == 2
    assert (await team.complete(job_id)).json()["costs"]["total_calls"] == 2


async def test_a_one_call_job_asked_for_twice_is_billed_once(team: Team, provider: Provider) -> None:
    for route in ("create-and-call", "create-and-call-stream"):
        first = await post(team, f"/api/jobs/{route}", ONE_CALL, route)
        assert first.status_code == 200
        assert_replayed(await post(team, f"/api/jobs/{route}", ONE_CALL, route), first)
    assert provider.count("ok") == 2
    books = await Books.of(team)
    assert books.credits["credits_used"] == 2
    books.check()


async def test_credits_added_twice_are_added_once(team: Team) -> None:
    answers = [
        await team.admin.post(
            f"/api/teams/{team.id}/credits/add", json={"credits": 5, "reason": "paid"}, headers=with_key()
        )
        for _ in range(3)
    ]
    assert [answer.json()["credits_available"] for answer in answers] == [105] * 3
    assert (await team.credits())["credits_available"] == 105


async def test_of_many_at_once_one_is_done(team: Team) -> None:
    answers = await asyncio.gather(*(post(team, "/api/jobs/create", {"job_type": "a"}) for _ in range(30)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status_code == 200]
    assert len({answer.json()["job_id"] for answer in done}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1
    for refused in (answer for answer in answers if answer.status_code == 409):
        assert refused.json()["error"]["code"] == "idempotency_in_flight"
        assert refused.headers["Retry-After"] == "1"
    assert (await team.credits())["credits_held"] == 1


async def test_the_second_is_told_while_the_first_is_running(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    path = f"/api/jobs/{job_id}/llm-call"
    first = asyncio.create_task(post(team, path, call_body("rolehold")))
    await provider.wait_requests("rolehold")
    assert (await post(team, path, call_body("rolehold"))).json()["error"]["code"] == "idempotency_in_flight"
    provider.release("rolehold")
    answered = await first
    assert_replayed(await post(team, path, call_body("rolehold")), answered)


async def test_another_request_with_the_same_key_is_a_mistake(team: Team) -> None:
    await post(team, "/api/jobs/create", {"job_type": "a"})
    job_id = await team.create_job()
    for path, body in (
        ("/api/jobs/create", {"job_type": "b"}),
        ("/api/jobs/create?x=1", {"job_type": "a"}),
        (f"/api/jobs/{job_id}/complete", {"job_type": "a"}),
    ):
        refused = await post(team, path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len((await Books.of(team)).jobs) == 2


async def test_teams_do_not_share_keys(team: Team, other_team: Team) -> None:
    mine = await post(team, "/api/jobs/create", {"job_type": "a"})
    theirs = await post(other_team, "/api/jobs/create", {"job_type": "a"})
    assert mine.json()["job_id"] != theirs.json()["job_id"]
    assert theirs.json()["team_id"] == other_team.id


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "käse"])
async def test_a_key_that_cannot_be_kept_is_refused_before_anything_is_done(team: Team, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("utf-8")}
    refused = await team.http.post("/api/jobs/create", json={"job_type": "a"}, headers=headers)
    assert refused.status_code == 422
    assert "255" in refused.json()["detail"]
    assert (await Books.of(team)).jobs == []


async def test_a_refusal_is_not_kept_so_that_trying_again_can_succeed(server: Server) -> None:
    async with new_team(server, credits_allocated=0) as team:
        assert (await post(team, "/api/jobs/create", {"job_type": "a"})).status_code == 403
        await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 1, "reason": "paid"})
        assert (await post(team, "/api/jobs/create", {"job_type": "a"})).status_code == 200


async def test_a_failed_call_is_not_kept(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    for route in ("llm-call", "llm-call-stream"):
        path = f"/api/jobs/{job_id}/{route}"
        assert (await post(team, path, call_body("e500"), route)).status_code == 500
        assert (await post(team, path, call_body("e500"), route)).status_code == 500
    assert provider.count("e500") == 4
    broken = f"/api/jobs/{job_id}/llm-call-stream"
    for _ in range(2):
        answer = await post(team, broken, call_body("break4"), "broken")
        assert b'"error"' in answer.content
        assert "Idempotency-Replayed" not in answer.headers


async def test_a_stream_that_was_left_is_made_again(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    path = f"/api/jobs/{job_id}/llm-call-stream"
    async with team.http.stream("POST", path, json=call_body("hold"), headers=with_key()) as stream:
        await anext(stream.aiter_lines())
    async with asyncio.timeout(PATIENCE_S):
        while (again := await post_briefly(team, path)) == 409:  # noqa: ASYNC110 - the server sees the client leave
            await asyncio.sleep(0.02)
    assert again == 200
    assert provider.count("hold") == 2


async def post_briefly(team: Team, path: str) -> int:
    """The status of a stream that is left at once."""
    async with team.http.stream("POST", path, json=call_body("hold"), headers=with_key()) as stream:
        return stream.status_code


async def test_a_secret_is_shown_once(team: Team) -> None:
    path = f"/api/teams/{team.id}/keys"
    made = await team.admin.post(path, json={"name": "second"}, headers=with_key())
    assert made.json()["virtual_key"].startswith("sk-")
    again = await team.admin.post(path, json={"name": "second"}, headers=with_key())
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_response_not_stored")
    names = [key["name"] for key in (await team.admin.get(path)).json()["keys"]]
    assert names.count("second") == 1


async def test_answers_outlive_the_server_that_gave_them(settings: Settings) -> None:
    async with serving(settings) as server, new_team(server) as team:
        first = await post(team, "/api/jobs/create-and-call", ONE_CALL)
    async with serving(settings) as server, server.client(team.key) as http:
        again = Team(team.id, team.key, http, http)
        assert_replayed(await post(again, "/api/jobs/create-and-call", ONE_CALL), first)


# A server that died between doing something and keeping the answer.


async def left_by_a_dead_server(server: Server, scope: str, change: Callable[[IdempotencyKey], None]) -> None:
    """Puts the key back to how a server leaves it that dies before the answer is kept."""
    async with server.services.db.transaction() as tx:
        found = every(IdempotencyKey).where(
            col(IdempotencyKey.scope).startswith(scope), col(IdempotencyKey.key) == "key-1"
        )
        row = one(IdempotencyKey, await tx.execute(found))
        assert row is not None
        dead = IdempotencyKey(**row.model_dump())
        dead.worker_id, dead.status, dead.headers, dead.body = new_id(), None, None, None
        change(dead)
        dead.created_at = row.expires_at + timedelta(seconds=1)
        assert await store.claim(tx, dead)


def nothing(row: IdempotencyKey) -> None:
    pass


async def test_a_job_whose_creation_was_cut_off_is_found_and_holds_once(server: Server, team: Team) -> None:
    first = await post(team, "/api/jobs/create", {"job_type": "a"})
    await left_by_a_dead_server(server, f"team:{team.id}", nothing)
    again = await post(team, "/api/jobs/create", {"job_type": "a"})
    assert again.json() == first.json()
    assert (await team.credits())["credits_held"] == 1


@pytest.mark.parametrize("route", ["add", "refund", "adjust"])
async def test_credits_whose_movement_was_cut_off_are_moved_once(server: Server, team: Team, route: str) -> None:
    used = await team.create_job()
    await team.call(used)
    await team.complete(used)
    path, body = f"/api/teams/{team.id}/credits/{route}", {"credits": 1, "reason": "paid"}
    first = await team.admin.post(path, json=body, headers=with_key())
    assert first.status_code == 200
    await left_by_a_dead_server(server, "admin", nothing)
    again = await team.admin.post(path, json=body, headers=with_key())
    assert again.json() == first.json()
    assert (await Books.of(team)).credits["credits_available"] == 100


async def test_a_one_call_job_whose_answer_was_lost_is_made_again_and_paid_once(server: Server, team: Team) -> None:
    first = await post(team, "/api/jobs/create-and-call", ONE_CALL)
    for _ in range(2):  # and the second server dies, too
        await left_by_a_dead_server(server, f"team:{team.id}", nothing)
        again = await post(team, "/api/jobs/create-and-call", ONE_CALL)
        assert again.status_code == 200
        assert again.json()["job_id"] != first.json()["job_id"]
    books = await Books.of(team)
    assert books.credits["credits_used"] == 1
    assert len(books.jobs) == 3
    assert len(books.of_kind("refund")) == 2


@pytest.mark.parametrize("route", ["llm-call", "llm-call-stream"])
async def test_a_call_whose_answer_was_lost_is_made_again_and_counted_once(
    server: Server, provider: Provider, route: str
) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job()
        path = f"/api/jobs/{job_id}/{route}"
        first = await post(team, path, call_body())
        for _ in range(2):  # and the second server dies, too
            await left_by_a_dead_server(server, f"team:{team.id}", nothing)
            again = await post(team, path, call_body())
            assert again.status_code == 200
            assert again.headers["X-Call-Id"] != first.headers["X-Call-Id"]
        assert_replayed(await post(team, path, call_body()), again)
        assert provider.count("ok") == 3
        calls = (await team.costs(job_id))["breakdown"]
        assert [call["status"] for call in calls] == ["failed", "failed", "succeeded"]
        assert [call["cost_usd"] for call in calls] == [COST_USD] * 3, "what was spent stays visible"
        bill = (await team.complete(job_id)).json()["costs"]
        assert (bill["total_tokens"], bill["credits_charged"], bill["failed_calls"]) == (21, 21, 2)
        (await Books.of(team)).check()
        assert await find_inconsistencies(server.services.db) == []


@pytest.mark.parametrize("is_found", [False, True])
async def test_a_call_that_was_lost_with_its_server_counts_nothing_beside_its_repetition(
    server: Server, *, is_found: bool
) -> None:
    """Also when it was found, and counted as what its prompt usually costs, before its client asked again."""
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job()
        path = f"/api/jobs/{job_id}/llm-call"
        await post(team, path, call_body())
        lost = await lost_call(server, team, job_id, is_found=is_found)

        def of_the_lost_call(row: IdempotencyKey) -> None:
            row.subject_id = lost

        await left_by_a_dead_server(server, f"team:{team.id}", of_the_lost_call)
        assert (await post(team, path, call_body())).status_code == 200
        calls = (await team.costs(job_id))["breakdown"]
        assert sorted((call["status"], call["cost_usd"]) for call in calls) == [
            ("lost", 0),
            ("succeeded", COST_USD),
            ("succeeded", COST_USD),
        ]
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 42
        (await Books.of(team)).check()
        assert await find_inconsistencies(server.services.db) == []


async def lost_call(server: Server, team: Team, job_id: str, *, is_found: bool) -> UUID:
    """A call that a server had opened when it died."""
    db, clock, dead = server.services.db, server.services.clock, new_id()
    demand = UsageEstimate(prompt_tokens=30, expected_prompt_tokens=12, max_tokens=9, rate=Rate(10**9, 10**9))
    intent = Intent(
        CallId(new_id()), JobId(UUID(job_id)), TeamId(team.id), "ok", False, None, {}, clock(), demand=demand
    )
    await CallWriter(db, dead, clock=clock)._write([intent])
    if is_found:
        judge = Lease(db, new_id(), clock=clock)
        await judge.check()
        await judge.give_up_dead()
        assert [call["cost_usd"] for call in (await team.costs(job_id))["breakdown"]] == [COST_USD, 12e-6]
    return intent.call_id


async def test_a_stream_that_its_client_left_is_not_free_because_its_server_died_later(
    server: Server, provider: Provider
) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job()
        path = f"/api/jobs/{job_id}/llm-call-stream"
        async with team.http.stream("POST", path, json=call_body("hold"), headers=with_key()) as stream:
            await anext(stream.aiter_lines())
        async with asyncio.timeout(PATIENCE_S):
            while (await team.costs(job_id))["breakdown"][0]["status"] == "open":  # noqa: ASYNC110 - the server sees it
                await asyncio.sleep(0.02)
        await left_by_a_dead_server(server, f"team:{team.id}", nothing)
        provider.release("hold")
        assert (await post(team, path, call_body("hold"))).status_code == 200
        left, whole = (await team.costs(job_id))["breakdown"]
        assert (left["status"], whole["status"]) == ("cancelled", "succeeded")
        used = sum(call["prompt_tokens"] + call["completion_tokens"] for call in (left, whole))
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == used > 21


async def test_a_call_that_joins_a_job_by_header_is_counted_once_too(server: Server) -> None:
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        job_id = await team.create_job()
        headers = {**with_key(), "X-Job-Id": job_id}
        body = {"model": "ok", "messages": [{"role": "user", "content": "Hello"}]}
        for _ in range(2):
            assert (await team.http.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
            await left_by_a_dead_server(server, f"team:{team.id}", nothing)
        assert [call["status"] for call in (await team.costs(job_id))["breakdown"]] == ["failed", "succeeded"]
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 21


async def test_the_same_key_for_another_job_is_a_mistake(team: Team) -> None:
    body = {"model": "ok", "messages": [{"role": "user", "content": "Hello"}]}
    asked = []
    for _ in range(2):
        headers = {**with_key(), "X-Job-Id": await team.create_job()}
        asked.append(await team.http.post("/v1/chat/completions", json=body, headers=headers))
    assert asked[0].status_code == 200
    assert asked[1].json()["error"]["code"] == "idempotency_key_reused"


async def test_who_leaves_a_stream_and_asks_again_pays_for_what_it_heard(server: Server, provider: Provider) -> None:
    """Else leaving before the last piece, again and again, would make answers free."""
    async with new_team(server, budget_mode="consumption_tokens", tokens_per_credit=1) as team:
        path, body = "/api/jobs/create-and-call-stream", {"job_type": "test", **call_body("hold")}
        async with team.http.stream("POST", path, json=body, headers=with_key()) as stream:
            await anext(stream.aiter_lines())
        heard = (await Books.of_closed_jobs(team)).credits["credits_used"]
        assert heard > 0
        provider.release("hold")
        async with asyncio.timeout(PATIENCE_S):
            while (await post(team, path, body)).status_code == 409:  # noqa: ASYNC110 - until the key is free
                await asyncio.sleep(0.02)
        books = await Books.of_closed_jobs(team)
        books.check()
        assert books.of_kind("refund") == []
        assert books.credits["credits_used"] == heard + 21


async def test_a_one_call_job_that_was_left_open_is_failed_and_made_again(server: Server, team: Team) -> None:
    await post(team, "/api/jobs/create-and-call", ONE_CALL)
    open_job = UUID(await team.create_job())

    def of_the_open_job(row: IdempotencyKey) -> None:
        row.subject_id = open_job

    await left_by_a_dead_server(server, f"team:{team.id}", of_the_open_job)
    assert (await post(team, "/api/jobs/create-and-call", ONE_CALL)).status_code == 200
    statuses = sorted(job["status"] for job in (await Books.of(team)).jobs)
    assert statuses == ["completed", "completed", "failed"]
    assert (await team.credits())["credits_held"] == 0


async def test_a_key_is_forgotten_after_a_day(db: Database) -> None:
    clock = Watch()
    service = IdempotencyService(db, new_id(), clock=clock)
    first = await service.claim("team:a", "k", "one")
    assert isinstance(first, Claim)
    clock.move(KEPT_FOR - timedelta(seconds=1))
    await service.purge()
    async with db.reader() as reader:
        assert await store.find(reader, "team:a", "k") is not None
    clock.move(timedelta(seconds=1))
    again = await service.claim("team:a", "k", "another request")
    assert isinstance(again, Claim)
    assert not again.is_resumed
    clock.move(KEPT_FOR)
    await service.purge()
    async with db.reader() as reader:
        assert await store.find(reader, "team:a", "k") is None
