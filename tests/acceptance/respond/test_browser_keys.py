"""Keys for browsers: from their registered origins, on this route, and nowhere else."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.acceptance.respond.server import GPT_4O, RESPOND, App, StartApp, config_of_s4, hello
from tests.support.databases import Postgres
from tests.support.outage import outage
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, new_team

SITE, OTHER_SITE, STRANGER = "https://app.example.com", "https://shop.example.com", "https://evil.example.com"

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def make_key(app: App, **terms: Any) -> dict[str, Any]:
    answer = await app.team.admin.post(f"/api/teams/{app.team.id}/keys", json=terms)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def publishable(app: App, *origins: str) -> str:
    key: str = (await make_key(app, kind="publishable", origins=origins or [SITE]))["virtual_key"]
    return key


async def ask(app: App, key: str, origin: str | None, **headers: str) -> httpx.Response:
    sent = {"x-api-key": key, **({"Origin": origin} if origin else {}), **headers}
    async with app.server.client() as client:
        return await client.post(RESPOND, json=hello(), headers=sent)


async def preflight(app: App, origin: str, headers: str = "content-type,x-api-key") -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    async with app.server.client() as client:
        return await client.options(RESPOND, headers=asked)


def readable_by(headers: Mapping[str, str]) -> str | None:
    return headers.get("access-control-allow-origin")


def refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["type"], answer.json()["error"]["code"]) == (
        *(403, "auth"),
        "origin_not_registered",
    )


async def test_a_publishable_key_works_from_its_origins(app: App) -> None:
    key = await publishable(app, SITE, OTHER_SITE)
    for origin in (SITE, OTHER_SITE):
        answer = await ask(app, key, origin)
        assert answer.status_code == 200
        assert readable_by(answer.headers) == origin
        assert answer.headers["vary"] == "Origin"
        assert "X-Job-Id" in answer.headers["access-control-expose-headers"]
        for money in ("x-credits-remaining", "x-credits-charged", "x-call-cost-usd"):
            assert money not in answer.headers, "whoever looks at the page would see it"
    assert (await app.team.credits())["credits_used"] == 2


@ONE_DATABASE
@pytest.mark.parametrize(
    "origin", [None, STRANGER, "null", "http://app.example.com", f"{SITE}.evil.example", f"{SITE}:8443", SITE.upper()]
)
async def test_a_publishable_key_works_from_nowhere_else(app: App, origin: str | None) -> None:
    key = await publishable(app)
    answer = await ask(app, key, origin)
    refused(answer)
    assert readable_by(answer.headers) is None
    assert app.provider.requests == []
    assert (await app.team.credits())["credits_used"] == 0


@ONE_DATABASE
async def test_a_publishable_key_works_on_this_route_only(app: App) -> None:
    key = await publishable(app)
    job_id = await app.team.create_job()
    async with app.server.client() as client:
        client.headers.update({"x-api-key": key, "Origin": SITE})
        for method, path in (
            ("POST", "/api/jobs/create"),
            ("GET", f"/api/jobs/{job_id}"),
            ("POST", f"/api/jobs/{job_id}/llm-call"),
            ("GET", f"/api/teams/{app.team.id}/credits"),
            ("GET", "/api/model-groups"),
            ("GET", f"/api/teams/{app.team.id}/keys"),
        ):
            answer = await client.request(method, path, json={"job_type": "x"} if method == "POST" else None)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "publishable_key"), path
            assert readable_by(answer.headers) is None


async def test_a_secret_key_works_from_servers_and_from_registered_origins(app: App) -> None:
    assert (await ask(app, app.team.key, None)).status_code == 200
    refused(await ask(app, app.team.key, SITE))
    key = (await make_key(app, origins=[SITE]))["virtual_key"]
    assert key.startswith("sk-")
    assert (await ask(app, key, SITE)).status_code == 200
    assert (await ask(app, key, None)).status_code == 200
    refused(await ask(app, key, OTHER_SITE))
    refused(await ask(app, MASTER_KEY, SITE))


async def test_a_key_of_another_team_does_not_work_from_here(app: App) -> None:
    key = await publishable(app, SITE)
    async with new_team(app.server) as other:
        path = f"/api/teams/{other.id}/keys"
        made = await other.admin.post(path, json={"kind": "publishable", "origins": [OTHER_SITE]})
        refused(await ask(app, made.json()["virtual_key"], SITE))
        refused(await ask(app, key, OTHER_SITE))


async def test_no_header_of_a_page_chooses_a_price_a_job_or_a_repetition(app: App) -> None:
    team = app.team
    changed = await team.admin.put(f"/api/teams/{team.id}", json={"job_type_prices": {"cheap": 0, "page": 3}})
    assert changed.status_code == 200, changed.text
    key = (await make_key(app, kind="publishable", origins=[SITE], job_type="page"))["virtual_key"]
    job_id = await team.create_job()
    headers = {
        "X-Job-Type": "cheap",
        "X-Job-Id": job_id,
        "X-Job-Complete": "true",
        "X-User-Id": "admin",
        "Idempotency-Key": "order-1",
        "X-Stainless-Retry-Count": "1",
        "Cache-Control": "no-cache",
    }
    first, second = await ask(app, key, SITE, **headers), await ask(app, key, SITE, **headers)
    assert (first.status_code, second.status_code) == (200, 200)
    assert set(first.headers["x-ignored-fields"].split(", ")) == set(headers)
    assert "x-ignored-fields" not in (await ask(app, key, SITE, **{"X-Forwarded-For": "1.2.3.4"})).headers
    assert first.headers["x-job-id"] not in (second.headers["x-job-id"], job_id)
    assert "idempotency-replayed" not in second.headers
    own = (await team.http.get(f"/api/jobs/{first.headers['x-job-id']}")).json()
    assert (own["job_type"], own["user_id"], own["credits_charged"]) == ("page", None, 3), "a retry un-bills nothing"
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["status"] == "pending"
    async with app.server.client(team.key) as server:  # and the customer's server still has its key for itself
        answer = await server.post(RESPOND, json=hello(), headers={"Idempotency-Key": "order-1"})
        assert "idempotency-replayed" not in answer.headers
    refused = await team.admin.post(f"/api/teams/{team.id}/keys", json={"job_type": "page"})
    assert refused.status_code == 422


@ONE_DATABASE
async def test_a_page_does_not_learn_what_others_asked(start_app: StartApp, provider: Provider) -> None:
    config = config_of_s4(provider, {GPT_4O: "tool-then-text"})
    config["litellm_settings"] |= {"cache": True}
    app = await start_app(config=config)
    key = await publishable(app)
    body = hello(temperature=0)
    async with app.server.client(app.team.key) as server, app.server.client(key) as page:
        page.headers["Origin"] = SITE
        await server.post(RESPOND, json=body)
        assert (await server.post(RESPOND, json=body)).headers.get("x-cached") == "true"
        assert "x-cached" not in (await page.post(RESPOND, json=body)).headers
        result = {"role": "tool", "content": "72°F", "tool_call_id": "call_123"}
        await page.post(RESPOND, json=hello(model=GPT_4O))
        await page.post(RESPOND, json=hello(model=GPT_4O, messages=[*hello()["messages"], result]))
        [call] = app.asked("tool-then-text")["messages"][1]["tool_calls"]
        assert call["function"]["arguments"] == "{}", "the arguments of another visitor"


async def test_a_preflight_is_answered_by_the_origins_of_all_keys(app: App) -> None:
    await publishable(app, SITE)
    answer = await preflight(app, SITE, "content-type,x-api-key,x-job-id")
    assert (answer.status_code, answer.content) == (204, b"")
    assert readable_by(answer.headers) == SITE
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "content-type,x-api-key,x-job-id"
    assert "access-control-allow-credentials" not in answer.headers
    answer = await preflight(app, SITE, "x-evil\tz")
    assert answer.headers["access-control-allow-headers"] == "content-type, x-api-key"
    for origin in (STRANGER, "null", "", "x" * 10_000):
        answer = await preflight(app, origin)
        refused(answer)
        assert readable_by(answer.headers) is None


@ONE_DATABASE
async def test_a_page_can_read_why_it_was_refused(app: App) -> None:
    await publishable(app, SITE)
    wrong = await ask(app, "pk-wrong", SITE)
    assert (wrong.status_code, readable_by(wrong.headers)) == (401, SITE)
    assert readable_by((await ask(app, "pk-wrong", STRANGER)).headers) is None


async def test_revoking_a_key_or_its_origin_holds_at_once(app: App) -> None:
    made = await make_key(app, kind="publishable", origins=[SITE])
    path = f"/api/teams/{app.team.id}/keys/{made['key_id']}"
    assert (await ask(app, made["virtual_key"], SITE)).status_code == 200
    changed = await app.team.admin.put(f"{path}/origins", json={"origins": [f"{OTHER_SITE}/"]})
    assert changed.json()["origins"] == [OTHER_SITE]
    refused(await ask(app, made["virtual_key"], SITE))
    refused(await preflight(app, SITE))
    assert (await preflight(app, OTHER_SITE)).status_code == 204
    assert (await app.team.admin.delete(path)).json()["origins"] == [OTHER_SITE]
    refused(await preflight(app, OTHER_SITE))
    assert (await ask(app, made["virtual_key"], OTHER_SITE)).status_code == 401


@ONE_DATABASE
async def test_lists_show_what_a_key_is(app: App) -> None:
    await publishable(app, SITE)
    listed = (await app.team.admin.get(f"/api/teams/{app.team.id}/keys")).json()["keys"]
    assert [(key["kind"], key["origins"], key["prefix"][:3]) for key in listed] == [
        ("secret", [], "sk-"),
        ("publishable", [SITE], "pk-"),
    ]
    for terms in ({"kind": "publishable"}, {"origins": ["*"]}, {"kind": "public", "origins": [SITE]}):
        answer = await app.team.admin.post(f"/api/teams/{app.team.id}/keys", json=terms)
        assert answer.status_code == 422, terms


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_without_the_database_a_page_is_told_to_come_back(
    app: App, postgres: Postgres, postgres_url: str
) -> None:
    key = await publishable(app, SITE)
    assert (await ask(app, key, SITE)).status_code == 200
    async with outage(postgres, postgres_url):
        answer = await ask(app, key, SITE)  # who it is and where it comes from are still known
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (503, "internal", "database_unavailable")
        assert error["retry_after_ms"] > 0
        assert readable_by(answer.headers) == SITE
        unknown = await ask(app, "pk-unknown", OTHER_SITE)
        assert (unknown.status_code, readable_by(unknown.headers)) == (503, None)
        assert (await preflight(app, OTHER_SITE)).status_code == 503
    assert len(app.provider.requests) == 1
    assert (await ask(app, key, SITE)).status_code == 200
