"""Every administrator's route through HTTP: closed to strangers, closed to teams, quiet about what is impossible."""

import json
from typing import Any

import httpx
import pytest

from tests.support.server import Team

ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/api/organizations/create", {"organization_id": "o", "name": "O"}),
    ("GET", "/api/organizations", None),
    ("GET", "/api/organizations/o", None),
    ("GET", "/api/organizations/o/teams", None),
    ("GET", "/api/organizations/o/usage", None),
    ("POST", "/api/teams/create", {"team_id": "t"}),
    ("GET", "/api/teams", None),
    ("PUT", "/api/teams/{team}", {"rpm": 5}),
    ("DELETE", "/api/teams/{team}", None),
    ("PUT", "/api/teams/{team}/suspend", None),
    ("POST", "/api/teams/{team}/suspend", None),
    ("PUT", "/api/teams/{team}/resume", None),
    ("POST", "/api/teams/{team}/resume", None),
    ("PUT", "/api/teams/{team}/model-groups", {"model_groups": ["Private"]}),
    ("POST", "/api/teams/{team}/keys", {}),
    ("GET", "/api/teams/{team}/keys", None),
    ("POST", "/api/teams/{team}/keys/1/rotate", {}),
    ("DELETE", "/api/teams/{team}/keys/1", None),
    *(
        (method, f"{address}/{action}", body)
        for address in ("/api/teams/{team}/credits", "/api/credits/teams/{team}")
        for method, action, body in (
            ("POST", "add", {"credits": 1, "reason": "r"}),
            ("POST", "refund", {"credits": 1, "reason": "r"}),
            ("POST", "refund", {"credits": 1, "reason": "r", "job_id": "j"}),
            ("POST", "adjust", {"credits": 1, "reason": "r"}),
        )
    ),
    *(
        ("PATCH", f"{address}/{action}", body)
        for address in ("/api/teams/{team}", "/api/credits/teams/{team}")
        for action, body in (("budget-mode", {"budget_mode": "job_based"}), ("conversion-rates", {}))
    ),
    *(
        ("POST", f"{address}/configure-auto-refill", {"refill_amount": 1, "refill_period": "daily"})
        for address in ("/api/teams/{team}", "/api/credits/teams/{team}")
    ),
    *(
        ("PATCH", f"{address}/low-balance-threshold", {"threshold": 5})
        for address in ("/api/teams/{team}/credits", "/api/credits/teams/{team}")
    ),
]
"""What only the administrator may do."""

READABLE = [
    "/api/teams/{team}",
    "/api/teams/{team}/credits",
    "/api/teams/{team}/credits/transactions",
    "/api/credits/teams/{team}/balance",
    "/api/credits/teams/{team}/transactions",
    "/api/teams/{team}/credits/grants",
    "/api/credits/teams/{team}/grants",
    "/api/teams/{team}/credits/events",
    "/api/credits/teams/{team}/events",
    "/api/teams/{team}/auto-refill",
    "/api/credits/teams/{team}/auto-refill",
    "/api/teams/{team}/conversion-rates",
    "/api/credits/teams/{team}/conversion-rates",
    "/api/model-groups/ok/resolve?team_id={team}",
]
"""What a team's own key may read, and nobody else's."""


