"""An administrator's commands where something else answers than a server of ours: they end, and explain it in a sentence."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from control_plane.cli import requests, servers
from control_plane.cli.answers import ApiCallFailed, Chunk
from control_plane.cli.api_client import stream
from control_plane.cli.spend import _show
from control_plane.clock import now
from control_plane.reconciliation.rules import Reconciled, Sum
from tests.acceptance.processes.command import COMMANDS, Shell, command_in
from tests.support.awkward_server import DEEP, always, answer, dripping, serving
from tests.support.provider import Provider
from tests.support.server import config_for, write_config

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202efake\ud800\n[/bold] [red]:bug:"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]")

ASKING: list[tuple[str, ...]] = [
    ("org", "create", "a"),
    ("org", "list"),
    ("org", "show", "a"),
    ("org", "usage", "a"),
    ("team", "create", "a"),
    ("team", "list"),
    ("team", "show", "a"),
    ("team", "usage", "a"),
    ("team", "update", "a", "--rpm", "1"),
    ("team", "groups", "a"),
    ("team", "suspend", "a"),
    ("team", "resume", "a"),
    ("key", "create", "a"),
    ("key", "list", "a"),
    ("key", "origins", "a", "k"),
    ("key", "rotate", "a", "k"),
    ("key", "revoke", "a", "k"),
    ("credits", "show", "a"),
    ("credits", "add", "a", "1", "--reason", "x"),
    ("credits", "refund", "a", "--credits", "1", "--reason", "x"),
    ("credits", "adjust", "a", "--by", "1", "--reason", "x"),
    ("credits", "transactions", "a"),
    ("credits", "grants", "a"),
    ("credits", "events", "a"),
    ("credits", "low-balance", "a", "--never"),
    ("refill", "set", "a", "1", "--every", "daily"),
    ("refill", "show", "a"),
    ("refill", "unset", "a"),
    ("jobs", "list", "a"),
    ("jobs", "show", "j"),
    ("jobs", "costs", "j"),
    ("token", "create", "n", "--role", "viewer"),
    ("token", "list"),
    ("token", "revoke", "t"),
    ("audit", "list"),
    ("smoke",),
]
OF_FILES = {"config access", "config follow"}
WITHOUT_A_SERVER = {
    "serve",
    "migrate",
    "demo",
    "doctor",
    "config check",
    "config diff",
    "config import",
    "config schema",
}
WITHOUT_A_SERVER |= {
    "ledger verify",
    "audit verify",
    "audit export",
    "spend lost",
    "spend prune",
    "spend archive",
    "spend reconcile",
    "config apply",
}  # begins as access

NAMES = [
    "teams",
    "jobs",
    "organizations",
    "keys",
    "transactions",
    "grants",
    "events",
    "model_groups",
    "configuration",
    "costs",
    "tokens",
    "entries",
]
LISTS = [words for words in ASKING if command_in(words) in {"org list", "team list", "key list", "jobs list"}]
LISTS += [
    words for words in ASKING if command_in(words) in {f"credits {of}" for of in ("transactions", "grants", "events")}
]


def of_names(value: object) -> bytes:
    return json.dumps({**dict.fromkeys(NAMES, value), "next_cursor": None}).encode()


@pytest.fixture
def config(tmp_path: Path, provider: Provider) -> Path:
    return write_config(tmp_path, config_for(provider))


def at(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> Shell:
    return Shell.at(monkeypatch, folder, url, database_url=f"sqlite:///{folder}/none.db", port=1)


async def test_the_answers_of_another_service_are_one_sentence_and_never_a_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Path
) -> None:
    """Who reads exit code 0 believes that a team or a key was created."""
    asking = [*ASKING, ("config", "access", str(config)), ("config", "follow", str(config), "--wait-s", "0")]
    assert {command_in(words) for words in asking} == COMMANDS - WITHOUT_A_SERVER
    some = [words for words in asking if command_in(words) in {"team show", "team list", "smoke", "config access"}]
    nested = b'{"team_id": "a", "x": ' + b"[" * 500 + b"]" * 500 + b"}"
    odd = map(answer, [b"[]", of_names(5), of_names([5]), of_names({"a": 5}), b"{" * 9, DEEP, nested])
    bodies = [(answer(b"{}"), asking), (answer(of_names([{}])), asking), *((each, some) for each in odd)]
    refusals = [answer(b'{"detail": {"message": 5}}', 403), answer(b"zz", 502), answer(b'{"detail": [[]]}', 422)]
    for body, tried in (*bodies, *((each, some) for each in refusals)):
        async with serving(always(body), creates=False) as (url, _):
            shell = at(monkeypatch, tmp_path, url)
            for words in tried:
                ran = await shell.run(*words)
                assert (ran.code, ran.out) == (1, ""), (body[:200], words, ran)
                assert len(ran.err.strip().splitlines()) == 1, (body[:200], words, ran)


async def test_a_list_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = json.dumps({**{name: [] for name in NAMES}, "next_cursor": "abc"}).encode()
    row = {"team_id": "a", "job_id": "j", "organization_id": "o", "key_id": "k", "kind": "secret", "number": 1}
    row |= {"grant_id": "g", "event_id": "e"}
    same = json.dumps({**{name: [row] for name in NAMES}, "next_cursor": "abc"}).encode()
    for body, most_asked in ((empty, 1), (same, 2)):
        async with serving(always(answer(body)), creates=False) as (url, asked):
            shell = at(monkeypatch, tmp_path, url)
            for words in LISTS:
                asked.clear()
                ran = await shell.run(*words)
                assert (ran.code, ran.out, len(asked)) == (1, "", most_asked), (words, ran)
                assert "without an end" in ran.err
            with pytest.raises(ApiCallFailed, match="without an end"):
                await asyncio.to_thread(servers.Servers(url, "sk-x").list_teams)


@pytest.mark.timeout(120)
async def test_an_answer_that_only_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Path
) -> None:
    monkeypatch.setattr(requests, "REQUEST_S", 0.2)
    monkeypatch.setattr(servers, "LEAST_S", 0.2)
    follow = ("config", "follow", str(config), "--wait-s", "0")
    async with serving(dripping(answer(b"", length=10**9), b" "), creates=False) as (url, _):
        shell = at(monkeypatch, tmp_path, url)
        for words in (("team", "show", "a"), ("team", "list"), ("smoke",), ("config", "access", str(config)), follow):
            ran = await shell.run(*words)
            assert (ran.code, "has not answered within 0.2 s" in ran.err) == (1, True), (words, ran)


async def test_what_a_customer_or_a_server_wrote_is_shown_and_not_obeyed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Job types, names and metadata come from customers; their escapes would rewrite an administrator's terminal."""
    job = {"job_id": "j", "job_type": EVIL, "metadata": {EVIL: [EVIL]}, EVIL: EVIL, "rows": [{EVIL: EVIL}]}
    body = json.dumps({**job, "jobs": [job], "next_cursor": None}).encode()
    async with serving(always(answer(body)), creates=False) as (url, _):
        shell = at(monkeypatch, tmp_path, url)
        for words in (("jobs", "show", "j"), ("jobs", "list", "a")):
            ran = await shell.run(*words)
            assert (ran.code, OBEYED.search(ran.out)) == (0, None), ran
            assert "\\x1b]0;owned\\x07" in ran.out
            assert "\\n[/bold] [red]:bug:" in ran.out
            as_json = await shell.run(*words, "--json")
            assert OBEYED.search(as_json.out) is None
            shown = json.loads(as_json.out)
            assert (shown if words[1] == "show" else shown[0])["job_type"] == EVIL
    async with serving(always(answer(json.dumps({"detail": EVIL}).encode(), 403)), creates=False) as (url, _):
        ran = await at(monkeypatch, tmp_path, url).run("team", "show", "a")
        assert (ran.code, OBEYED.search(ran.err), "\\x1b[2J" in ran.err) == (1, None, True)

    _show(Reconciled("embedded", now(), now(), by_model={EVIL: Sum()}, examples=[{"model": EVIL}]))
    table = capsys.readouterr().out
    assert (OBEYED.search(table), table.count("[/bold] [red]:bug:")) == (None, 2)


