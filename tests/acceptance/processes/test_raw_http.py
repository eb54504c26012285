"""What clients write on the socket, byte by byte: offers of other protocols, HTTP/1.0, heads that come in pieces."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.processes.process import Process, server
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import Team, call_body, config_for, write_config

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
"""What Java's HttpClient sends with its first request."""

HEADER_TIMEOUT_S = 3

OFFERS = {
    "h2c, as Java": H2C,
    "h2c alone": b"connection: upgrade\r\nupgrade: h2c\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
    "TLS": b"Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n",
    "two of them": b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: foo/2\r\n",
}


@dataclass
class Served:
    """A real server process and a team of it."""

    process: Process
    team: Team
    port: int

    async def talk(self, *pieces: bytes, answers: int = 1) -> Sequence["Answer"]:
        """Sends the pieces, one packet each, and reads so many answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                return [await Answer.read(reader) for _ in range(answers)]
        finally:
            writer.close()

    def request(self, path: str, body: bytes, *more: bytes, version: bytes = b"1.1") -> bytes:
        """A POST of the team's with its length, its head first."""
        return self.head(path, b"Content-Length: %d\r\n" % len(body), *more, version=version) + body

    def head(self, path: str, *more: bytes, version: bytes = b"1.1") -> bytes:
        key = self.team.key.encode()
        first = b"POST %s HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\n" % (path.encode(), version, key)
        return first + b"Content-Type: application/json\r\n" + b"".join(more) + b"\r\n"


