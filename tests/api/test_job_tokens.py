"""Tokens of one job for web pages: what they let a browser do, and that they let it do nothing else."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from control_plane.errors import Conflict, InvalidKey
from control_plane.ids import JobId
from control_plane.jobs import tokens as tokens_module
from control_plane.jobs import tokens_store
from control_plane.jobs.tokens import JobTokenService, TokenTerms
from control_plane.jobs.values import NewJob
from control_plane.storage.database import Database
from tests.support.server import Server, Team, call_body
from tests.support.services import DomainServices

Json = dict[str, Any]

SITE, STRANGER = "https://app.example.com", "https://evil.example.com"

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def make(team: Team, job_id: str, **terms: Any) -> Json:
    answer = await team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [SITE], **terms})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: Json = answer.json()
    return made


@asynccontextmanager
async def page(server: Server, token: str, origin: str | None = SITE) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on a page."""
    async with server.client(token) as client:
        if origin is not None:
            client.headers["Origin"] = origin
        yield client


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def readable_by(headers: Mapping[str, str]) -> str | None:
    return headers.get("access-control-allow-origin")


async def test_a_page_calls_in_the_job_of_its_token(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    made = await make(team, job_id, may_complete=True)
    assert (made["token"][:3], made["job_id"], made["origins"]) == ("jt-", job_id, [SITE])
    async with page(server, made["token"]) as browser:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,authorization",
        }
        for name in ("llm-call", "llm-call-stream", "complete"):
            path = f"/api/jobs/{job_id}/{name}"
            preflight = await browser.options(path, headers=asked)
            assert (preflight.status_code, readable_by(preflight.headers)) == (204, SITE)
            assert preflight.headers["access-control-allow-headers"] == "content-type,authorization"
            stranger = await browser.options(path, headers={**asked, "Origin": STRANGER})
            assert (*refusal(stranger), readable_by(stranger.headers)) == (403, "origin_not_registered", None)
        answer = await browser.post(f"/api/jobs/{job_id}/llm-call", json=call_body())
        assert answer.status_code == 200, answer.text
        assert readable_by(answer.headers) == SITE
        assert answer.json()["response"]["content"]
        assert {"cost_usd", "cached"}.isdisjoint(answer.json()["metadata"]), "what it costs is the team's affair"
        stream = await browser.post(f"/api/jobs/{job_id}/llm-call-stream", json=call_body())
        assert stream.text.endswith("data: [DONE]\n\n")
        for given in (answer, stream):
            assert not [name for name in given.headers if "credits" in name or "cost" in name or name == "x-cached"]
        failed = await browser.post(f"/api/jobs/{job_id}/complete", json={"status": "failed"})
        assert refusal(failed) == (403, "job_token"), "a page could un-bill what it was given"
        for _ in range(2):
            done = await browser.post(f"/api/jobs/{job_id}/complete", json={"status": "completed"})
            assert done.json().keys() == {"job_id", "status", "completed_at"}
        closed = await browser.post(f"/api/jobs/{job_id}/llm-call", json=call_body())
        assert (*refusal(closed), readable_by(closed.headers)) == (409, "job_closed", SITE)
    assert refusal(await team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [SITE]})) == (409, "job_closed")
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["status"] == "completed"


