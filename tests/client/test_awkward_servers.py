"""The typed client at servers, proxies and networks that do what they should not: it ends, and raises its own errors."""

import asyncio
import json

import pytest

from control_plane.client import ClientError, ConnectionFailed, SaaSLLMClient, ServerFailed, StreamFailed, client
from control_plane.client.events import LineReader, LineTooLong
from tests.support.awkward_server import DEEP, always, answer, dripping, never, serving

HELLO = [{"role": "user", "content": "Hello"}]


def chunk(content: object) -> bytes:
    event = {"id": "a", "model": "m", "choices": [{"delta": {"content": content}}]}
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


async def streamed(url: str, **options: float) -> str:
    async with SaaSLLMClient(url, virtual_key="sk-x", **options) as made:  # type: ignore[arg-type] # max_retries is an int
        return "".join([each.text async for each in made.chat_stream("j", HELLO)])


async def test_a_stream_whose_text_has_unusual_line_separators_arrives_whole() -> None:
    """They are billed, and str.splitlines would cut them."""
    text = "a\u2028b\u2029c\x85d\x0be\x1cf"
    body = chunk(text) + chunk("!").replace(b"\n", b"\r\n") + b": comment\r\rdata:[DONE]\n\n"
    async with serving(always(answer(body))) as (url, _):
        assert await streamed(url) == f"{text}!"


def test_lines_are_the_same_however_the_network_cut_them_and_none_is_endless() -> None:
    text = "a\r\nb\u2028c\r\rd\n\n\re".encode()
    whole = LineReader()
    assert whole.feed(text) == [b"a", "b\u2028c".encode(), b"", b"d", b"", b""]
    assert whole.rest() == b"e"
    for first in range(len(text)):
        for second in range(first, len(text)):
            reader = LineReader()
            cut = (text[:first], text[first:second], text[second:])
            assert [line for part in cut for line in reader.feed(part)] == LineReader().feed(text)
            assert reader.rest() == b"e"
    endless = LineReader(longest=10)
    endless.feed(b"12345\n1234567890")
    with pytest.raises(LineTooLong):
        endless.feed(b"1")


async def test_what_is_lost_of_a_streams_refusal_is_tried_again_and_is_an_error_of_the_client() -> None:
    for body in (answer(b'{"er', 500, length=100), answer(b"zzzz", 500, headers="Content-Encoding: gzip\r\n")):
        async with serving(always(body)) as (url, asked):
            with pytest.raises(ConnectionFailed):
                await streamed(url, max_retries=1)
            assert len(asked) == 2


async def test_what_no_server_of_ours_sends_is_an_error_of_the_client() -> None:
    refusals = [answer(DEEP, 503), answer(b'{"error":{"code":{"a":1},"message":[]}}', 500), answer(b"7", 400)]
    streams = [
        b"data: " + DEEP + b"\n\n",
        chunk(5),
        chunk(["parts"]),
        b'data: {"error":5}\n\n',
        b"data: \xff\n\n",
        b"data: 5\n\n",
        b"data: [DO",
        b"",
    ]
    for body in (*refusals, *map(answer, streams)):
        async with serving(always(body)) as (url, _), SaaSLLMClient(url, virtual_key="sk-x", max_retries=0) as made:
            with pytest.raises(ClientError):
                await made.chat("j", HELLO)
            with pytest.raises(ClientError):
                await streamed(url, max_retries=0)


@pytest.mark.timeout(60)
async def test_what_only_drips_has_an_end() -> None:
    """Each byte would begin a timeout of reading anew, and so would the comments of a stream."""
    async with serving(dripping(answer(b"", length=10**9), b" ")) as (url, asked):
        async with SaaSLLMClient(url, virtual_key="sk-x", timeout_s=0.2, max_retries=1) as made:
            with pytest.raises(ConnectionFailed, match=r"within 0\.2 s"):
                await made.chat("j", HELLO)
        assert len(asked) == 2
    async with serving(dripping(answer(b"", 500, length=10**9), b" ")) as (url, _):
        with pytest.raises(ConnectionFailed):
            await streamed(url, timeout_s=0.2, max_retries=0)
    async with serving(dripping(answer(chunk("a"), length=10**9), b": ping\n\n")) as (url, _):
        with pytest.raises(StreamFailed) as stalled:
            await streamed(url, stall_timeout_s=0.2)
        assert stalled.value.code == "stalled"


async def test_comments_do_not_end_a_stream_whose_model_thinks() -> None:
    comments = b": ping\n\n" * 1000

    async def think(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(chunk("a") + comments, length=len(comments) * 2 + len(chunk("a") * 2) + 14))
        await writer.drain()
        writer.write(comments + chunk("b") + b"data: [DONE]\n\n")

    async with serving(think) as (url, _):
        assert await streamed(url) == "ab"


@pytest.mark.timeout(60)
async def test_a_cancelled_block_ends_soon_also_when_its_job_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would otherwise be waited for as long as any request: minutes, in which nothing can be stopped."""
    monkeypatch.setattr(client, "LEAVE_S", 0.1)
    for server in (never, always(answer(b"{}", 503, headers="Retry-After: 60\r\n"))):
        async with serving(server) as (url, asked), SaaSLLMClient(url, virtual_key="sk-x") as made:
            is_inside = asyncio.Event()

            async def work(made: SaaSLLMClient = made, is_inside: asyncio.Event = is_inside) -> None:
                async with made.job("report"):
                    is_inside.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await is_inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asked == ["/api/jobs/create", "/api/jobs/j/complete"]


@pytest.mark.timeout(60)
async def test_a_block_that_raises_gives_its_exception_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LEAVE_S", 0.1)
    async with serving(never) as (url, _), SaaSLLMClient(url, virtual_key="sk-x") as made:
        with pytest.raises(ServerFailed, match="mine"):
            async with made.job("report"):
                raise ServerFailed(500, "mine", "mine", {}, None)
