"""The Job API through HTTP: each route for a stranger, for another team and for the team itself, on both databases."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from control_plane.settings import Settings
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, Team, call_body, new_team, serving, used

TOKENS = 21
ANSWER = "one two three four five six seven eight nine ten"

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what has nothing to do with the database."""


def moment(text: str) -> datetime:
    """A time of the wire, which must be RFC 3339 in UTC and about now."""
    assert text.endswith("Z"), text
    said = datetime.fromisoformat(text)
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=2)
    return said


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["detail"] == body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


def events_of(answer: httpx.Response) -> list[Any]:
    """The events of a stream, parsed; `[DONE]` must be the last."""
    assert answer.status_code == 200, answer.text
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def routes(job_id: str, team_id: str) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Every route of the Job API: those of a job first, then those of a team, then those that make a job."""
    return [
        ("GET", f"/api/jobs/{job_id}", None),
        ("GET", f"/api/jobs/{job_id}/costs", None),
        ("PATCH", f"/api/jobs/{job_id}/metadata", {"metadata": {"a": 1}}),
        ("POST", f"/api/jobs/{job_id}/llm-call", call_body()),
        ("POST", f"/api/jobs/{job_id}/llm-call-stream", call_body()),
        ("POST", f"/api/jobs/{job_id}/complete", {"status": "completed"}),
        ("GET", f"/api/teams/{team_id}/jobs", None),
        ("GET", f"/api/teams/{team_id}/usage", None),
        ("POST", "/api/jobs/create", {"job_type": "t", "team_id": team_id}),
        ("POST", "/api/jobs/create-and-call", {"job_type": "t", "team_id": team_id, **call_body()}),
        ("POST", "/api/jobs/create-and-call-stream", {"job_type": "t", "team_id": team_id, **call_body()}),
    ]


async def test_strangers_and_other_teams_get_in_nowhere(
    team: Team, other_team: Team, api: httpx.AsyncClient, provider: Provider
) -> None:
    job_id = await team.create_job(metadata={"secret": "of the team"})
    before, before_other = await Books.of(team), await Books.of(other_team)
    for number, (method, path, body) in enumerate(routes(job_id, team.id)):
        refused = await api.request(method, path, json=body)
        assert error_of(refused, 401)["code"] == "invalid_key", path
        refused = await other_team.http.request(method, path, json=body)
        code = "job_not_owned" if number < 6 else "team_not_owned"
        assert error_of(refused, 403)["code"] == code, path
        assert "secret" not in refused.text
    assert await Books.of(team) == before
    assert await Books.of(other_team) == before_other
    assert provider.requests == []


async def test_the_master_key_reads_jobs_and_makes_none(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    before = await Books.of(team)
    for method, path, body in routes(job_id, team.id):
        answer = await team.admin.request(method, path, json=body)
        if method == "GET":
            assert answer.status_code == 200, path
        elif method == "POST":
            assert answer.status_code == 403, path
    after = await Books.of(team)
    assert (after.ledger, after.calls) == (before.ledger, before.calls)
    assert provider.requests == []


async def test_a_job_that_nobody_made_is_not_found(team: Team) -> None:
    for job_id in ("019a0000-0000-7000-8000-000000000000", "nonsense"):
        for method, path, body in routes(job_id, team.id)[:6]:
            assert error_of(await team.http.request(method, path, json=body), 404)["code"] == "job_not_found", path


async def test_create_holds_a_credit_and_get_shows_every_field(team: Team) -> None:
    body = {"job_type": "résumé", "team_id": team.id, "user_id": "u-1", "metadata": {"a": [1, None]}, "ttl_seconds": 60}
    made = (await team.http.post("/api/jobs/create", json=body)).json()
    assert made.keys() == {"job_id", "status", "created_at", "team_id"}
    assert (made["status"], made["team_id"]) == ("pending", team.id)
    created_at = moment(made["created_at"])
    job = (await team.http.get(f"/api/jobs/{made['job_id']}")).json()
    expires_at = moment(job.pop("expires_at")) - created_at
    assert expires_at == timedelta(seconds=60)
    assert job == {
        "job_id": made["job_id"],
        "team_id": team.id,
        "user_id": "u-1",
        "job_type": "résumé",
        "status": "pending",
        "created_at": made["created_at"],
        "started_at": None,
        "completed_at": None,
        "model_groups_used": [],
        "credit_applied": False,
        "credits_charged": 0,
        "credits_held": 1,
        "max_credits": None,
        "max_cost_usd": None,
        "metadata": {"a": [1, None]},
        "error_message": None,
    }
    assert (await team.credits())["credits_held"] == 1


async def test_a_job_shows_what_became_of_it(team: Team) -> None:
    job_id = await team.create_job()
    await team.call(job_id, "reason-length")
    await team.call(job_id, "ok")
    await team.call(job_id, "ok")
    job = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["status"], job["model_groups_used"]) == ("in_progress", ["ok", "reason-length"])
    assert moment(job["started_at"]) >= moment(job["created_at"])
    await team.complete(job_id, metadata={"more": True})
    job = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["status"], job["credit_applied"], job["credits_charged"]) == ("completed", True, 1)
    assert moment(job["completed_at"]) >= moment(job["started_at"])
    assert job["metadata"] == {"more": True}


async def test_without_credits_no_job_is_created_and_the_answer_says_how_many_are_missing(server: Server) -> None:
    async with new_team(server, credits_allocated=1) as team:
        await team.create_job()
        for route in ("create", "create-and-call", "create-and-call-stream"):
            refused = await team.http.post(f"/api/jobs/{route}", json={"job_type": "t", **call_body()})
            error = error_of(refused, 403)
            assert error["code"] == "insufficient_credits"
            assert (error["credits_needed"], error["credits_available"]) == (1, 0)
        assert len((await Books.of(team)).jobs) == 1


async def test_metadata_is_merged_up_to_10_kb(team: Team) -> None:
    job_id = await team.create_job(metadata={"a": 1, "b": {"c": 2}})
    path = f"/api/jobs/{job_id}/metadata"
    merged = await team.http.patch(path, json={"metadata": {"b": {"d": 3}, "e": None, "é": "🔑"}})
    whole = {"a": 1, "b": {"d": 3}, "e": None, "é": "🔑"}
    assert merged.json()["metadata"] == whole
    assert merged.json()["job_id"] == job_id
    moment(merged.json()["updated_at"])
    fits = 10_240 - len(json.dumps({**whole, "x": ""}, ensure_ascii=False).encode())
    assert error_of(await team.http.patch(path, json={"metadata": {"x": "x" * (fits + 1)}}), 422)["code"]
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["metadata"] == whole
    assert (await team.http.patch(path, json={"metadata": {"x": "x" * fits}})).status_code == 200
    await team.complete(job_id)
    assert (await team.http.patch(path, json={"metadata": {"x": "late"}})).status_code == 200


async def test_patches_at_once_are_all_kept(team: Team) -> None:
    job_id = await team.create_job()
    path = f"/api/jobs/{job_id}/metadata"
    await asyncio.gather(*(team.http.patch(path, json={"metadata": {f"k{n}": n}}) for n in range(20)))
    job = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert job["metadata"] == {f"k{n}": n for n in range(20)}


async def test_a_call_answers_with_what_it_took(team: Team) -> None:
    job_id = await team.create_job()
    answer = await team.call(job_id, "ok", purpose="greet", call_metadata={"a": 1})
    said = answer.json()
    assert said.keys() == {"call_id", "response", "metadata"}
    assert said["response"] == {"content": ANSWER, "role": "assistant", "finish_reason": "stop"}
    assert said["metadata"].pop("latency_ms") >= 0
    assert said["metadata"] == {
        "tokens_used": TOKENS,
        "prompt_tokens": 11,
        "completion_tokens": 10,
        "usage": {**used(11, 10), "service_tier": None},
        "model_group": "ok",
        "model": "model-ok",
        "cached": False,
        "cost_usd": COST_USD,
    }
    assert answer.headers["X-Call-Id"] == said["call_id"]
    assert answer.headers["X-Job-Id"] == job_id
    assert answer.headers["X-Credits-Remaining"] == "100"


async def test_completing_bills_every_call_that_was_answered(team: Team) -> None:
    job_id = await team.create_job()
    calls = [
        await team.call(job_id, "ok", purpose="first"),
        await team.call(job_id, "e500", purpose="second"),
        await team.http.post(f"/api/jobs/{job_id}/llm-call-stream", json=call_body("ok", purpose="third")),
    ]
    assert [call.status_code for call in calls] == [200, 500, 200]
    answer = await team.complete(job_id)
    done = answer.json()
    moment(done["completed_at"])
    assert done.keys() == {"job_id", "status", "completed_at", "costs", "calls"}
    assert (done["job_id"], done["status"]) == (job_id, "completed")
    latencies = [call["latency_ms"] for call in done["calls"]]
    assert done["costs"] == {
        "total_calls": 3,
        "successful_calls": 2,
        "failed_calls": 1,
        "total_tokens": 2 * TOKENS,
        "usage": used(2 * 11, 2 * 10),
        "total_cost_usd": 2 * COST_USD,
        "avg_latency_ms": round(sum(latencies) / 3),
        "credit_applied": True,
        "credits_charged": 1,
        "credits_remaining": 99,
    }
    assert [{**call, "latency_ms": 0, "call_id": ""} for call in done["calls"]] == [
        {
            "call_id": "",
            "purpose": purpose,
            "model_group": group,
            "tokens": tokens,
            "latency_ms": 0,
            "error": error,
        }
        for purpose, group, tokens, error in (
            ("first", "ok", TOKENS, None),
            ("second", "e500", 0, "llm_call_failed"),
            ("third", "ok", TOKENS, None),
        )
    ]
    assert [call["call_id"] for call in done["calls"]][::2] == [call.headers["X-Call-Id"] for call in calls[::2]]
    again = await team.complete(job_id)
    assert again.content == answer.content
    assert (await team.complete(job_id, error_message="ignored", metadata={"x": 1})).content == answer.content
    books = await Books.of(team)
    books.check()
    assert books.credits["credits_used"] == 1
    assert books.jobs[0]["metadata"] == {}, "a repetition changes nothing"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_that_did_not_complete_costs_nothing(team: Team, status: str) -> None:
    job_id = await team.create_job()
    await team.call(job_id)
    done = (await team.complete(job_id, status, error_message="it broke")).json()
    assert done["status"] == status
    assert done["costs"]["credit_applied"] is False
    assert (done["costs"]["credits_charged"], done["costs"]["credits_remaining"]) == (0, 100)
    assert done["costs"]["total_cost_usd"] == COST_USD, "what it took stays visible"
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["error_message"] == "it broke"
    books = await Books.of(team)
    books.check()
    assert books.credits["credits_held"] == 0


@pytest.mark.parametrize("group", [None, "e500", "e400"])
async def test_a_completed_job_without_an_answer_costs_nothing(team: Team, group: str | None) -> None:
    job_id = await team.create_job()
    if group is not None:
        assert (await team.call(job_id, group)).status_code >= 400
    costs = (await team.complete(job_id)).json()["costs"]
    assert (costs["credits_charged"], costs["credit_applied"], costs["credits_remaining"]) == (0, False, 100)
    assert (costs["total_tokens"], costs["total_cost_usd"]) == (0, 0)
    (await Books.of(team)).check()


async def test_a_closed_job_takes_no_calls_and_no_other_end(team: Team, provider: Provider) -> None:
    for status in ("completed", "failed", "cancelled"):
        job_id = await team.create_job()
        await team.complete(job_id, status)
        before = await Books.of(team)
        for other in {"completed", "failed", "cancelled"} - {status}:
            error = error_of(await team.complete(job_id, other), 409)
            assert (error["code"], error["job_status"]) == ("job_closed", status)
        for route in ("llm-call", "llm-call-stream"):
            refused = await team.http.post(f"/api/jobs/{job_id}/{route}", json=call_body())
            assert error_of(refused, 409)["code"] == "job_closed"
        assert await Books.of(team) == before
    assert provider.requests == []


@ON_SQLITE
async def test_completing_waits_for_a_call_in_flight_but_not_for_ever(settings: Settings, provider: Provider) -> None:
    hasty = settings.model_copy(update={"completion_wait_s": 0.1})
    async with serving(hasty) as server, new_team(server) as team:
        job_id = await team.create_job()
        call = asyncio.create_task(team.call(job_id, "hold"))
        await provider.wait_requests("hold")
        refused = await team.complete(job_id)
        error = error_of(refused, 409)
        assert (error["code"], error["calls_in_flight"]) == ("calls_in_flight", 1)
        assert "Retry-After" in refused.headers
        provider.release("hold")
        assert (await call).status_code == 200
        assert (await team.complete(job_id)).json()["costs"]["successful_calls"] == 1


async def test_all_completions_that_wait_for_a_call_get_its_bill(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    call = asyncio.create_task(team.call(job_id, "hold"))
    await provider.wait_requests("hold")
    left = asyncio.create_task(team.complete(job_id))
    waiting = [asyncio.create_task(team.complete(job_id)) for _ in range(3)]
    await asyncio.wait([left, *waiting], timeout=0.2)
    left.cancel()  # one client leaves; the others wait on
    provider.release("hold")
    assert (await call).status_code == 200
    bills = [answer.json() for answer in await asyncio.gather(*waiting)]
    assert [bill["costs"]["successful_calls"] for bill in bills] == [1, 1, 1]


async def test_costs_show_our_record_beside_litellms(team: Team) -> None:
    job_id = await team.create_job()
    assert (await team.call(job_id, "FallingTwice", purpose="fall")).status_code == 200
    assert (await team.call(job_id, "e503")).status_code == 503
    streamed = await team.http.post(f"/api/jobs/{job_id}/llm-call-stream", json=call_body("Falling"))
    assert streamed.status_code == 200
    async with asyncio.timeout(PATIENCE_S):
        while sum(len(call["spend_logs"]) for call in (await team.costs(job_id))["breakdown"]) < 6:  # noqa: ASYNC110 - LiteLLM reports later, on its own
            await asyncio.sleep(0.02)
    costs = await team.costs(job_id)
    assert costs["total_cost_usd"] == 2 * COST_USD
    fallen, failed, falling = costs["breakdown"]
    assert fallen["call_id"] != failed["call_id"]
    assert (fallen["status"], fallen["model"], fallen["purpose"]) == ("succeeded", "model-ok", "fall")
    assert (fallen["prompt_tokens"], fallen["completion_tokens"], fallen["cost_usd"]) == (11, 10, COST_USD)
    assert (fallen["estimated"], fallen["cached"], fallen["error"]) == (False, False, None)
    assert [(log["deployment"], log["status"], log["cost_usd"]) for log in fallen["spend_logs"]] == [
        ("e500-1", "failure", 0),
        ("e429-1", "failure", 0),
        ("ok-1", "success", COST_USD),
    ]
    assert (failed["status"], failed["error"], failed["cost_usd"]) == ("failed", "provider_unavailable", 0)
    assert [log["deployment"] for log in failed["spend_logs"]] == ["e503-1"]
    assert (falling["status"], falling["cost_usd"]) == ("succeeded", COST_USD)
    assert sorted(log["deployment"] for log in falling["spend_logs"]) == ["e500-1", "ok-1"]
    (success,) = [log for log in falling["spend_logs"] if log["status"] == "success"]
    assert (success["prompt_tokens"], success["completion_tokens"], success["cost_usd"]) == (11, 10, COST_USD)


async def test_a_streamed_call_ends_with_the_usage_and_done(team: Team) -> None:
    job_id = await team.create_job()
    answer = await team.http.post(f"/api/jobs/{job_id}/llm-call-stream", json=call_body())
    *pieces, last = events_of(answer)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert answer.headers["X-Job-Id"] == job_id
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces) == ANSWER
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert last["usage"] == {"prompt_tokens": 11, "completion_tokens": 10, "total_tokens": TOKENS}
    (call,) = (await team.costs(job_id))["breakdown"]
    assert (call["call_id"], call["status"]) == (answer.headers["X-Call-Id"], "succeeded")


async def test_a_one_call_job_is_opened_called_and_billed(team: Team) -> None:
    body = {"job_type": "chat", "user_id": "u", "job_metadata": {"a": 1}, **call_body("ok", purpose="p")}
    answer = await team.http.post("/api/jobs/create-and-call", json=body)
    said = answer.json()
    assert said.keys() == {"job_id", "status", "response", "metadata", "costs", "completed_at"}
    assert (said["status"], said["response"]["content"]) == ("completed", ANSWER)
    assert said["metadata"]["cost_usd"] == said["costs"]["total_cost_usd"] == COST_USD
    assert (said["costs"]["credits_charged"], said["costs"]["credits_remaining"]) == (1, 99)
    assert answer.headers["X-Job-Id"] == said["job_id"]
    job = (await team.http.get(f"/api/jobs/{said['job_id']}")).json()
    assert (job["job_type"], job["user_id"], job["metadata"]) == ("chat", "u", {"a": 1})
    assert job["completed_at"] == said["completed_at"]
    (await Books.of(team)).check()


async def test_a_streamed_one_call_job_is_billed_before_done(team: Team) -> None:
    answer = await team.http.post("/api/jobs/create-and-call-stream", json={"job_type": "chat", **call_body()})
    *_, last = events_of(answer)
    assert last["usage"]["total_tokens"] == TOKENS
    job = (await team.http.get(f"/api/jobs/{answer.headers['X-Job-Id']}")).json()
    assert (job["status"], job["credits_charged"]) == ("completed", 1)
    (await Books.of(team)).check()


async def test_a_one_call_job_whose_call_fails_has_failed_and_is_free(team: Team) -> None:
    for route in ("create-and-call", "create-and-call-stream"):
        for group, status, code in (("e500", 500, "llm_call_failed"), ("e400", 400, "invalid_request")):
            failed = await team.http.post(f"/api/jobs/{route}", json={"job_type": "chat", **call_body(group)})
            assert error_of(failed, status)["code"] == code
            job = (await jobs_of(team, limit=1))["jobs"][0]
            assert (job["status"], job["credits_charged"], job["error_message"]) == ("failed", 0, code)
    books = await Books.of(team)
    books.check()
    assert books.credits["credits_available"] == 100


async def test_a_streamed_one_call_job_that_breaks_off_is_free(team: Team) -> None:
    answer = await team.http.post("/api/jobs/create-and-call-stream", json={"job_type": "chat", **call_body("break4")})
    *_, last = events_of(answer)
    assert last["error"]["code"] == "llm_call_failed"
    books = await Books.of_closed_jobs(team)
    (job,) = books.jobs
    (call,) = books.calls
    assert (job["status"], job["credits_charged"]) == ("failed", 0)
    assert (call["status"], call["error"]) == ("failed", "llm_call_failed")
    books.check()


async def test_a_streamed_one_call_job_that_breaks_off_says_why(team: Team) -> None:
    answer = await team.http.post("/api/jobs/create-and-call-stream", json={"job_type": "chat", **call_body("break4")})
    job = (await team.http.get(f"/api/jobs/{answer.headers['X-Job-Id']}")).json()
    assert (job["status"], job["error_message"]) == ("failed", "llm_call_failed")


@ON_SQLITE
async def test_what_a_call_runs_on_when_it_names_nothing(team: Team) -> None:
    job_id = await team.create_job()
    error = error_of(await team.call(job_id, None), 422)
    assert error["code"] == "model_group_missing"
    assert {"ok", "Falling"} <= set(error["model_groups"])
    assert "Private" not in error["model_groups"]

    async def served() -> str:
        answer = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body(None))
        model_group: str = answer.json()["metadata"]["model_group"]
        return model_group

    changed = await team.admin.put(f"/api/teams/{team.id}", json={"default_model_group": "cached"})
    assert changed.status_code == 200
    assert await served() == "cached", "the team's"
    keys = f"/api/teams/{team.id}/keys"
    made = await team.admin.post(keys, json={"name": "k", "default_model_group": "json"})
    with_key = {"Authorization": f"Bearer {made.json()['virtual_key']}"}
    answer = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body(None), headers=with_key)
    assert answer.json()["metadata"]["model_group"] == "json", "the key's before the team's"
    job_id = await team.create_job(model_group="nousage")
    answer = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body(None), headers=with_key)
    assert answer.json()["metadata"]["model_group"] == "nousage", "the job's before the key's"
    assert (await team.call(job_id, "ok")).json()["metadata"]["model_group"] == "ok", "the call's before all"


@ON_SQLITE
async def test_model_is_another_word_for_model_group_and_names_single_models_too(
    team: Team, provider: Provider
) -> None:
    job_id = await team.create_job()
    path = f"/api/jobs/{job_id}/llm-call"
    for name, group in (("Falling", "Falling"), ("reason-length", "reason-length")):
        said = (await team.http.post(path, json=call_body(None, model=name))).json()
        assert said["metadata"]["model_group"] == group
    both = (await team.http.post(path, json=call_body("ok", model="json"))).json()
    assert both["metadata"]["model_group"] == "ok"
    null = (await team.http.post(path, json={**call_body(None), "model_group": None, "model": "json"})).json()
    assert null["metadata"]["model_group"] == "json"


@ON_SQLITE
async def test_unknown_fields_are_named_and_the_request_is_done(team: Team) -> None:
    answer = await team.http.post("/api/jobs/create", json={"job_type": "t", "colour": "red", "size": 1})
    assert answer.status_code == 200
    assert answer.headers["X-Ignored-Fields"] == "colour, size"
    clean = await team.http.post("/api/jobs/create", json={"job_type": "t"})
    assert "X-Ignored-Fields" not in clean.headers


@ON_SQLITE
async def test_every_answer_carries_a_request_id(team: Team, api: httpx.AsyncClient) -> None:
    path = f"/api/jobs/{await team.create_job()}"
    for client, where in ((team.http, path), (api, path), (api, "/nothing"), (api, "/health/live")):
        echoed = await client.get(where, headers={"X-Request-Id": "mine-1"})
        assert echoed.headers["X-Request-Id"] == "mine-1"
        made = [(await client.get(where)).headers["X-Request-Id"] for _ in range(2)]
        assert made[0] != made[1]
    for odd in (b"x" * 129, b"\xfc", b"a\tb"):
        made_up = (await api.get(path, headers={b"X-Request-Id": odd})).headers["X-Request-Id"]
        assert made_up.encode() != odd
        assert made_up.isascii()


async def test_a_suspended_team_reads_and_completes_but_begins_nothing(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    assert (await team.admin.put(f"/api/teams/{team.id}/suspend")).status_code == 200
    for method, path, body in routes(job_id, team.id):
        answer = await team.http.request(method, path, json=body)
        if "call" in path or "create" in path:
            assert error_of(answer, 403)["code"] == "team_suspended", path
        else:
            assert answer.status_code == 200, path
    assert provider.requests == []
    (await Books.of(team)).check()


async def jobs_of(team: Team, **query: Any) -> dict[str, Any]:
    answer = await team.http.get(f"/api/teams/{team.id}/jobs", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in page["jobs"]]


async def test_a_team_finds_its_jobs(team: Team, other_team: Team) -> None:
    await other_team.create_job(job_type="chat", user_id="u1")
    chat, parse, free = (
        await team.create_job(job_type="chat", user_id="u1"),
        await team.create_job(job_type="parse", user_id="u1"),
        await team.create_job(job_type="chat", user_id="u2"),
    )
    await team.call(parse)
    await team.complete(free, "failed")
    assert ids_of(await jobs_of(team)) == [free, parse, chat]
    assert ids_of(await jobs_of(team, job_type="chat")) == [free, chat]
    assert ids_of(await jobs_of(team, user_id="u1")) == [parse, chat]
    assert ids_of(await jobs_of(team, user_id="u1", job_type="chat")) == [chat]
    assert ids_of(await jobs_of(team, job_type="Chat")) == []
    for status, expected in (("pending", chat), ("IN_PROGRESS", parse), ("Failed", free)):
        assert ids_of(await jobs_of(team, status=status)) == [expected]
    assert ids_of(await jobs_of(team, status="expired")) == []
    (shown,) = (await jobs_of(team, status="in_progress"))["jobs"]
    assert shown == (await team.http.get(f"/api/jobs/{parse}")).json(), "one number on every surface"
    times = {job["job_id"]: job["created_at"] for job in (await jobs_of(team))["jobs"]}
    assert ids_of(await jobs_of(team, created_from=times[parse])) == [free, parse], "inclusive"
    assert ids_of(await jobs_of(team, created_to=times[parse])) == [chat], "exclusive"
    elsewhere = datetime.fromisoformat(times[parse]).astimezone(datetime.fromisoformat("2026-01-01T00:00+05:30").tzinfo)
    assert ids_of(await jobs_of(team, created_from=elsewhere.isoformat())) == [free, parse], "in any zone"


async def test_pages_show_each_job_once(team: Team) -> None:
    made = [await team.create_job() for _ in range(11)][::-1]
    assert ids_of(await jobs_of(team, limit=4, offset=8)) == made[8:]
    assert ids_of(await jobs_of(team, limit=4, offset=20)) == []
    page = await jobs_of(team, limit=4)
    seen = ids_of(page)
    await team.create_job()  # what is new meanwhile shifts nothing
    while page["next_cursor"] is not None:
        page = await jobs_of(team, limit=4, cursor=page["next_cursor"])
        seen += ids_of(page)
    assert seen == made
    exact = await jobs_of(team, limit=12)
    assert exact["next_cursor"] is None


async def test_jobs_of_one_moment_are_paged_without_loss(team: Team) -> None:
    answers = await asyncio.gather(*(team.create_job() for _ in range(30)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await jobs_of(team, limit=1, **cursor)
        seen += ids_of(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 30
    assert set(seen) == set(answers)


async def test_usage_of_a_month_in_sum_and_by_type(team: Team, other_team: Team) -> None:
    await other_team.complete(await other_team.create_job(job_type="chat"))
    for job_type, groups, end in (
        ("chat", ["ok", "ok"], "completed"),
        ("chat", ["ok"], "failed"),
        ("parse", ["ok", "e500"], "completed"),
        ("parse", [], "cancelled"),
        ("open", [], None),
    ):
        job_id = await team.create_job(job_type=job_type)
        for group in groups:
            await team.call(job_id, group)
        if end is not None:
            await team.complete(job_id, end)
    path = f"/api/teams/{team.id}/usage"
    usage = (await team.http.get(path)).json()
    assert usage["period"] == f"{datetime.now(UTC):%Y-%m}"
    assert usage["summary"] == {
        "total_jobs": 5,
        "successful_jobs": 2,
        "failed_jobs": 1,
        "total_cost_usd": pytest.approx(4 * COST_USD),
        "total_price_usd": pytest.approx(4 * COST_USD),
        "total_tokens": 4 * TOKENS,
        "avg_cost_per_job": pytest.approx(4 * COST_USD / 5, abs=1e-9),
    }
    assert usage["job_types"]["chat"] == {
        "jobs": 2,
        "successful_jobs": 1,
        "failed_jobs": 1,
        "cost_usd": pytest.approx(3 * COST_USD),
        "price_usd": pytest.approx(3 * COST_USD),
        "tokens": 3 * TOKENS,
        "credits_charged": 1,
    }
    assert usage["job_types"].keys() == {"chat", "parse", "open"}
    assert (await team.http.get(path, params={"period": usage["period"]})).json() == usage
    old = (await team.http.get(path, params={"period": "2020-02"})).json()
    assert (old["summary"]["total_jobs"], old["job_types"]) == (0, {})


async def test_a_job_cannot_be_opened_for_a_group_its_calls_could_not_use(team: Team) -> None:
    for group, code in (("NoSuchGroup", "model_group_not_found"), ("Private", "model_group_not_allowed")):
        answer = await team.http.post("/api/jobs/create", json={"job_type": "test", "model_group": group})
        assert answer.json()["error"]["code"] == code
    assert (await team.credits())["credits_held"] == 0


async def test_a_status_may_be_given_in_capitals(team: Team) -> None:
    assert (await team.complete(await team.create_job(), "FAILED")).json()["status"] == "failed"
