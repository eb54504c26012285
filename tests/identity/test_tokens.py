"""Access tokens through HTTP: what each may do, who may make and end them, and what the audit log has of it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from control_plane.api.openapi.operations import OPERATIONS, Access
from control_plane.errors import DatabaseUnavailable
from control_plane.ids import OrganizationId, TeamId, new_id
from control_plane.storage.database import Tx
from control_plane.tenants.roles import Place, Role, RoleAt, permits
from control_plane.tenants.uses import Uses
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, Server, config_for, serving, settings_for, write_config

PLACES: dict[str, dict[str, str]] = {
    "platform": {},
    "organization": {"organization_id": "own"},
    "other organization": {"organization_id": "other"},
    "team": {"team_id": "own-team"},
    "other team": {"team_id": "other-team"},
}

BODIES: dict[str, Any] = {
    "create_organization": {"organization_id": "new", "name": "N"},
    "create_team": {"team_id": "new-team", "organization_id": "own"},
    "change_team": {"team_alias": "A"},
    "set_team_model_groups": {"model_groups": []},
    "create_key": {},
    "rotate_key": {},
    "set_key_origins": {"origins": []},
    "add_credits": {"credits": 1, "reason": "r"},
    "refund_credits": {"credits": 1, "reason": "r"},
    "adjust_credits": {"credits": 1, "reason": "r"},
    "set_low_balance_threshold": {"threshold": 5},
    "change_conversion_rates": {"tokens_per_credit": 500},
    "change_budget_mode": {"budget_mode": "job_based"},
    "configure_auto_refill": {"refill_amount": 1, "refill_period": "daily"},
    "create_access_token": {"name": "t", "role": "viewer", "team_id": "own-team"},
    "add_job_metadata": {"metadata": {}},
}
MISSING = "00000000-0000-7000-8000-000000000000"
AT_OWN_TEAM = Place(TeamId("own-team"), OrganizationId("own"))
AT_OWN = Place(organization_id=OrganizationId("own"))

WHERE: dict[str, Place] = {
    "create_organization": Place(),
    "list_reconciliations": Place(),
    "list_lost_calls": Place(),
    "reload_configuration": Place(),
    "get_organization": AT_OWN,
    "list_organization_teams": AT_OWN,
    "get_organization_usage": AT_OWN,
    "create_team": AT_OWN,
}
"""Where a route of the matrix needs its permission, if not at the team `own-team`."""

ANYWHERE = {
    "list_organizations",
    "list_teams",
    "list_model_groups",
    "list_access_tokens",
    "list_audit_entries",
}
"""Routes that show what their caller may see: they need the permission at any place."""

NEEDS_MORE = {"delete_team", "create_access_token", "get_model_group"}
"""Routes whose answer depends on more than the permission: they have tests of their own."""


async def make_places(admin: httpx.AsyncClient) -> None:
    for name in ("own", "other"):
        await admin.post("/api/organizations/create", json={"organization_id": name, "name": name})
        made = await admin.post("/api/teams/create", json={"team_id": f"{name}-team", "organization_id": name})
        assert made.status_code == 200, made.text


async def make_token(admin: httpx.AsyncClient, role: str, place: dict[str, str]) -> tuple[str, str]:
    made = await admin.post("/api/access-tokens", json={"name": role, "role": role, **place})
    assert made.status_code == 200, made.text
    return made.json()["access_token"], made.json()["token_id"]


def test_every_route_for_administrators_names_its_permission() -> None:
    lacking = [
        name
        for name, operation in OPERATIONS.items()
        if operation.access in (Access.ADMIN, Access.BOTH) and operation.permission is None
    ]
    assert lacking == ["GET /api/me"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("role", [role.value for role in Role])
async def test_a_token_may_do_what_its_role_permits_there(server: Server, place: str, role: str) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        token, _ = await make_token(admin, role, PLACES[place])
        given = PLACES[place]
        held = RoleAt(
            Role(role),
            Place(
                TeamId(given["team_id"]) if "team_id" in given else None,
                OrganizationId(given["organization_id"]) if "organization_id" in given else None,
            ),
        )
        async with server.client(token) as member:
            for name, operation in OPERATIONS.items():
                if operation.permission is None or operation.id in NEEDS_MORE:
                    continue
                method, _, path = name.partition(" ")
                path = path.format(
                    team_id="own-team",
                    organization_id="own",
                    job_id=MISSING,
                    key_id=MISSING,
                    token_id=MISSING,
                    name="ok",
                )
                if operation.id == "resolve_model_group":
                    path += "?team_id=own-team"
                body = BODIES.get(operation.id.removesuffix("_alias"))
                answer = await member.request(method, path, json=body)
                if operation.id in ANYWHERE or (MISSING in path and "/teams/" not in path):
                    permitted = operation.permission in held.permissions
                    permitted = permitted or (MISSING in path and answer.status_code == 404)
                else:
                    permitted = permits([held], operation.permission, WHERE.get(operation.id, AT_OWN_TEAM))
                refused = answer.status_code == 403 and answer.json()["error"]["code"] == "permission_denied"
                assert refused is not permitted, (name, held, answer.status_code, answer.text)
                assert answer.status_code < 500, (name, answer.text)


async def test_a_token_makes_only_tokens_that_permit_less(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        token, _ = await make_token(admin, "admin", PLACES["organization"])
        async with server.client(token) as member:
            for role, place, status in (
                ("viewer", PLACES["team"], 200),
                ("developer", PLACES["organization"], 200),
                ("admin", PLACES["organization"], 200),
                ("owner", PLACES["organization"], 403),
                ("viewer", PLACES["platform"], 403),
                ("viewer", PLACES["other team"], 403),
                ("viewer", {"team_id": "nobody"}, 404),
            ):
                made = await member.post("/api/access-tokens", json={"name": "n", "role": role, **place})
                assert made.status_code == status, (role, place, made.text)
            listed = (await member.get("/api/access-tokens")).json()["tokens"]
            assert [each["role"] for each in listed] == ["admin", "viewer", "developer", "admin"]


async def test_a_token_that_was_revoked_or_has_expired_is_no_key(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        token, token_id = await make_token(admin, "viewer", {})
        async with server.client(token) as member:
            assert (await member.get("/api/me")).json()["roles"] == [
                {"role": "viewer", "organization_id": None, "team_id": None}
            ]
            first = await admin.delete(f"/api/access-tokens/{token_id}")
            again = await admin.delete(f"/api/access-tokens/{token_id}")
            assert first.json()["status"] == "revoked"
            assert again.json()["revoked_at"] == first.json()["revoked_at"]
            assert (await member.get("/api/me")).status_code == 401
        assert (await admin.delete(f"/api/access-tokens/{MISSING}")).json()["error"]["code"] == "token_not_found"
        past = {"name": "n", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}
        assert (await admin.post("/api/access-tokens", json=past)).status_code == 422
        both = {"name": "n", "role": "viewer", "team_id": "own-team", "organization_id": "own"}
        assert (await admin.post("/api/access-tokens", json=both)).status_code == 422


async def test_a_token_elsewhere_is_not_found_rather_than_refused(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        _, elsewhere = await make_token(admin, "viewer", PLACES["other team"])
        token, _ = await make_token(admin, "admin", PLACES["team"])
        async with server.client(token) as member:
            answer = await member.delete(f"/api/access-tokens/{elsewhere}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "token_not_found")


async def test_a_token_calls_no_model(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        token, _ = await make_token(admin, "owner", {})
        async with server.client(token) as member:
            answer = await member.post("/api/jobs/create", json={"job_type": "test"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_a_team_admin_gives_itself_nothing(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        token, _ = await make_token(admin, "admin", PLACES["team"])
        async with server.client(token) as member:
            for change in (
                {"rpm": 100_000},
                {"markup_bps": 0},
                {"at_risk_limit_usd": 1000},
                {"team_alias": "a", "tpm": 10**6},
            ):
                answer = await member.put("/api/teams/own-team", json=change)
                assert answer.json()["error"]["code"] == "permission_denied", change
            assert (await member.put("/api/teams/own-team", json={"team_alias": "mine"})).status_code == 200
            assert (await member.get("/api/teams")).json()["teams"][0]["team_id"] == "own-team"
            assert len((await member.get("/api/teams")).json()["teams"]) == 1


async def test_the_last_use_of_keys_and_tokens_is_written(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        made = (await admin.post("/api/teams/own-team/keys", json={"name": "used"})).json()
        token, _ = await make_token(admin, "viewer", {})
        async with server.client(made["virtual_key"]) as team, server.client(token) as member:
            assert (await team.get("/api/teams/own-team")).status_code == 200
            assert (await member.get("/api/teams/own-team")).status_code == 200
        assert await server.services.keys.note_used() == 1
        assert await server.services.access_tokens.note_used() == 1
        assert await server.services.keys.note_used() == 0
        keys = (await admin.get("/api/teams/own-team/keys")).json()["keys"]
        assert [each["last_used_at"] is not None for each in keys] == [False, True]
        assert keys[1]["created_by"] == "admin"
        assert (await admin.get("/api/access-tokens")).json()["tokens"][0]["last_used_at"] is not None


async def test_many_who_administer_at_once_write_one_chain(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        before = await server.services.audit.count()
        made = await asyncio.gather(
            *(admin.post("/api/teams/own-team/keys", json={"name": str(number)}) for number in range(20)),
            *(admin.post("/api/teams/other-team/credits/add", json={"credits": 1, "reason": "r"}) for _ in range(20)),
        )
        assert {each.status_code for each in made} == {200}
        assert await server.services.audit.count() == before + 40
        assert await server.services.audit.verify() is None


async def test_an_answer_is_repeated_for_the_token_that_got_it_alone(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        first, _ = await make_token(admin, "owner", PLACES["platform"])
        second, _ = await make_token(admin, "viewer", PLACES["other team"])
        headers = {"Idempotency-Key": "the same"}
        path = "/api/teams/own-team/credits/add"
        body = {"credits": 5, "reason": "r"}
        async with server.client(first) as owner, server.client(second) as viewer:
            given = await owner.post(path, json=body, headers=headers)
            again = await owner.post(path, json=body, headers=headers)
            refused = await viewer.post(path, json=body, headers=headers)
        assert (given.status_code, again.json()) == (200, given.json())
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
        token = {"name": "t", "role": "viewer"}
        made = await admin.post("/api/access-tokens", json=token, headers=headers)
        again = await admin.post("/api/access-tokens", json=token, headers=headers)
        assert made.status_code == 200
        assert again.json()["error"]["code"] == "idempotency_response_not_stored"


async def test_members_see_the_model_groups_of_their_teams_and_no_other_team(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        await admin.put("/api/teams/other-team/model-groups", json={"model_groups": ["Private"]})
        for place, sees_private in (("team", False), ("organization", False), ("other team", True), ("platform", True)):
            token, _ = await make_token(admin, "viewer", PLACES[place])
            async with server.client(token) as member:
                listed = {
                    each["group_name"]: each for each in (await member.get("/api/model-groups")).json()["model_groups"]
                }
                assert ("Private" in listed) is sees_private, place
                one = await member.get("/api/model-groups/Private")
                assert one.status_code == (200 if sees_private else 403), one.text
                if place == "other team":
                    assert listed["Private"]["granted_teams"] == ["other-team"]
                    assert listed["ok"]["team_patterns"] == ["other-team"]
                elif place == "team":
                    assert "other-team" not in str(listed)


async def test_an_organizations_admin_makes_teams_on_the_usual_terms_alone(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await make_places(admin)
        token, _ = await make_token(admin, "admin", PLACES["organization"])
        async with server.client(token) as member:
            for terms, status in (
                ({"organization_id": "own", "rpm": 500, "model_groups": ["Private"]}, 200),
                ({"organization_id": "own", "credits_allocated": 5}, 403),
                ({"organization_id": "own", "markup_bps": 0, "credits_per_dollar": 7}, 403),
                ({"organization_id": "own", "job_type_prices": {"chat": 0}}, 403),
                ({"organization_id": "own", "at_risk_limit_usd": 1000}, 403),
                ({"organization_id": "other"}, 403),
                ({}, 403),
            ):
                made = await member.post("/api/teams/create", json={"team_id": "another", **terms})
                assert made.status_code == status, (terms, made.text)


async def test_the_tokens_of_a_deleted_team_are_not_for_a_later_one_with_its_name(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await admin.post("/api/teams/create", json={"team_id": "brief"})
        token, token_id = await make_token(admin, "admin", {"team_id": "brief"})
        kept, _ = await make_token(admin, "viewer", {})
        assert (await admin.delete("/api/teams/brief")).status_code == 200
        await admin.post("/api/teams/create", json={"team_id": "brief"})
        async with server.client(token) as member, server.client(kept) as viewer:
            assert (await member.get("/api/teams/brief")).status_code == 401
            assert (await viewer.get("/api/teams/brief")).status_code == 200
        deleted = (await admin.get("/api/audit", params={"action": "team.deleted"})).json()["entries"]
        assert [each["before"]["access_tokens"] for each in deleted] == [[token_id]]


async def test_uses_of_more_keys_than_a_statement_takes_are_written_and_none_is_lost(server: Server) -> None:
    written: list[int] = []
    uses = Uses()

    async def write(_tx: Tx, ids: Sequence[UUID], _at: datetime) -> None:
        if len(written) == 2:
            written.append(0)
            raise DatabaseUnavailable
        written.append(len(ids))

    for _ in range(2500):
        uses.note(new_id())
    with pytest.raises(DatabaseUnavailable):
        await uses.write(server.services.db, write, server.services.clock())
    assert await uses.write(server.services.db, write, server.services.clock()) == 500
    assert written == [1000, 1000, 0, 500]
    assert await uses.write(server.services.db, write, server.services.clock()) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_master_key_may_begin_as_a_token_does(database_url: str, provider: Provider, tmp_path: Path) -> None:
    key = "adm-0123456789ab-chosen-by-the-operator"
    settings = settings_for(database_url, write_config(tmp_path, config_for(provider)))
    async with (
        serving(settings.model_copy(update={"master_key": SecretStr(key)})) as server,
        server.client(key) as admin,
    ):
        assert (await admin.get("/api/me")).json()["name"] == "master key"
