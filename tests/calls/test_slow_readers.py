"""Clients that stop reading, and stay: they are taken for clients that left, and nothing is kept for them."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import orjson
import pytest

from control_plane.chat import ChatRequest
from control_plane.completion.usage import Usage
from control_plane.gateway.pricing.prices import MOST_COUNTED, PriceTag, estimate
from control_plane.settings import Settings
from tests.gateway.raw_provider import RawProvider
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import Server, Team, call_body, config_for, new_team, serving, write_config

MEGABYTE = "x" * 1_000_000


def piece() -> bytes:
    delta = {"index": 0, "delta": {"role": "assistant", "content": "word " * 20_000}, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [delta]}) + b"\n\n"


def whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": MEGABYTE * 12}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return orjson.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})


async def asked_by_who_never_reads(server: Server, team: Team, path: str) -> socket.socket:
    """A client whose request is sent, and who does nothing more."""
    body = orjson.dumps({"job_type": "test", **call_body("endless")})
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {team.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", int(server.url.rpartition(":")[2])))
    await loop.sock_sendall(client, head.encode() + body)
    return client


@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "stream"])
async def test_a_client_that_reads_nothing_is_one_that_left(
    settings: Settings, provider: Provider, tmp_path: Path, *, is_stream: bool
) -> None:
    async with RawProvider.start() as raw:
        raw.pieces, raw.trickle = ([], piece()) if is_stream else ([whole()], b"")
        raw.content_type = "text/event-stream" if is_stream else "application/json"
        config = config_for(provider)
        endless = {"model": "openai/endless", "api_base": raw.url, "api_key": "sk-x"}
        info = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
        config["model_list"].append({"model_name": "endless", "litellm_params": endless, "model_info": info})
        config["model_groups"]["endless"] = {"models": ["endless"], "teams": ["*"]}
        limited = settings.model_copy(update={"config": write_config(tmp_path, config), "write_timeout_s": 0.3})
        async with serving(limited) as server, new_team(server) as team:
            path = "/api/jobs/create-and-call" + ("-stream" if is_stream else "")
            client = await asked_by_who_never_reads(server, team, path)
            books = await Books.of_closed_jobs(team)
            while not books.jobs:  # the request is still to arrive
                books = await Books.of_closed_jobs(team)
            if is_stream:
                async with asyncio.timeout(PATIENCE_S):
                    await raw.left.wait()
                assert [(call["status"], call["error"]) for call in books.calls] == [("cancelled", "client_closed")]
                assert books.jobs[0]["status"] == "completed", "what was delivered is paid"
            else:
                assert [call["status"] for call in books.calls] == ["succeeded"]
            connections = server.uvicorn.server_state.connections
            async with asyncio.timeout(PATIENCE_S):
                while any(each.transport.get_write_buffer_size() for each in connections):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            books.check()
            client.close()


async def test_tokens_of_a_very_long_conversation_are_counted_by_samples() -> None:
    """Counting all of it takes a second each, when a thousand clients leave at once. Only its text: pictures and tools
    are counted once.
    """
    tag = PriceTag("gpt-4o", "openai", "gpt-4o")
    sentence = "The quick brown fox jumps over the lazy dog. "
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    tool = {"type": "function", "function": {"name": "look_up", "description": sentence * 500, "parameters": {}}}

    async def counted(times: int) -> Usage:
        parts = [picture, {"type": "text", "text": sentence * times}]
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": sentence * times},
            {"role": "user", "content": parts},
        ]
        return await estimate(tag, ChatRequest(messages, {"tools": [tool]}), [sentence * times])

    little, much = await counted(1_000), await counted(30_000)
    assert len(sentence * 2_000) < MOST_COUNTED < len(sentence * 30_000)
    assert much.completion_tokens == pytest.approx(30 * little.completion_tokens, rel=0.02)
    texts = 2 * little.completion_tokens
    assert much.prompt_tokens == pytest.approx(little.prompt_tokens + 29 * texts, rel=0.02)
