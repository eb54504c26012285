"""What an administrator does all day, through HTTP, and what teams see of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from control_plane.ids import new_id
from tests.support.server import Server, Team, new_team


async def test_a_team_is_made_in_an_organization_with_everything_it_needs(
    admin: httpx.AsyncClient, server: Server
) -> None:
    organization = {"organization_id": "globex", "name": "Globex Inc.", "metadata": {"tier": "gold"}}
    made = await admin.post("/api/organizations/create", json=organization)
    assert made.status_code == 200
    assert made.json().items() >= organization.items()
    taken = await admin.post("/api/organizations/create", json=organization)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")

    body = {
        "organization_id": "globex",
        "team_id": "globex-hr",
        "team_alias": "HR",
        "model_groups": ["Private"],
        "credits_allocated": 50,
        "budget_mode": "consumption_usd",
        "credits_per_dollar": 20,
        "rpm": 5,
        "metadata": {"floor": 3, "odd": "\x00", "deep": json.loads("[" * 63 + "]" * 63)},
        "colour": "green",
    }
    answer = await admin.post("/api/teams/create", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Ignored-Fields"] == "colour"
    team = answer.json()
    assert team["metadata"] == body["metadata"]
    assert team["credits_remaining"] == team["credits_available"] == team["credits_allocated"] == 50
    assert (team["credits_used"], team["credits_held"]) == (0, 0)
    assert "Private" in team["model_groups"]
    access = {entry["group_name"]: entry for entry in team["access"]}
    assert access["Private"] == {"group_name": "Private", "patterns": [], "granted": True, "configured": True}
    assert access["ok"] == {"group_name": "ok", "patterns": ["*"], "granted": False, "configured": True}
    assert (team["rpm"], team["tpm"], team["status"]) == (5, 60_000, "active")
    taken = await admin.post("/api/teams/create", json=body)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")

    async with server.client(team["virtual_key"]) as client:
        own = (await client.get("/api/teams/globex-hr")).json()
        assert own == {name: value for name, value in team.items() if name not in ("virtual_key", "key_id")}
    assert (await admin.get("/api/organizations/globex/teams")).json()["teams"] == [own]
    assert (await admin.get("/api/teams?organization_id=globex")).json()["teams"] == [own]
    assert (await admin.get("/api/organizations")).json()["organizations"] == [made.json()]
    assert (await admin.get("/api/organizations/globex")).json() == made.json()
    for missing in ("/api/organizations/x", "/api/organizations/x/teams", "/api/organizations/a%00b/usage"):
        answer = await admin.get(missing)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "organization_not_found")


async def test_lists_say_whether_there_is_more(admin: httpx.AsyncClient) -> None:
    for number in range(3):
        await admin.post("/api/teams/create", json={"team_id": f"t{number}"})
    first = (await admin.get("/api/teams?limit=2")).json()
    rest = (await admin.get("/api/teams?limit=2&offset=2")).json()
    assert [team["team_id"] for team in (*first["teams"], *rest["teams"])] == ["t0", "t1", "t2"]
    assert (first["has_more"], rest["has_more"]) == (True, False)


PAGED = [
    "/api/organizations",
    "/api/teams",
    "/api/organizations/org/teams",
    "/api/teams/t1/keys",
    "/api/teams/t1/credits/grants",
]


async def test_every_list_is_read_page_by_page_whatever_is_added_meanwhile(admin: httpx.AsyncClient) -> None:
    for name in ("org", "a", "z"):
        await admin.post("/api/organizations/create", json={"organization_id": name, "name": name})
    for number in range(3):
        new = {"team_id": f"t{number}", "organization_id": "org", "credits_allocated": 1}
        await admin.post("/api/teams/create", json=new)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for terms in ({"priority": 5}, {"expires_at": tomorrow}, {"expires_at": tomorrow}):
        await admin.post("/api/teams/t1/credits/add", json={"credits": 1, "reason": "more", **terms})
        await admin.post("/api/teams/t1/keys", json={})
    for path in PAGED:
        whole = (await admin.get(path)).json()
        name = next(name for name, value in whole.items() if isinstance(value, list))
        assert len(whole[name]) >= 3
        assert whole["next_cursor"] is None
        found, cursor = [], None
        while True:
            page = (await admin.get(path, params={"limit": 1} | ({"cursor": cursor} if cursor else {}))).json()
            found += page[name]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == whole[name]
        for wrong in ("\x00", "no cursor", str(new_id()) if "grants" in path else ""):
            assert (await admin.get(path, params={"cursor": wrong})).status_code == 422, (path, wrong)


async def test_null_and_absent_differ_when_a_team_is_changed(team: Team) -> None:
    path = f"/api/teams/{team.id}"
    changed = (
        await team.admin.put(path, json={"team_alias": "A", "rpm": 9, "tpm": 8, "default_model_group": "ok"})
    ).json()
    assert (changed["team_alias"], changed["rpm"], changed["default_model_group"]) == ("A", 9, "ok")
    changed = (await team.admin.put(path, json={"team_alias": None, "rpm": None})).json()
    assert (changed["team_alias"], changed["rpm"], changed["tpm"]) == (None, 60, 8)
    assert changed["default_model_group"] == "ok"
    for refused in ({"budget_mode": None}, {"credits_per_dollar": None}, {"metadata": None}, {"budget_mode": "x"}):
        assert (await team.admin.put(path, json=refused)).status_code == 422
    answer = await team.admin.put(path, json={"default_model_group": "Private"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_group_not_allowed")
    assert (await team.http.get(path)).json() == changed


async def test_a_suspended_team_reads_but_opens_no_job(team: Team) -> None:
    for method in ("PUT", "POST"):
        answer = await team.admin.request(method, f"/api/teams/{team.id}/suspend")
        assert (answer.status_code, answer.json()["status"]) == (200, "suspended")
        refused = await team.http.post("/api/jobs/create", json={"job_type": "test"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "team_suspended")
        assert (await team.credits())["credits_held"] == 0
        answer = await team.admin.request(method, f"/api/teams/{team.id}/resume")
        assert answer.json()["status"] == "active"
    await team.create_job()


async def test_granting_a_group_lets_the_team_call_it_and_taking_it_back_does_not(team: Team) -> None:
    job = await team.create_job()
    assert (await team.call(job, "Private")).status_code == 403
    path = f"/api/teams/{team.id}/model-groups"
    assert "Private" in (await team.admin.put(path, json={"model_groups": ["Private"]})).json()["model_groups"]
    assert (await team.call(job, "Private")).status_code == 200
    await team.admin.put(path, json={"model_groups": []})
    assert (await team.call(job, "Private")).status_code == 403
    answer = await team.admin.put(path, json={"model_groups": ["ok", "Nope"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_group_not_found")


async def test_model_groups_say_who_may_use_them_and_why(team: Team, other_team: Team) -> None:
    await team.admin.put(f"/api/teams/{team.id}/model-groups", json={"model_groups": ["Private"]})
    seen = {group["group_name"]: group for group in (await team.admin.get("/api/model-groups")).json()["model_groups"]}
    assert (seen["Private"]["team_patterns"], seen["Private"]["granted_teams"]) == (["nobody-*"], [team.id])
    assert (seen["Falling"]["primary_model"], seen["Falling"]["fallback_models"]) == ("e500", ["ok"])
    own = (await team.http.get("/api/model-groups/Private")).json()
    assert (own["team_patterns"], own["granted_teams"]) == ([], [team.id])
    names = [group["group_name"] for group in (await other_team.http.get("/api/model-groups")).json()["model_groups"]]
    assert "ok" in names
    assert "Private" not in names
    assert (await other_team.http.get("/api/model-groups/Private")).status_code == 403
    unknown = await other_team.http.get("/api/model-groups/a%00b/c")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_group_not_found")
    assert (await team.http.get("/api/model-groups/Falling/resolve")).json() == {
        "group_name": "Falling",
        "primary_model": "e500",
        "fallback_models": ["ok"],
        "team_has_access": True,
    }
    assert (await team.admin.get(f"/api/model-groups/Private/resolve?team_id={other_team.id}")).json() == {
        "group_name": "Private",
        "primary_model": None,
        "fallback_models": [],
        "team_has_access": False,
    }
    assert (await team.admin.get("/api/model-groups/Private/resolve")).status_code == 422


async def test_keys_are_shown_once_and_end_when_told(team: Team, server: Server) -> None:
    path = f"/api/teams/{team.id}/keys"
    ends = datetime.now(UTC) + timedelta(days=1)
    made = (await team.admin.post(path, json={"name": "app", "expires_at": ends.isoformat()})).json()
    bare = (await team.admin.post(path)).json()
    listed = (await team.admin.get(path)).json()["keys"]
    assert [key["name"] for key in listed] == [None, "app", None]
    assert all("virtual_key" not in key for key in listed)
    assert made["virtual_key"] not in (await team.admin.get(path)).text
    assert made["virtual_key"].startswith(f"{made['prefix']}-")
    assert (bare["expires_at"], bare["status"]) == (None, "active")

    rotated = (await team.admin.post(f"{path}/{made['key_id']}/rotate", json={"grace_seconds": 60})).json()
    assert (rotated["name"], rotated["expires_at"]) == ("app", made["expires_at"])
    for secret in (made["virtual_key"], rotated["virtual_key"]):
        async with server.client(secret) as client:
            assert (await client.get(f"/api/teams/{team.id}")).status_code == 200
    for _ in range(2):
        revoked = await team.admin.delete(f"{path}/{rotated['key_id']}")
        assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    async with server.client(rotated["virtual_key"]) as client:
        assert (await client.get(f"/api/teams/{team.id}")).status_code == 401
    states = {key["key_id"]: key["status"] for key in (await team.admin.get(path)).json()["keys"]}
    assert (states[made["key_id"]], states[rotated["key_id"]]) == ("rotating", "revoked")
    answer = await team.admin.post(f"{path}/{rotated['key_id']}/rotate")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_a_key_with_an_impossible_end_is_not_made(team: Team) -> None:
    path = f"/api/teams/{team.id}/keys"
    bodies: list[dict[str, Any]] = [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"expires_at": "soon"},
        {"ttl_seconds": 0},
        {"ttl_seconds": 10**12},
        {"ttl_seconds": 5, "expires_at": "2099-01-01T00:00:00Z"},
    ]
    for body in bodies:
        assert (await team.admin.post(path, json=body)).status_code == 422, body
    assert len((await team.admin.get(path)).json()["keys"]) == 1
    for key_id in ("x", "a%00b", "018f0000-0000-7000-8000-000000000000"):
        answer = await team.admin.delete(f"{path}/{key_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "key_not_found")


async def test_credits_are_the_same_number_on_every_surface(team: Team) -> None:
    job = await team.create_job()
    await team.call(job)
    open_job = await team.create_job()
    bill = (await team.complete(job)).json()["costs"]
    await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 20, "reason": "paid"})
    await team.admin.post(f"/api/credits/teams/{team.id}/adjust", json={"credits": -10, "reason": "typo"})
    expected = {
        "team_id": team.id,
        "credits_allocated": 110,
        "credits_used": 1,
        "credits_held": 1,
        "credits_available": 108,
        "credits_remaining": 109,
    }
    assert bill["credits_remaining"] == 99
    assert await team.credits() == expected
    assert (await team.http.get(f"/api/credits/teams/{team.id}/balance")).json() == expected
    assert (await team.http.get(f"/api/teams/{team.id}")).json().items() >= expected.items()
    ledger = (await team.http.get(f"/api/teams/{team.id}/credits/transactions")).json()
    assert ledger == (await team.http.get(f"/api/credits/teams/{team.id}/transactions")).json()
    newest = ledger["transactions"][0]
    assert (newest["available_after"], newest["held_after"], newest["remaining_after"]) == (108, 1, 109)
    assert sum(entry["available_delta"] for entry in ledger["transactions"]) == 108
    assert sum(entry["held_delta"] for entry in ledger["transactions"]) == 1
    assert {entry["ref"] for entry in ledger["transactions"] if entry["kind"] == "hold"} == {job, open_job}
    assert (newest["kind"], newest["reason"], newest["actor"]) == ("adjustment", "typo", "admin")


async def test_the_ledger_is_paged_by_cursor(team: Team) -> None:
    for _ in range(4):
        await team.admin.post(f"/api/teams/{team.id}/credits/add", json={"credits": 1, "reason": "more"})
    path = f"/api/teams/{team.id}/credits/transactions?limit=3"
    first = (await team.http.get(path)).json()
    second = (await team.http.get(f"{path}&cursor={first['next_cursor']}")).json()
    assert [entry["number"] for entry in (*first["transactions"], *second["transactions"])] == [5, 4, 3, 2, 1]
    assert second["next_cursor"] is None


async def test_a_job_is_refunded_once(team: Team, other_team: Team) -> None:
    job = await team.create_job()
    await team.call(job)
    await team.complete(job)
    path = f"/api/teams/{team.id}/credits/refund"
    body = {"credits": 1, "reason": "sorry", "job_id": job}
    elsewhere = await team.admin.post(f"/api/teams/{other_team.id}/credits/refund", json=body)
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (404, "job_not_found")
    assert (await team.admin.post(path, json=body | {"credits": 2})).status_code == 409
    assert (await team.admin.post(path, json=body)).json()["credits_remaining"] == 100
    again = await team.admin.post(path, json=body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
    assert (await team.admin.post(path, json={"credits": 1, "reason": "unused"})).status_code == 409
    assert (await team.credits())["credits_used"] == 0


async def test_taking_more_than_is_available_is_refused_with_both_numbers(team: Team) -> None:
    await team.create_job()
    answer = await team.admin.post(
        f"/api/teams/{team.id}/credits/adjust", json={"credits": -100, "reason": "all of it"}
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "insufficient_credits")
    assert (error["credits_needed"], error["credits_available"]) == (100, 99)


async def test_the_plan_is_changed_under_both_addresses(team: Team) -> None:
    mode = await team.admin.patch(
        f"/api/credits/teams/{team.id}/budget-mode", json={"budget_mode": "consumption_tokens", "tokens_per_credit": 5}
    )
    assert mode.json() == {
        "team_id": team.id,
        "budget_mode": "consumption_tokens",
        "credits_per_dollar": 10,
        "tokens_per_credit": 5,
        "charge_rule": "any_call_succeeded",
        "markup_bps": 0,
        "job_type_prices": {},
    }
    rates = await team.admin.patch(f"/api/teams/{team.id}/conversion-rates", json={"credits_per_dollar": 7})
    assert rates.json() == mode.json() | {"credits_per_dollar": 7}
    for body in ({"credits_per_dollar": 0}, {"tokens_per_credit": 1.5}, {"tokens_per_credit": "many"}):
        path = f"/api/credits/teams/{team.id}/conversion-rates"
        assert (await team.admin.patch(path, json=body)).status_code == 422
    assert (await team.http.get(f"/api/teams/{team.id}/conversion-rates")).json() == rates.json()
    job = await team.create_job()
    await team.call(job)
    assert (await team.complete(job)).json()["costs"]["credits_charged"] == 5  # 21 tokens, 5 for a credit, rounded up


async def test_an_organization_sums_what_its_teams_used(server: Server, admin: httpx.AsyncClient) -> None:
    await admin.post("/api/organizations/create", json={"organization_id": "globex", "name": "Globex"})
    async with (
        new_team(server, organization_id="globex") as one,
        new_team(server, organization_id="globex") as two,
        new_team(server) as stranger,
    ):
        for team in (one, two, stranger):
            job = await team.create_job()
            await team.call(job)
            await team.complete(job)
        own = (await one.http.get(f"/api/teams/{one.id}/usage")).json()
        usage = (await admin.get("/api/organizations/globex/usage")).json()
    assert usage["summary"]["total_jobs"] == usage["summary"]["successful_jobs"] == 2
    assert usage["summary"]["total_tokens"] == 2 * own["summary"]["total_tokens"] > 0
    assert usage["job_types"]["test"]["credits_charged"] == 2
    assert usage["period"] == own["period"]
    empty = (await admin.get("/api/organizations/globex/usage?period=2020-12")).json()
    assert (empty["summary"]["total_jobs"], empty["summary"]["avg_cost_per_job"], empty["job_types"]) == (0, 0.0, {})


async def test_only_a_team_without_history_is_deleted(admin: httpx.AsyncClient, team: Team, server: Server) -> None:
    made = (await admin.post("/api/teams/create", json={"team_id": "brief", "credits_allocated": 9})).json()
    answer = await admin.delete("/api/teams/brief")
    assert answer.json() == {"team_id": "brief", "deleted": True}
    assert (await admin.get("/api/teams/brief")).status_code == 404
    async with server.client(made["virtual_key"]) as client:
        assert (await client.get("/api/teams/brief")).status_code == 401
    again = await admin.post("/api/teams/create", json={"team_id": "brief", "credits_allocated": 3})
    assert again.json()["credits_remaining"] == 3
    await team.create_job()
    kept = await admin.delete(f"/api/teams/{team.id}")
    assert (kept.status_code, kept.json()["error"]["code"]) == (409, "team_has_history")
    assert (await team.credits())["credits_held"] == 1