@ONE_DATABASE
async def test_a_token_is_good_for_nothing_else(server: Server, team: Team, other_team: Team) -> None:
    job_id, second, foreign = await team.create_job(), await team.create_job(), await other_team.create_job()
    token = (await make(team, job_id))["token"]
    call = f"/api/jobs/{job_id}/llm-call"
    async with page(server, token) as browser:
        for path, body in (
            (f"/api/jobs/{second}/llm-call", call_body()),
            (f"/api/jobs/{foreign}/llm-call-stream", call_body()),
            (f"/api/jobs/{job_id}/complete", {"status": "completed"}),
            (f"/api/jobs/{job_id}/tokens", {"origins": [SITE]}),
            ("/api/jobs/create", {"job_type": "x"}),
            ("/api/v1/llm/respond", {"messages": [{"role": "user", "content": "hi"}]}),
        ):
            assert refusal(await browser.post(path, json=body)) == (403, "job_token"), path
        openai = await browser.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "hi"}]})
        assert (openai.status_code, openai.json()["error"]["code"]) == (403, "job_token")
        for path in (f"/api/jobs/{job_id}", f"/api/jobs/{job_id}/costs", f"/api/teams/{team.id}/credits"):
            assert refusal(await browser.get(path)) == (403, "job_token"), path
        smuggled = {"Idempotency-Key": "k", "X-Job-Id": second, "X-Job-Type": "free", "X-Job-Complete": "true"}
        for _ in range(2):
            answer = await browser.post(call, json=call_body(), headers=smuggled)
            assert (answer.status_code, answer.headers["x-job-id"]) == (200, job_id)
            assert "idempotency-replayed" not in answer.headers
            assert set(answer.headers["x-ignored-fields"].split(", ")) == set(smuggled)
    for origin in (STRANGER, None):
        async with page(server, token, origin) as browser:
            answer = await browser.post(call, json=call_body())
            assert (*refusal(answer), readable_by(answer.headers)) == (403, "origin_not_registered", None)
    async with page(server, f"{token}x") as browser:
        assert refusal(await browser.post(call, json=call_body())) == (401, "invalid_key")
    assert refusal(await other_team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [SITE]})) == (
        *(403, "job_not_owned"),
    )
    stray = await team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [SITE], "model_groups": ["ok", "nope"]})
    assert refusal(stray) == (404, "model_group_not_found")
    assert "Private" not in stray.text, "what other teams may use"
    for terms in ({"ttl_seconds": 0}, {"ttl_seconds": 86_401}, {"origins": ["*"]}, {}):
        assert (await team.http.post(f"/api/jobs/{job_id}/tokens", json=terms)).status_code == 422, terms
    assert (await team.http.get(f"/api/jobs/{second}")).json()["status"] == "pending"


@ONE_DATABASE
async def test_a_token_ends_with_its_time_its_key_and_what_the_key_may(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    call = f"/api/jobs/{job_id}/llm-call"
    key = (await team.admin.post(f"/api/teams/{team.id}/keys", json={"origins": [SITE], "model_groups": ["ok"]})).json()
    async with server.client(key["virtual_key"]) as http:
        made = (await http.post(f"/api/jobs/{job_id}/tokens", json={})).json()
        narrow = (await http.post(f"/api/jobs/{job_id}/tokens", json={"model_groups": ["slow"]})).json()
    assert made["origins"] == [SITE], "those of the key"
    async with page(server, made["token"]) as browser:
        assert (await browser.post(call, json={**call_body(), "model_group": "ok"})).status_code == 200
        other = await browser.post(call, json={**call_body(), "model_group": "slow"})
        assert refusal(other) == (403, "model_group_not_allowed"), "what the key that made it may not"
    async with page(server, narrow["token"]) as browser:
        for group in ("ok", "slow"):
            answer = await browser.post(call, json={**call_body(), "model_group": group})
            assert refusal(answer) == (403, "model_group_not_allowed"), group
    await team.admin.delete(f"/api/teams/{team.id}/keys/{key['key_id']}")
    async with page(server, made["token"]) as browser:
        assert refusal(await browser.post(call, json={**call_body(), "model_group": "ok"})) == (401, "invalid_key")


async def test_a_token_ends_with_its_time_and_never_after_its_job(db: Database) -> None:
    services = DomainServices.on(db)
    principal = await services.principal(await services.team())
    job = await services.jobs.create(principal, NewJob("test", ttl=timedelta(minutes=30)))
    tokens = JobTokenService(services.db, services.keys, services.jobs, clock=services.clock, background=services.db)
    short, long = [
        await tokens.create(principal, JobId(job.id), TokenTerms(timedelta(minutes=minutes), [SITE]))
        for minutes in (5, 60)
    ]
    assert long.token.expires_at == job.expires_at
    assert (await tokens.authenticate(short.secret)).team_id == principal.team_id
    services.clock.move(timedelta(minutes=5))
    with pytest.raises(InvalidKey):
        await tokens.authenticate(short.secret)
    assert await tokens.is_registered(JobId(job.id), SITE)
    services.clock.move(timedelta(minutes=25))
    with pytest.raises(InvalidKey):
        await tokens.authenticate(long.secret)
    other_server = JobTokenService(
        services.db, services.keys, services.jobs, clock=services.clock, background=services.db
    )
    assert not await other_server.is_registered(JobId(job.id), SITE), "this one remembers it for a few seconds"
    services.clock.move(timedelta(days=2))
    await tokens.purge()
    async with db.reader() as reader:
        assert await tokens_store.count(reader, JobId(job.id), job.created_at) == (0, 0)


async def test_a_page_that_is_refused_is_told_nothing_of_its_team(server: Server, team: Team) -> None:
    await team.admin.put(f"/api/teams/{team.id}", json={"budget_mode": "consumption_usd", "credits_per_dollar": 10**9})
    job_id = await team.create_job()
    made = await make(team, job_id)
    await team.admin.put(f"/api/teams/{team.id}", json={"default_model_group": None})
    async with page(server, made["token"]) as browser:
        for path in ("llm-call", "llm-call-stream"):
            poor = await browser.post(f"/api/jobs/{job_id}/{path}", json=call_body(max_tokens=10_000))
            assert refusal(poor) == (403, "insufficient_credits")
            assert poor.json()["error"].keys() == {"code", "message"}
            assert not any(letter.isdigit() for letter in poor.text), poor.text
        unknown = await browser.post(f"/api/jobs/{job_id}/llm-call", json=call_body("nothing"))
        assert refusal(unknown) == (404, "model_group_not_found")
        assert unknown.json()["error"]["message"] == "Model group not found."
    mine = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body(max_tokens=10_000))
    assert mine.json()["error"]["credits_needed"] > 0, "the team itself is told"


