"""The benchmark's model provider: prebuilt bytes over HTTP/1.1 keep-alive, so cheap that it hides nothing.

Buffered answers and streams say WORD fifty times; a stream sends each event in a write of its own. Under `/idle/v1` a
stream says three words and then nothing more, under `/paced/v1` it says a word every 20 ms, as models do. It reads just enough HTTP to be asked by LiteLLM.
"""

import argparse
import asyncio
import json
from typing import Any, cast

import uvloop

WORD = "word "
WORDS = 50
IDLE_WORDS = 3
PACE_S = 0.02
USAGE = {"prompt_tokens": 60, "completion_tokens": WORDS, "total_tokens": 60 + WORDS}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _buffered() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": WORD * WORDS}, "finish_reason": "stop"}
    body = _json(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "gpt-4o",
            "choices": [choice],
            "usage": USAGE,
        }
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _event(choices: list[Any], **rest: Any) -> bytes:
    chunk = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-4o"}
    line = b"data: %b\n\n" % _json({**chunk, "choices": choices, **rest})
    return b"%x\r\n%b\r\n" % (len(line), line)


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _event([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BUFFERED = _buffered()
STREAM = [
    STREAM_HEAD + _delta({"role": "assistant", "content": ""}),
    *[_delta({"content": WORD})] * WORDS,
    _delta({}, "stop"),
    _event([], usage=USAGE),
    b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
]
IDLE_STREAM = STREAM[: 1 + IDLE_WORDS]


class Answerer(asyncio.Protocol):
    """One connection; requests one after another."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class, not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends a stream that is still being written."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answers when a whole request is there."""
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0 or self._transport is None:
            return
        head = self._buffer[:head_end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        body = self._buffer[head_end + 4 :]
        if len(body) < length:
            return
        self._buffer = b""
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(BUFFERED)
        elif head.startswith(b"post /idle/"):
            self._transport.write(b"".join(IDLE_STREAM))
        else:
            self._send(0, PACE_S if head.startswith(b"post /paced/") else 0)

    def _send(self, position: int, pause_s: float) -> None:
        if self._transport is None:
            return
        self._transport.write(STREAM[position])
        if position + 1 < len(STREAM):
            asyncio.get_running_loop().call_later(pause_s, self._send, position + 1, pause_s)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answerer, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))
