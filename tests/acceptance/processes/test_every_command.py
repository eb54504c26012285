"""Every command of the command line, with what it is for and with what it cannot do, at a real server and database."""

import asyncio
import json
import os
import pty
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from control_plane.schemas.admin import ChangeTeam
from control_plane.storage.months import Month
from tests.acceptance.processes.command import COMMANDS, Shell, command_in
from tests.support.provider import Provider
from tests.support.server import COST_USD, Server, config_for, write_config

ELSEWHERE = {
    "serve",  # test_starting.py, test_stopping.py
    "demo",  # test_starting.py
    "doctor",  # test_doctor.py
    "smoke",  # test_smoke.py
    "config check",  # model_groups/test_shipped_file.py, test_config.py
    "config apply",  # test_applying.py
    "config diff",  # test_applying.py
    "config import",  # model_groups/test_importing.py
}
"""Commands that load LiteLLM or serve, and are tried in processes of their own."""

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def shell(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    settings = server.services.settings
    known = {"database_url": settings.database_url, "config": settings.config, "port": 1}
    return Shell.at(monkeypatch, tmp_path, server.url, **known)


async def use(server: Server, key: str, **call: Any) -> str:
    """A job of one call, completed."""
    async with server.client(key) as app:
        job = str((await app.post("/api/jobs/create", json={"job_type": "report"})).json()["job_id"])
        body = {"model_group": "ok", "messages": [{"role": "user", "content": "Hello"}], **call}
        assert (await app.post(f"/api/jobs/{job}/llm-call", json=body)).status_code == 200
        assert (await app.post(f"/api/jobs/{job}/complete", json={"status": "completed"})).status_code == 200
    return job


def squeezed(text: str) -> str:
    """Without the blanks that align it."""
    return " ".join(text.split())


@ONE_DATABASE
async def test_every_command_does_what_it_is_for(
    server: Server, shell: Shell, provider: Provider, tmp_path: Path
) -> None:
    await organizations_and_teams(server, shell)
    await keys(server, shell)
    await credits_and_refills(shell)
    await tokens_and_audit(server, shell)
    await books(shell)
    await archive(server, shell, tmp_path)
    await configuration(shell, write_config(tmp_path, config_for(provider)))
    assert shell.tried == COMMANDS - ELSEWHERE


async def organizations_and_teams(server: Server, shell: Shell) -> None:
    assert (await shell.json("org", "create", "acme", "--name", "Acme Inc."))["name"] == "Acme Inc."
    assert "Acme Inc." in await shell.shown("org", "list")
    assert "organization_id acme" in squeezed(await shell.shown("org", "show", "acme"))
    made = await shell.json("team", "create", "red", "--org", "acme", "--credits", "5", "--group", "ok")
    job = await use(server, made["virtual_key"])

    shown = await shell.shown("team", "show", "red")
    assert "{" not in shown
    assert "credits_available 4" in squeezed(shown)
    assert ["ok", "*", "yes", "yes"] in [line.split() for line in shown.splitlines()]
    await shell.shown("team", "groups", "red", "json")
    assert "team_alias Red" in squeezed(await shell.shown("team", "update", "red", "--alias", "Red"))
    assert (await shell.json("team", "show", "red"))["access"][0]["group_name"]
    assert [line.split()[:3] for line in (await shell.shown("team", "list", "--org", "acme")).splitlines()[1:]] == [
        ["red", "acme", "active"]
    ]
    assert (await shell.json("team", "suspend", "red"))["status"] == "suspended"
    assert (await shell.json("team", "resume", "red"))["status"] == "active"

    used = await shell.json("team", "usage", "red")
    assert used["summary"]["total_cost_usd"] == COST_USD
    for by, name in (("job-type", "report"), ("model-group", "ok"), ("day", used["period"])):
        table = (await shell.shown("team", "usage", "red", "--by", by)).splitlines()
        assert (table[0].split()[0], table[1].startswith(name)) == (by.replace("-", "_"), True)
    this_month = await shell.shown("team", "usage", "red", "--period", used["period"])
    assert f"total_cost_usd {COST_USD:f}" in squeezed(this_month)
    assert (await shell.json("team", "usage", "red", "--period", "2020-01"))["summary"]["total_jobs"] == 0
    assert "report" in await shell.shown("org", "usage", "acme")

    assert job in await shell.shown("jobs", "list", "red", "--status", "completed")
    assert (await shell.json("jobs", "show", job))["status"] == "completed"
    assert [call["model"] for call in (await shell.json("jobs", "costs", job))["breakdown"]] == ["model-ok"]
    assert (await shell.json("credits", "refund", "red", "--job", job, "--reason", "no use"))["credits_available"] == 5


@ONE_DATABASE
async def test_a_team_is_updated_in_every_field_and_each_is_put_back(server: Server, shell: Shell) -> None:
    await shell.shown("team", "create", "red")
    before = await shell.json("team", "show", "red")
    values: dict[str, Any] = {
        "team_alias": "Red",
        "default_model_group": "ok",
        "budget_mode": "consumption_usd",
        "credits_per_dollar": 7,
        "tokens_per_credit": 8,
        "charge_rule": "all_calls_succeeded",
        "markup_bps": 2000,
        "job_type_prices": {"a=b": 3, "report": 5},
        "at_risk_limit_usd": 2.5,
        "rpm": 11,
        "tpm": 12,
        "max_parallel_calls": 13,
        "jobs_per_minute": 14,
        "metadata": {"customer": 7},
    }
    assert values.keys() == ChangeTeam.model_fields.keys()
    names = {"team_alias": "alias", "default_model_group": "default-group", "budget_mode": "mode"}
    plain = {name: value for name, value in values.items() if name not in {"job_type_prices", "metadata"}}
    words = [f"--{names.get(name, name.replace('_', '-'))}={value}" for name, value in plain.items()]
    changed = await shell.json(
        *("team", "update", "red", *words, "--price", "report=5", "--price", "a=b=3", "--metadata", '{"customer": 7}')
    )
    assert {name: changed[name] for name in values} == values
    shown = squeezed(await shell.shown("team", "show", "red"))
    assert "job_type_prices a=b=3, report=5" in shown or "job_type_prices report=5, a=b=3" in shown
    assert "metadata customer=7" in shown

    fields = {"alias": "team_alias", "default-group": "default_model_group", "prices": "job_type_prices"}
    emptied = (*fields, "rpm", "tpm", "max-parallel-calls", "jobs-per-minute", "at-risk-limit-usd", "metadata")
    back = await shell.json("team", "update", "red", *(word for name in emptied for word in ("--unset", name)))
    for name in emptied:
        field = fields.get(name, name.replace("-", "_"))
        assert back[field] == before[field] != changed[field]
    assert back["markup_bps"] == 2000


async def keys(server: Server, shell: Shell) -> None:
    secret = await shell.json("key", "create", "red", "--name", "spare", "--rpm", "5", "--group", "ok")
    page = ("key", "create", "red", "--publishable", "--origin", "https://a.example", "--job-type", "chat")
    public = await shell.json(*page)
    assert (public["kind"], public["origins"], public["job_type"]) == ("publishable", ["https://a.example"], "chat")
    moved = await shell.json("key", "origins", "red", public["key_id"], "https://b.example", "https://c.example")
    assert moved["origins"] == ["https://b.example", "https://c.example"]
    listed = (await shell.shown("key", "list", "red", "--publishable")).splitlines()
    assert "publishable active https://b.example, https://c.example chat" in squeezed(listed[1])
    assert len(listed) == 2
    rotated = await shell.json("key", "rotate", "red", secret["key_id"], "--grace", "0")
    assert rotated["rpm"] == 5
    assert (await shell.json("key", "revoke", "red", rotated["key_id"]))["status"] == "revoked"
    async with server.client(rotated["virtual_key"]) as app:
        assert (await app.get("/api/model-groups")).status_code == 401


async def credits_and_refills(shell: Shell) -> None:
    assert (await shell.json("credits", "show", "red"))["credits_available"] == 5
    gift = ("credits", "add", "red", "7", "--reason", "a gift", "--expires-at", "2099-01-01")
    assert (await shell.json(*gift))["credits_available"] == 12
    assert (await shell.json("credits", "adjust", "red", "--by", "-2", "--reason", "a slip"))["credits_available"] == 10
    assert "2099-01-01T00:00:00Z" in await shell.shown("credits", "grants", "red")
    assert (await shell.json("credits", "low-balance", "red", "--below", "100"))["low_balance_threshold"] == 100
    assert await shell.json("credits", "events", "red") == []
    assert (await shell.json("credits", "low-balance", "red", "--never"))["low_balance_threshold"] is None
    kinds = [row["kind"] for row in await shell.json("credits", "transactions", "red", "--limit", "3")]
    assert kinds == ["adjustment", "grant", "refund"]

    monthly = ("refill", "set", "red", "50", "--every", "monthly", "--timezone", "Europe/Berlin", "--no-rollover")
    refilled = await shell.json(*monthly, "--starts-on", "2026-01-31")
    assert (refilled["refill_amount"], refilled["rollover"], refilled["starts_on"]) == (50, False, "2026-01-31")
    assert "timezone Europe/Berlin" in squeezed(await shell.shown("refill", "show", "red"))
    assert (await shell.json("refill", "unset", "red"))["enabled"] is False


async def tokens_and_audit(server: Server, shell: Shell) -> None:
    lead = ("token", "create", "lead", "--role", "admin", "--team", "red", "--expires-at", "2099-01-01T00:00:00Z")
    made = await shell.json(*lead)
    assert (made["role"], made["team_id"], made["organization_id"]) == ("admin", "red", None)
    assert "lead admin" in squeezed((await shell.shown("token", "list")).splitlines()[1])
    async with server.client(made["access_token"]) as member:
        assert (await member.put("/api/teams/red", json={"team_alias": "R"})).status_code == 200
    assert (await shell.json("token", "revoke", made["token_id"]))["status"] == "revoked"
    listed = await shell.json("audit", "list", "--limit", "3")
    assert [(each["action"], each["actor"]) for each in listed] == [
        ("token.revoked", "master key"),
        ("team.updated", "lead"),
        ("token.created", "master key"),
    ]
    assert "team.updated" in await shell.shown("audit", "list", "--action", "team.updated", "--target", "red")
    verified = await shell.json("audit", "verify")
    assert (verified["is_whole"], verified["mistake"]) == (True, None)
    lines = [json.loads(line) for line in (await shell.shown("audit", "export")).splitlines()]
    assert [line["number"] for line in lines] == list(range(1, verified["entries"] + 1))


async def books(shell: Shell) -> None:
    assert await shell.json("migrate") == {"applied": []}
    found = await shell.json("ledger", "verify", "--team", "red")
    assert (found["is_in_order"], found["jobs"]) == (True, 1)
    compared = await shell.json("spend", "reconcile", "--no-prices", "--since", "1h")
    assert compared["unexplained"] == 0
    assert await shell.json("spend", "lost") == []
    assert await shell.json("spend", "prune", "--older-than-days", "1") == {"dropped": 0}


async def archive(server: Server, shell: Shell, folder: Path) -> None:
    past = Month.of(datetime.now(UTC)).plus(-2)
    milliseconds = (past.first_id.int >> 80) + 1
    async with server.services.db.transaction() as tx:
        for table in ("calls", "spend_logs"):
            await tx.execute(text(f"UPDATE {table} SET id = '{milliseconds:012x}' || substr(id, 13)"))
    words = ("spend", "archive", "--month", str(past), "--to", str(folder / "archive"))
    kept = await shell.json(*words, "--keep")
    assert (kept["is_removed"], kept["calls"]["rows"]) == (False, 1)
    again = await shell.run(*words)
    assert (again.code, "exists already" in again.err) == (1, True), again
    shown = await shell.shown("spend", "archive", "--month", str(past), "--to", str(folder / "again"))
    assert f"{past} was removed from the database." in shown
    assert (await shell.run(*words)).code == 1, "nothing of it is left"


async def configuration(shell: Shell, file: Path) -> None:
    assert json.loads(await shell.shown("config", "schema"))["title"]
    assert await shell.json("config", "access", str(file)) == {"lost_access": []}
    followed = await shell.json("config", "follow", str(file))
    assert followed["ok"]
    assert followed["generation"] in json.dumps(followed)


WRONG: dict[tuple[str, ...], tuple[int, str]] = {
    ("serve", "--workers", "0"): (2, "--workers"),
    ("migrate", "now"): (2, "unexpected extra argument"),
    ("demo", "--port", "1"): (2, "--port"),
    ("doctor", "--yaml"): (2, "--yaml"),
    ("smoke", "--url", "localhost:8003"): (1, "no address of a server"),
    ("org", "create", "no name"): (1, "organization_id"),
    ("org", "list", "--url", "http://host:port"): (1, "no address of a server"),
    ("org", "show", "nowhere"): (1, "404"),
    ("org", "usage", "acme", "--period", "november"): (1, "YYYY-MM"),
    ("team", "create", "red", "--credits", "-1"): (2, "--credits"),
    ("team", "list", "--url", "http://127.0.0.1:1"): (1, "cannot be reached"),
    ("team", "show", ".."): (1, "'..' is no id"),
    ("team", "show", "../x"): (1, "404"),
    ("team", "update", "red"): (2, "name an option"),
    ("team", "update", "red", "--price", "report"): (2, "report=5"),
    ("team", "update", "red", "--metadata", "[]"): (2, "JSON object"),
    ("team", "update", "red", "--rpm", "1", "--unset", "rpm"): (2, "set and unset"),
    ("team", "update", "red", "--unset", "credits"): (2, "--unset"),
    ("team", "update", "red", "--default-group", "nothing"): (1, "nothing"),
    ("team", "usage", "red", "--by", "hour"): (2, "--by"),
    ("team", "groups", "red", "nothing"): (1, "nothing"),
    (
        "team",
        "suspend",
    ): (2, "Missing argument"),
    ("team", "resume", "nobody"): (1, "404"),
    ("key", "create", "red", "--publishable"): (2, "--origin"),
    ("key", "create", "red", "--job-type", "chat"): (2, "publishable"),
    ("key", "create", "red", "--publishable", "--origin", "app.example.com"): (1, "origin"),
    ("key", "list", "nobody"): (1, "404"),
    ("key", "origins", "red", "no-key", "https://a.example"): (1, "404"),
    ("key", "rotate", "red", "no-key"): (1, "404"),
    ("key", "revoke", "red", ".."): (1, "'..' is no id"),
    ("credits", "show", "nobody"): (1, "404"),
    ("credits", "add", "red", "0", "--reason", "x"): (2, "CREDITS"),
    ("credits", "add", "red", "5"): (2, "--reason"),
    ("credits", "refund", "red", "--reason", "x"): (2, "--job or --credits"),
    ("credits", "adjust", "red", "--by", "-999", "--reason", "x"): (1, "403"),
    ("credits", "grants", "nobody"): (1, "404"),
    ("credits", "low-balance", "red"): (2, "--below or --never"),
    ("credits", "events", "red", "--limit", "0"): (2, "--limit"),
    ("credits", "transactions", "nobody"): (1, "404"),
    ("refill", "set", "red", "5", "--every", "hourly"): (2, "--every"),
    ("refill", "set", "red", "5", "--every", "daily", "--timezone", "Mars"): (1, "Mars"),
    ("refill", "show", "nobody"): (1, "404"),
    ("refill", "unset", "nobody"): (1, "404"),
    ("jobs", "list", "red", "--status", "done"): (1, "no job status"),
    ("jobs", "show", "no-job"): (1, "404"),
    ("jobs", "costs", "no-job"): (1, "404"),
    ("token", "create", "x", "--role", "king"): (2, "--role"),
    ("token", "create", "x", "--role", "viewer", "--team", "nobody"): (1, "404"),
    ("token", "list", "--url", "http://127.0.0.1:1"): (1, "127.0.0.1:1"),
    ("token", "revoke", "no-token"): (1, "404"),
    ("audit", "list", "--limit", "0"): (2, "--limit"),
    ("audit", "verify", "--all"): (2, "--all"),
    ("audit", "export", "file"): (2, "file"),
    ("spend", "reconcile", "--since", "99999999999d"): (1, "is no time"),
    ("spend", "lost", "--since", "lately"): (1, "is no time"),
    ("spend", "prune", "--older-than-days", "999999999"): (2, "--older-than-days"),
    ("spend", "archive", "--month", "2026-13", "--to", "archive"): (1, "is no month"),
    ("spend", "archive", "--month", "2999-12", "--to", "archive"): (1, "is not over"),
    ("spend", "archive", "--month", "2020-01"): (2, "--to"),
    ("ledger", "verify", "--team", "nobody"): (1, "nobody"),
    ("config", "check", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "diff", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "access", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "apply", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "follow", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "import", "nowhere.yaml"): (1, "nowhere.yaml"),
    ("config", "schema", "--yaml"): (2, "--yaml"),
}
"""What somebody gets wrong at each command, the exit code, and what its sentence names."""


@ONE_DATABASE
async def test_what_a_command_cannot_do_is_one_sentence_and_changes_nothing(shell: Shell) -> None:
    assert {command_in(words) for words in WRONG} == COMMANDS
    await shell.shown("org", "create", "acme")
    await shell.shown("team", "create", "red", "--credits", "5")
    before = await shell.json("team", "show", "red")
    for words, (code, named) in WRONG.items():
        ran = await shell.run(*words)
        assert (ran.code, ran.out) == (code, ""), (words, ran)
        assert named in ran.err, (words, ran.err)
        assert len(ran.err.strip().splitlines()) <= 2, (words, ran.err)
        assert "Traceback" not in ran.err
    assert await shell.json("team", "show", "red") == before


@ONE_DATABASE
async def test_long_commands_show_their_progress_on_a_terminal_alone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In pipes `shown` expects nothing but results, of each command."""
    monkeypatch.setenv("TERM", "xterm")
    new = f"sqlite:///{tmp_path}/new.db"
    for words, what, database in (
        (("ledger", "verify"), "entries and jobs", None),
        (("audit", "verify"), "entries", None),
        (("spend", "reconcile", "--no-prices"), "calls", None),
        (("spend", "prune", "--older-than-days", "1"), "old spend logs", None),
        (("migrate",), "migrations", new),
    ):
        if database is not None:
            monkeypatch.setenv("CONTROL_PLANE_DATABASE_URL", database)
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
            ran = await shell.run(*words, terminal=terminal)
            assert ran.code == 0
            assert what in (await asyncio.to_thread(screen.read, 65536)).decode()
    assert ran.out == "The database is up to date.\n"


async def test_a_database_that_is_not_there_is_named_and_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An empty one would be taken for the real one, and in order."""
    shell = Shell.at(monkeypatch, tmp_path, "http://127.0.0.1:1", database_url=f"sqlite:///{tmp_path}/typo.db")
    for words in (("ledger", "verify"), ("spend", "lost"), ("spend", "prune", "--older-than-days", "1")):
        ran = await shell.run(*words)
        assert (ran.code, ran.out, "typo.db" in ran.err) == (1, "", True)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing waits


async def test_without_a_key_none_is_made_for_another_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell = Shell.at(monkeypatch, tmp_path, "http://127.0.0.1:1")
    monkeypatch.delenv("CONTROL_PLANE_MASTER_KEY")
    ran = await shell.run("team", "list")
    assert (ran.code, "CONTROL_PLANE_MASTER_KEY is not set" in ran.err) == (1, True)
    assert not (tmp_path / "var").exists()


async def test_the_exit_codes_and_the_version_are_in_the_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell = Shell.at(monkeypatch, tmp_path, "http://127.0.0.1:1")
    ran = await shell.run("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "control-plane")
    text = " ".join((await shell.run("--help")).out.split())
    assert "Exit codes: 0 done; 1 refused, failed, or something is wrong; 2 the command line is wrong" in text
    assert (await shell.run("team")).code == 2