async def test_a_page_completes_its_job_as_it_is(server: Server, team: Team) -> None:
    job_id = await team.create_job(metadata={"order": "42"})
    made = await make(team, job_id, may_complete=True)
    async with page(server, made["token"]) as browser:
        for more in ({"metadata": {"order": "1"}}, {"error_message": "the page wrote this"}):
            answer = await browser.post(f"/api/jobs/{job_id}/complete", json={"status": "completed", **more})
            assert refusal(answer) == (403, "job_token")
        assert (await browser.post(f"/api/jobs/{job_id}/complete", json={"status": "completed"})).status_code == 200
    kept = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert (kept["metadata"], kept["error_message"]) == ({"order": "42"}, None)


async def test_tokens_of_a_job_are_small_and_not_too_many(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    long = await team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [SITE], "model_groups": ["x" * 201]})
    assert refusal(long) == (422, "invalid_request")
    late = {"at": datetime.now(UTC)}
    tokens = JobTokenService(
        server.services.db,
        server.services.keys,
        server.services.jobs,
        clock=lambda: late["at"],
        background=server.services.db,
    )
    principal = await server.services.keys.authenticate(team.key)
    terms = TokenTerms(timedelta(seconds=1), [SITE])
    for _ in range(tokens_module.MAX_KEPT):
        late["at"] += timedelta(seconds=2)
        await tokens.create(principal, JobId(UUID(job_id)), terms)
    with pytest.raises(Conflict, match="within a day"):
        await tokens.create(principal, JobId(UUID(job_id)), terms)
    late["at"] += timedelta(days=2)
    await tokens.purge()
    await tokens.create(principal, JobId(UUID(job_id)), terms)


async def test_a_preflight_is_remembered_and_a_new_token_holds_at_once(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    path = f"/api/jobs/{job_id}/llm-call"
    asked = {"Access-Control-Request-Method": "POST"}
    async with server.client() as browser:
        before = await browser.options(path, headers={"Origin": SITE, **asked})
        assert before.status_code == 403
        await make(team, job_id)
        assert (await browser.options(path, headers={"Origin": SITE, **asked})).status_code == 204
        both = f'{SITE}", "{STRANGER}'
        assert (await browser.options(path, headers={"Origin": both, **asked})).status_code == 403