async def test_nobody_without_a_key_is_let_in(api: httpx.AsyncClient) -> None:
    for method, path, body in [*ROUTES, *(("GET", path, None) for path in [*READABLE, "/api/model-groups"])]:
        answer = await api.request(method, path.format(team="t"), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_key"), (method, path)


async def test_a_team_administers_neither_itself_nor_others(team: Team) -> None:
    before = (await team.http.get(f"/api/teams/{team.id}")).json()
    for method, path, body in ROUTES:
        for target in (team.id, "nobody"):
            answer = await team.http.request(method, path.format(team=target), json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_only"), (method, path)
    assert (await team.http.get(f"/api/teams/{team.id}")).json() == before


async def test_a_team_reads_its_own_and_nobody_elses(team: Team, other_team: Team) -> None:
    for path in READABLE:
        answer = await team.http.get(path.format(team=team.id))
        assert answer.status_code == 200, (path, answer.text)
        for target in (other_team.id, "nobody"):
            answer = await team.http.get(path.format(team=target))
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "team_not_owned"), path


@pytest.mark.parametrize("name", ["nobody", "a%00b", "a%20b", "%F0%9F%92%A5", "x" * 300])
async def test_a_team_that_cannot_be_is_not_found(admin: httpx.AsyncClient, name: str) -> None:
    for method, path, body in [*ROUTES, *(("GET", path, None) for path in READABLE)]:
        if "{team}" not in path:
            continue
        answer = await admin.request(method, path.format(team=name), json=body)
        code = answer.json()["error"]["code"]
        is_about_a_part = "/keys/" in path or (body or {}).get("job_id") is not None
        expected = {"team_not_found", "key_not_found", "job_not_found"} if is_about_a_part else {"team_not_found"}
        assert answer.status_code == 404, (method, path, answer.text)
        assert code in expected, (method, path)


BAD_TEAMS: list[dict[str, Any]] = [
    {},
    {"team_id": ""},
    {"team_id": "a b"},
    {"team_id": "a/b"},
    {"team_id": "é"},
    {"team_id": ".."},
    {"team_id": "a\n"},
    {"team_id": "x" * 129},
    {"team_id": 7},
    {"team_id": "t", "credits_allocated": -1},
    {"team_id": "t", "credits_allocated": 1.5},
    {"team_id": "t", "credits_allocated": "5"},
    {"team_id": "t", "credits_allocated": True},
    {"team_id": "t", "credits_allocated": 10**15 + 1},
    {"team_id": "t", "budget_mode": "free"},
    {"team_id": "t", "charge_rule": "never"},
    {"team_id": "t", "credits_per_dollar": 0},
    {"team_id": "t", "tokens_per_credit": -1},
    {"team_id": "t", "rpm": 0},
    {"team_id": "t", "rpm": 10**10},
    {"team_id": "t", "model_groups": "ok"},
    {"team_id": "t", "team_alias": "a\x00b"},
    {"team_id": "t", "metadata": {"a": "x" * 10_240}},
    {"team_id": "t", "metadata": []},
    {"team_id": "t", "metadata": {"a": json.loads("[" * 300 + "]" * 300)}},
]


async def test_a_body_that_does_not_fit_is_refused_and_nothing_is_made(admin: httpx.AsyncClient) -> None:
    not_json = ("{", '{"team_id": "t", "metadata": {"a": NaN}}', '{"team_id": "t", "metadata": {"a": "\\ud800"}}')
    for body in [*(json.dumps(body) for body in [*BAD_TEAMS, []]), *not_json]:
        answer = await admin.post("/api/teams/create", content=body, headers={"Content-Type": "application/json"})
        expected = {(422, "invalid_request")} | ({(400, "invalid_json")} if body in not_json else set())
        assert (answer.status_code, answer.json()["error"]["code"]) in expected, body
    assert (await admin.get("/api/teams")).json()["teams"] == []


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("add", {"credits": 0, "reason": "r"}),
        ("add", {"credits": -5, "reason": "r"}),
        ("add", {"credits": 10**15 + 1, "reason": "r"}),
        ("add", {"credits": True, "reason": "r"}),
        ("add", {"credits": "5", "reason": "r"}),
        ("add", {"credits": 5}),
        ("add", {"credits": 5, "reason": ""}),
        ("add", {"credits": 5, "reason": "a\x00b"}),
        ("refund", {"credits": 0, "reason": "r"}),
        ("adjust", {"credits": 0, "reason": "r"}),
        ("adjust", {"credits": -(10**15) - 1, "reason": "r"}),
    ],
)
async def test_an_amount_that_is_none_moves_nothing(team: Team, action: str, body: dict[str, Any]) -> None:
    answer = await team.admin.post(f"/api/teams/{team.id}/credits/{action}", json=body)
    assert answer.status_code == 422, answer.text
    assert (await team.credits())["credits_allocated"] == 100


async def test_queries_out_of_range_are_refused(admin: httpx.AsyncClient, team: Team) -> None:
    await admin.post("/api/organizations/create", json={"organization_id": "o", "name": "O"})
    for path in (
        "/api/teams?limit=0",
        "/api/teams?limit=1001",
        "/api/teams?offset=-1",
        f"/api/teams/{team.id}/credits/transactions?cursor=0",
        f"/api/teams/{team.id}/credits/transactions?cursor=99999999999999999999",
        f"/api/teams/{team.id}/credits/transactions?cursor=x",
        "/api/organizations/o/usage?period=2026-13",
        "/api/organizations/o/usage?period=0000-01",
        "/api/organizations/o/usage?period=2026-1",
    ):
        assert (await admin.get(path)).status_code == 422, path


async def test_every_route_is_described(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    operations = [
        (method, path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if {"administration", "credits", "model groups"} & set(operation.get("tags", ()))
    ]
    assert len(operations) >= len(ROUTES)
    for method, path, operation in operations:
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert {"200", "401", "403", "404"} | (set() if method == "get" else {"409"}) <= operation[
            "responses"
        ].keys(), (method, path)