async def test_a_stream_of_smoke_and_demo_is_read_by_its_bytes_and_ends() -> None:
    """A model may write U+2028; a stream may be refused, break off, or only keep its connection alive."""
    pieces: list[Chunk] = []
    text = "a\u2028b\x85c"
    event = json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()
    whole = b": ping\n\ndata: " + event + b"\r\n\r\ndata: [DONE]\r\n\r\n"
    async with serving(always(answer(whole))) as (url, _), requests.client(url, "sk-x") as http:
        await stream(http, "/stream", {}, pieces.append)
    assert [piece.choices[0].delta.content for piece in pieces] == [text]
    broken = [answer(b"data: " + event + b"\n\n"), answer(b"data: {}\n\n"), answer(b"no", 500), answer(b"data: x\n\n")]
    broken += [answer(b'data: {"error": {"message": 5}}\n\n'), answer(b"data: {\n\n")]
    for body in broken:
        async with serving(always(body)) as (url, _), requests.client(url, "sk-x") as http:
            with pytest.raises(ApiCallFailed, match=r"^A stream "):
                await stream(http, "/stream", {}, pieces.append)


async def test_a_stream_of_smoke_and_demo_that_only_pings_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "REQUEST_S", 0.2)
    pings = dripping(answer(b"", length=10**9), b": ping\n\n")
    async with serving(pings) as (url, _), requests.client(url, "sk-x") as http:
        with pytest.raises(ApiCallFailed, match=r"within 0\.2 s"):
            await stream(http, "/stream", {}, print)
