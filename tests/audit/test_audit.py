"""The audit log: each change has one entry, refused ones have none, and a changed row is found."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from control_plane.audit.chain import Verification, entry_hash
from control_plane.audit.models import AuditEntry
from control_plane.audit.values import difference
from control_plane.clock import now
from control_plane.ids import new_id
from tests.support.server import MASTER_KEY, Server

CHANGES: list[tuple[str, str, Any, str | None]] = [
    ("POST", "/api/organizations/create", {"organization_id": "acme", "name": "Acme"}, "organization.created"),
    ("POST", "/api/organizations/create", {"organization_id": "acme", "name": "Acme"}, None),
    (
        "POST",
        "/api/teams/create",
        {"team_id": "sales", "organization_id": "acme", "credits_allocated": 9},
        "team.created",
    ),
    ("POST", "/api/teams/create", {"team_id": "sales"}, None),
    ("PUT", "/api/teams/sales", {"rpm": 7}, "team.updated"),
    ("PUT", "/api/teams/sales", {"rpm": 7}, None),
    ("PUT", "/api/teams/sales", {"rpm": -1}, None),
    ("POST", "/api/teams/sales/suspend", None, "team.suspended"),
    ("POST", "/api/teams/sales/suspend", None, None),
    ("POST", "/api/teams/sales/resume", None, "team.resumed"),
    ("PUT", "/api/teams/sales/model-groups", {"model_groups": ["Private"]}, "team.model_groups_set"),
    ("PUT", "/api/teams/sales/model-groups", {"model_groups": ["Private"]}, None),
    ("POST", "/api/teams/sales/keys", {"name": "k"}, "key.created"),
    ("POST", "/api/teams/nobody/keys", {"name": "k"}, None),
    ("POST", "/api/teams/sales/credits/add", {"credits": 5, "reason": "paid"}, "credits.grant"),
    ("POST", "/api/teams/sales/credits/adjust", {"credits": -1, "reason": "error"}, "credits.adjustment"),
    ("POST", "/api/teams/sales/credits/adjust", {"credits": -100, "reason": "error"}, None),
    ("POST", "/api/teams/sales/credits/refund", {"credits": 100, "reason": "r"}, None),
    ("PATCH", "/api/teams/sales/credits/low-balance-threshold", {"threshold": 3}, "credits.low_balance_set"),
    ("PATCH", "/api/teams/sales/budget-mode", {"budget_mode": "consumption_tokens"}, "team.updated"),
    (
        *("POST", "/api/teams/sales/configure-auto-refill"),
        *({"refill_amount": 1, "refill_period": "daily"}, "credits.auto_refill_set"),
    ),
    ("POST", "/api/access-tokens", {"name": "t", "role": "viewer"}, "token.created"),
    ("GET", "/api/teams/sales", None, None),
]


async def entries(admin: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await admin.get("/api/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


async def test_each_change_has_one_entry_and_nothing_else_has(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        for method, path, body, action in CHANGES:
            before = await entries(admin, limit=1000)
            answer = await admin.request(method, path, json=body, headers={"X-Request-Id": f"about {path}"})
            after = await entries(admin, limit=1000)
            added = after[: len(after) - len(before)]
            assert [each["action"] for each in added] == ([] if action is None else [action]), (path, answer.text)
            for each in added:
                assert (each["means"], each["address"], each["request_id"]) == (
                    "master_key",
                    "127.0.0.1",
                    f"about {path}",
                )
        assert await server.services.audit.verify() is None


async def test_an_entry_says_what_changed_and_no_secret(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        await admin.post("/api/teams/create", json={"team_id": "sales"})
        await admin.put("/api/teams/sales", json={"rpm": 7, "team_alias": "Sales"})
        key = (await admin.post("/api/teams/sales/keys", json={"name": "k"})).json()
        rotated = (await admin.post(f"/api/teams/sales/keys/{key['key_id']}/rotate", json={})).json()
        await admin.delete(f"/api/teams/sales/keys/{rotated['key_id']}")
        await admin.post("/api/teams/sales/credits/add", json={"credits": 5, "reason": "invoice 7"})
        given, revoked, replaced, made, changed, *_ = await entries(admin)
        assert (changed["before"], changed["after"]) == ({"alias": None, "rpm": 60}, {"alias": "Sales", "rpm": 7})
        assert changed["team_id"] == "sales"
        assert (made["target"], made["after"]["prefix"]) == (key["key_id"], key["prefix"])
        assert replaced["after"]["replaces"]["key"] == key["key_id"]
        assert revoked["before"] == {"revoked_at": None}
        assert (given["reason"], given["after"]["credits"], given["after"]["available"]) == ("invoice 7", 5, 5)
        whole = (await admin.get("/api/audit")).text
        for secret in (key["virtual_key"], rotated["virtual_key"], MASTER_KEY, "secret_hash"):
            assert secret not in whole


async def test_members_read_the_entries_of_their_places(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        for name in ("own", "other"):
            await admin.post("/api/organizations/create", json={"organization_id": name, "name": name})
            await admin.post("/api/teams/create", json={"team_id": f"{name}-team", "organization_id": name})
        await admin.post("/api/teams/create", json={"team_id": "lone"})
        for place, seen in (
            ({"organization_id": "own"}, {"own", "own-team"}),
            ({"team_id": "own-team"}, {"own-team"}),
            ({}, {"own", "own-team", "other", "other-team", "lone"}),
        ):
            made = await admin.post("/api/access-tokens", json={"name": "reader", "role": "admin", **place})
            async with server.client(made.json()["access_token"]) as member:
                targets = {
                    each["target"]
                    for each in await entries(member)
                    if each["action"] in {"team.created", "organization.created"}
                }
                assert targets == seen
        by_action = await entries(admin, action="team.created")
        assert [each["target"] for each in by_action] == ["lone", "other-team", "own-team"]
        first = (await admin.get("/api/audit", params={"limit": 2})).json()
        rest = await entries(admin, cursor=first["next_cursor"])
        assert [each["number"] for each in [*first["entries"], *rest]] == list(range(len(rest) + 2, 0, -1))


async def test_a_team_key_reads_no_audit(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        made = (await admin.post("/api/teams/create", json={"team_id": "sales"})).json()
        async with server.client(made["virtual_key"]) as team:
            assert (await team.get("/api/audit")).json()["error"]["code"] == "admin_only"


async def test_the_database_changes_no_entry_and_verification_finds_one_that_was(server: Server) -> None:
    async with server.client(MASTER_KEY) as admin:
        for name in ("a", "b", "c"):
            await admin.post("/api/teams/create", json={"team_id": name})
    log, db = server.services.audit, server.services.db
    assert await log.verify() is None
    for statement in ("UPDATE audit_entries SET actor = 'nobody'", "DELETE FROM audit_entries"):
        with pytest.raises(Exception, match="append-only"):
            async with db.transaction() as tx:
                await tx.execute(text(statement))
    async with db.transaction() as tx:  # as somebody with all rights might
        if db.is_sqlite:
            await tx.execute(text("DROP TRIGGER audit_entries_no_update"))
        else:
            await tx.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
        await tx.execute(text("UPDATE audit_entries SET actor = 'nobody' WHERE number = 3"))
    assert await log.verify() == "entry 3 (team.created of b) was changed after it was written"


def entry(number: int, previous: str, **more: Any) -> AuditEntry:
    fields: dict[str, Any] = dict.fromkeys(AuditEntry.model_fields) | {
        "number": number,
        "id": new_id(),
        "created_at": now(),
        "means": "system",
        "actor": "system",
        "action": "a.b",
        "target": "t",
        "hash": "",
        **more,
    }
    made = AuditEntry(**fields)
    made.hash = entry_hash(previous, made)
    return made


def chain(length: int) -> list[AuditEntry]:
    made: list[AuditEntry] = []
    for number in range(1, length + 1):
        made.append(entry(number, made[-1].hash if made else "", after={"n": number, "a": [1, None, "ü"]}))
    return made


@pytest.mark.parametrize(
    "field", ["means", "actor", "address", "action", "target", "team_id", "reason", "before", "after"]
)
def test_every_field_is_covered_by_the_hash(field: str) -> None:
    entries = chain(3)
    assert Verification().first_mistake(entries) is None
    setattr(entries[1], field, "x")
    assert "entry 2" in str(Verification().first_mistake(entries))


def test_a_removed_or_cut_log_is_noticed() -> None:
    entries = chain(4)
    assert "entry 2 is missing" in str(Verification().first_mistake([entries[0], *entries[2:]]))
    cut = Verification()
    assert cut.first_mistake(entries[:3]) is None
    assert cut.mistake_at_end(4, entries[3].hash) == "the log should have 4 entries and has 3"


def test_only_fields_that_differ_are_kept() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ({"b": 2, "c": None}, {"b": 3, "c": 4})