@dataclass
class Answer:
    """An answer as it stood on the wire; `is_closed`: its body ended with the connection."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool = False

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> "Answer":
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        if "content-length" in headers:
            return cls(status, headers, await reader.readexactly(int(headers["content-length"])))
        return cls(status, headers, b"" if status == 100 else await reader.read(), is_closed=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("raw")
    database = folder / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, database)
    async with Provider.start() as provider:
        config = write_config(folder, config_for(provider))
        url = f"sqlite:///{database}"
        deadlines = {"header_timeout_s": HEADER_TIMEOUT_S, "body_timeout_s": 3}
        async with server(folder, config=config, database_url=url, **deadlines) as process, process.team() as team:
            yield Served(process, team, int(process.url.rpartition(":")[2]))


JOB = json.dumps({"job_type": "test", "metadata": {"is": "kept"}}).encode()


async def test_an_offer_of_another_protocol_is_ignored_and_the_body_is_read(served: Served) -> None:
    for name, offer in OFFERS.items():
        whole = served.request("/api/jobs/create", JOB, offer)
        head = served.head("/api/jobs/create", b"Content-Length: %d\r\n" % len(JOB), offer)
        chunked = served.head("/api/jobs/create", b"Transfer-Encoding: chunked\r\n", offer)
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(JOB), JOB)
        for pieces in (
            [whole],
            [head, JOB],
            [head, JOB[:5], JOB[5:]],
            [whole[position : position + 1] for position in range(len(whole))],
            [chunked, chunks],
            [chunked + chunks],
        ):
            [answer] = await served.talk(*pieces)
            assert (answer.status, name) == (200, name), answer.body
            job = json.loads(answer.body)["job_id"]
        shown = await served.team.http.get(f"/api/jobs/{job}")
        assert shown.json()["metadata"] == {"is": "kept"}


async def test_a_connection_with_an_offer_serves_what_follows_too(served: Served) -> None:
    offered, plain = served.request("/api/jobs/create", JOB, H2C), served.request("/api/jobs/create", JOB)
    for pieces in (
        [offered, plain, offered],
        [offered + offered + plain],
        [plain + offered[:40], offered[40:] + plain],
    ):
        answers = await served.talk(*pieces, answers=3)
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert len({json.loads(answer.body)["job_id"] for answer in answers}) == 3


async def test_a_request_with_an_offer_and_without_a_body_is_served(served: Served) -> None:
    for offer in OFFERS.values():
        [answer] = await served.talk(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


async def test_a_client_that_waits_for_100_is_told_to_go_on_though_it_offers_more(served: Served) -> None:
    head = served.head("/api/jobs/create", b"Content-Length: %d\r\nExpect: 100-continue\r\n" % len(JOB), H2C)
    go_on, answer = await served.talk(head, JOB, answers=2)
    assert (go_on.status, answer.status) == (100, 200)


async def test_what_is_no_request_is_400_and_the_server_goes_on(served: Served) -> None:
    for wrong in (
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        [answer] = await served.talk(wrong)
        assert answer.status == 400
    [answer] = await served.talk(served.request("/api/jobs/create", JOB))
    assert answer.status == 200


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n", H2C, b"Expect: 100-continue\r\n"])
async def test_a_client_of_http_1_0_gets_a_stream_without_chunks_that_ends_with_the_connection(
    served: Served, more: bytes
) -> None:
    job = await served.team.create_job()
    path = f"/api/jobs/{job}/llm-call-stream"
    [answer] = await served.talk(served.request(path, json.dumps(call_body()).encode(), more, version=b"1.0"))
    assert (answer.status, answer.is_closed) == (200, True)
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"
    events = answer.body.decode().split("\n\n")
    assert all(event.startswith("data: ") for event in events if event), events[0]
    assert events[-2] == "data: [DONE]"
    [answer] = await served.talk(served.request("/api/jobs/create", JOB, more, version=b"1.0"))
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "pending")


async def test_a_client_of_http_1_1_gets_its_stream_in_chunks(served: Served) -> None:
    job = await served.team.create_job()
    request = served.request(
        f"/api/jobs/{job}/llm-call-stream", json.dumps(call_body()).encode(), b"Connection: close\r\n"
    )
    [answer] = await served.talk(request)
    assert (answer.headers["transfer-encoding"], answer.body[-5:]) == ("chunked", b"0\r\n\r\n")


async def test_headers_are_bounded_in_bytes_number_and_time_in_the_words_of_their_api(served: Served) -> None:
    """150 MB of a header without an end, from somebody without a key, held the server for 14 s."""
    begun = b"POST %s HTTP/1.1\r\nHost: x\r\n"
    for pieces in (
        [b"X-Long: ", b"a" * 40_000, b"a" * 40_000],
        [b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n"],
        [b"".join(b"X-%d: a\r\n" % number for number in range(300))],
        [b"".join(b"X-%d: %s\r\n" % (number, b"a" * 700) for number in range(100))],
    ):
        [openai] = await served.talk(begun % b"/v1/chat/completions", *pieces)
        assert (openai.status, json.loads(openai.body)["error"]["code"]) == (431, "headers_too_large")
        [ours] = await served.talk(begun % b"/api/jobs/create", *pieces)
        assert (ours.status, ours.headers["connection"]) == (431, "close")
        assert json.loads(ours.body)["detail"] == json.loads(openai.body)["error"]["message"]
    [url] = await served.talk(b"GET /" + b"a" * 70_000)
    assert url.status == 431
    chunked = served.head("/api/jobs/create", b"Transfer-Encoding: chunked\r\n") + b"1\r\n{\r\n"
    for endless in (b"1;" + b"a" * 100_000, b"0\r\nX-Trailer: " + b"a" * 100_000, b"0\r\n" + b"X: a\r\n" * 20_000):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await served.talk(chunked, endless)
    [answer] = await served.talk(served.request("/api/jobs/create", JOB, b"X-Long: " + b"a" * 60_000 + b"\r\n"))
    assert answer.status == 200


async def test_a_request_that_trickles_is_408_and_its_connection_ends(served: Served) -> None:
    head = served.head("/v1/messages", b"Content-Length: 1000\r\n")
    trickling = ([b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"], [head, b'{"'], [head])
    for [answer] in await asyncio.gather(*(served.talk(*pieces) for pieces in trickling)):
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert json.loads(answer.body)["error"]["code"] == "request_timeout"
    silent = served.head("/v1/models", b"Content-Length: 1000\r\n").replace(b"POST", b"GET", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(silent)
            assert (await Answer.read(reader)).status == 200
            assert await reader.read() == b"", "the rest of its body is not waited for"
    finally:
        writer.close()


async def test_a_request_that_came_in_time_is_answered_by_a_server_that_was_late(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    await served.talk(
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    )  # taken behind that one, which the server has then
    served.process.send(signal.SIGSTOP)
    try:
        writer.write(served.request("/api/jobs/create", JOB))
        await writer.drain()
        await asyncio.sleep(HEADER_TIMEOUT_S)  # what is tried is that this time passes
    finally:
        served.process.send(signal.SIGCONT)
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert (await Answer.read(reader)).status == 200
    finally:
        writer.close()
