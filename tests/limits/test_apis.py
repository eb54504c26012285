"""Limits as customers meet them: what answers say, what is refused, and that a refusal leaves nothing behind."""

import asyncio
from typing import Any

import httpx
import pytest

from control_plane.settings import Settings
from tests.calls.sse import streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import Server, Team, call_body, config_for, new_team, settings_for, write_config


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is limited does not depend on the database."""
    return sqlite_url


@pytest.fixture
def settings(settings: Settings, provider: Provider) -> Settings:
    config = config_for(provider)
    config["model_groups"]["Narrow"] = {"models": ["ok"], "teams": ["*"], "rpm": 2, "max_parallel_calls": 1}
    return settings_for(settings.database_url, write_config(settings.config.parent, config))


def left(answer: httpx.Response) -> tuple[int, ...]:
    names = ("Limit-Requests", "Remaining-Requests", "Limit-Tokens", "Remaining-Tokens")
    return tuple(int(answer.headers[f"X-RateLimit-{name}"]) for name in names)


def refusal(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 429, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == "rate_limited"
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert error["retry_after_ms"] / 1000 <= int(answer.headers["Retry-After"]) < error["retry_after_ms"] / 1000 + 1
    return error


async def test_answers_say_what_is_left_streams_too(server: Server) -> None:
    async with new_team(server, rpm=None, tpm=None, jobs_per_minute=None) as team:
        job = await team.create_job()
        first = await team.call(job, max_tokens=100)
        prompt = 60_000 - 100 - left(first)[3]
        assert 0 < prompt < 20
        assert left(first) == (60, 59, 60_000, 60_000 - prompt - 100)
        assert 59 < float(first.headers["X-RateLimit-Reset-Requests"].removesuffix("s")) <= 60.1
        second = await team.call(job)
        assert left(second) == (60, 58, 60_000, 60_000 - 21 - prompt - 10), "the first counts as the 21 tokens it used"
        async with streaming(team, job, "ok", max_tokens=100) as stream:
            await stream.rest()
            assert left(stream.response) == (60, 57, 60_000, 60_000 - 42 - prompt - 100)
        failed = await team.call(job, "e500", max_tokens=100)
        assert failed.status_code == 500
        last = await team.call(job, max_tokens=100)
        assert left(last) == (60, 55, 60_000, 60_000 - 63 - prompt - 100), "a call that failed counts no tokens"


async def test_a_refused_call_is_told_why_and_leaves_nothing_behind(server: Server, provider: Provider) -> None:
    async with new_team(server, rpm=2) as team:
        job = await team.create_job()
        for _ in range(2):
            assert (await team.call(job)).status_code == 200
        body = {**call_body(), "job_type": "one"}
        refused = [
            await team.call(job),
            await team.http.post(f"/api/jobs/{job}/llm-call-stream", json=call_body()),
            await team.http.post("/api/jobs/create-and-call", json=body),
            await team.http.post("/api/jobs/create-and-call-stream", json=body),
        ]
        for answer in refused:
            error = refusal(answer)
            assert (error["limit_owner"], error["limit_kind"], error["limit"]) == ("team", "requests", 2)
            assert "2 requests a minute" in error["message"]
            assert left(answer)[:2] == (2, 0)
        assert provider.count("ok") == 2
        assert (await team.complete(job)).json()["costs"]["total_calls"] == 2
        books = await Books.of(team)
        books.check()
        assert len(books.jobs) == 1, "a refused one-call job is not made"
        metrics = (await team.http.get("/metrics")).text
        assert 'control_plane_limit_refusals_total{kind="requests",owner="team"} 4.0' in metrics


async def test_tokens_are_counted_while_a_call_runs_and_made_right_when_it_has_ended(
    server: Server, provider: Provider
) -> None:
    async with new_team(server, tpm=1000) as team:
        job = await team.create_job()
        async with streaming(team, job, "hold", max_tokens=900) as stream:
            await stream.pieces(1)
            error = refusal(await team.call(job, max_tokens=500))
            assert (error["limit_kind"], error["limit"]) == ("tokens", 1000)
            provider.release("hold")
            await stream.rest()
        assert (await team.call(job, max_tokens=900)).status_code == 200
        assert (await team.call(job, max_tokens=5000)).status_code == 429, "more than a whole minute's tokens"


async def test_calls_at_once(server: Server, provider: Provider) -> None:
    async with new_team(server, max_parallel_calls=2) as team:
        job = await team.create_job()
        async with streaming(team, job, "hold") as first, streaming(team, job, "hold") as second:
            await asyncio.gather(first.pieces(1), second.pieces(1))
            error = refusal(await team.call(job))
            assert (error["limit_kind"], error["limit"]) == ("parallel_calls", 2)
            # a client that leaves gives its place back
            await second.response.aclose()
            await provider.wait_closed("hold")
            async with asyncio.timeout(PATIENCE_S):
                while (await team.call(job)).status_code == 429:  # noqa: ASYNC110 - its record is written first
                    await asyncio.sleep(0.01)
            provider.release("hold")
            await first.rest()
        for group in ("ok", "e500", "ok", "e400", "ok"):  # nor does a call that fails keep one
            assert (await team.call(job, group)).status_code != 429
        # one after the other, as fast as answers come, is never two at once
        assert {(await team.call(job)).status_code for _ in range(5)} == {200}


async def test_a_key_narrows_what_its_team_may(server: Server) -> None:
    async with new_team(server, rpm=3) as team:
        terms = {"rpm": 1, "jobs_per_minute": 1, "model_groups": ["ok", "json"], "default_model_group": "json"}
        made = await team.admin.post(f"/api/teams/{team.id}/keys", json=terms)
        assert {name: made.json()[name] for name in terms} == terms
        rotated = await team.admin.post(f"/api/teams/{team.id}/keys/{made.json()['key_id']}/rotate")
        assert {name: rotated.json()[name] for name in terms} == terms
        async with server.client(rotated.json()["virtual_key"]) as http:
            narrow = Team(team.id, rotated.json()["virtual_key"], http, team.admin)
            job = await narrow.create_job()
            denied = await narrow.call(job, "tools")
            assert (denied.status_code, denied.json()["error"]["code"]) == (403, "model_group_not_allowed")
            assert denied.json()["detail"] == "This key does not have access to model group 'tools'"
            listed = (await narrow.http.get("/api/model-groups")).json()["model_groups"]
            assert [group["group_name"] for group in listed] == ["ok", "json"]
            answer = await narrow.call(job, None)
            assert answer.json()["metadata"]["model_group"] == "json"
            assert left(answer)[:2] == (1, 0)
            assert refusal(await narrow.call(job, "ok"))["limit_owner"] == "key"
            assert refusal(await narrow.http.post("/api/jobs/create", json={"job_type": "t"}))["limit_kind"] == "jobs"
            # the team's other keys have what is left of the team's limit
            assert left(await team.call(job, "ok"))[:2] == (3, 1)
        unknown = await team.admin.post(f"/api/teams/{team.id}/keys", json={"model_groups": ["nothing"]})
        assert unknown.status_code == 404
        wrong = {"model_groups": ["ok"], "default_model_group": "json"}
        assert (await team.admin.post(f"/api/teams/{team.id}/keys", json=wrong)).status_code == 403


async def test_a_model_group_is_limited_for_all_teams_together(server: Server, team: Team, other_team: Team) -> None:
    jobs = [await each.create_job() for each in (team, other_team)]
    assert (await team.call(jobs[0], "Narrow")).status_code == 200
    assert left(await other_team.call(jobs[1], "Narrow"))[:2] == (2, 0)
    error = refusal(await team.call(jobs[0], "Narrow"))
    assert (error["limit_owner"], error["limit"]) == ("model group 'Narrow'", 2)
    assert (await team.call(jobs[0], "ok")).status_code == 200


async def test_new_jobs_are_limited_and_calls_in_a_job_of_their_own_are_calls(server: Server) -> None:
    async with new_team(server, jobs_per_minute=2) as team:
        for _ in range(2):
            await team.create_job()
        error = refusal(await team.http.post("/api/jobs/create", json={"job_type": "t"}))
        assert (error["limit_owner"], error["limit_kind"], error["limit"]) == ("team", "jobs", 2)
        assert len((await Books.of(team)).jobs) == 2
        alone = {**call_body(), "job_type": "one"}
        assert (await team.http.post("/api/jobs/create-and-call", json=alone)).status_code == 200


async def test_an_answer_given_again_is_no_call(server: Server) -> None:
    async with new_team(server, rpm=1, jobs_per_minute=1) as team:
        keyed = {"Idempotency-Key": "once"}
        job = await team.http.post("/api/jobs/create", json={"job_type": "t"}, headers=keyed)
        path = f"/api/jobs/{job.json()['job_id']}/llm-call"
        for _ in range(3):
            again = await team.http.post("/api/jobs/create", json={"job_type": "t"}, headers=keyed)
            assert again.content == job.content
            called = await team.http.post(path, json=call_body(), headers={"Idempotency-Key": "call once"})
            assert called.status_code == 200


async def test_a_refused_request_with_a_key_can_be_asked_again(server: Server) -> None:
    async with new_team(server, rpm=1) as team:
        job = await team.create_job()
        await team.call(job)
        path, keyed = f"/api/jobs/{job}/llm-call", {"Idempotency-Key": "later"}
        refusal(await team.http.post(path, json=call_body(), headers=keyed))
        await team.admin.put(f"/api/teams/{team.id}", json={"rpm": 2})
        assert (await team.http.post(path, json=call_body(), headers=keyed)).status_code == 200


async def test_limits_are_set_changed_and_put_back(server: Server) -> None:
    async with new_team(server, rpm=7, tpm=8, max_parallel_calls=9, jobs_per_minute=10) as team:
        names = ("rpm", "tpm", "max_parallel_calls", "jobs_per_minute")
        path = f"/api/teams/{team.id}"

        async def limits() -> list[int | None]:
            answer = (await team.admin.get(path)).json()
            return [answer[name] for name in names]

        assert await limits() == [7, 8, 9, 10]
        await team.admin.put(path, json={"max_parallel_calls": 3})
        assert await limits() == [7, 8, 3, 10]
        await team.admin.put(path, json=dict.fromkeys(names))
        assert await limits() == [60, 60_000, None, 100]
        for name in names:
            for wrong in (0, -1, 10**10, "5", 1.5, True):
                assert (await team.admin.put(path, json={name: wrong})).status_code == 422
                key = await team.admin.post(f"{path}/keys", json={name: wrong})
                assert key.status_code == 422
