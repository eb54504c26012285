"""A server that is killed between reading a scan and asking the model: the answer still comes, and is paid once."""

from pathlib import Path

import httpx
import pytest

from control_plane.fetching.data_urls import data_url
from tests.acceptance.processes.process import server
from tests.acceptance.respond.server import RESPOND, config_of_s4, hello, with_ocr
from tests.support.ledger import Books
from tests.support.pdfs import scan
from tests.support.provider import Provider
from tests.support.seed_runner import TEXT
from tests.support.server import Team, serving, settings_for, write_config

PARTS = [{"type": "file", "file": {"filename": "scan.pdf", "file_data": data_url("application/pdf", scan(2))}}]
BODY = hello(
    messages=[{"role": "user", "content": PARTS}], plugins=[{"id": "file-parser", "pdf": {"engine": "mistral-ocr"}}]
)
ONCE = {"Idempotency-Key": "the-report"}


@pytest.mark.parametrize("failpoint", ["record_committed:1", "provider_answered:2"])
async def test_a_request_taken_up_after_a_kill_is_answered_and_paid_once(
    provider: Provider, tmp_path: Path, sqlite_url: str, failpoint: str
) -> None:
    config = write_config(tmp_path, with_ocr(config_of_s4(provider), provider))
    async with (
        server(tmp_path, database_url=sqlite_url, config=config, failpoint=failpoint) as process,
        process.team() as team,
    ):
        with pytest.raises(httpx.HTTPError):
            await team.http.post(RESPOND, json=BODY, headers=ONCE)
        await process.ended()
    async with serving(settings_for(sqlite_url, config)) as running, running.client(team.key) as http:
        answer = await http.post(RESPOND, json=BODY, headers=ONCE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["message"]["content"][0]["text"] == TEXT
        assert (await http.post(RESPOND, json=BODY, headers=ONCE)).content == answer.content
        books = await Books.of(Team(team.id, team.key, http, team.admin))
        books.check()
        assert (books.credits["credits_used"], books.credits["credits_held"]) == (1, 0)


@pytest.mark.parametrize(("failpoint", "calls"), [("record_committed:1", 3), ("provider_answered:2", 4)])
async def test_in_a_job_what_the_dead_server_had_read_is_taken_out_of_the_bill(
    provider: Provider, tmp_path: Path, sqlite_url: str, failpoint: str, calls: int
) -> None:
    config = write_config(tmp_path, with_ocr(config_of_s4(provider), provider))
    async with (
        server(tmp_path, database_url=sqlite_url, config=config, failpoint=failpoint) as process,
        process.team() as team,
    ):
        headers = {**ONCE, "X-Job-Id": await team.create_job()}
        with pytest.raises(httpx.HTTPError):
            await team.http.post(RESPOND, json=BODY, headers=headers)
        await process.ended()
    async with serving(settings_for(sqlite_url, config)) as running, running.client(team.key) as http:
        again = Team(team.id, team.key, http, team.admin)
        assert (await http.post(RESPOND, json=BODY, headers=headers)).status_code == 200
        costs = await again.costs(headers["X-Job-Id"])
        made = [(call["purpose"], call["status"]) for call in costs["breakdown"]]
        assert len(made) == calls
        billed = [call for call in made if call[1] == "succeeded"]
        assert billed == [("file-parser", "succeeded"), (None, "succeeded")]
        (await Books.of(again)).check()
