"""A model provider that survives the server and writes down every request it was asked, by the token in its prompt."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

TOKEN = re.compile(r"token-[0-9a-f]+")
WORDS = ["There ", "was ", "once ", "a ", "bill ", "that ", "nobody ", "could ", "break."]
LONG = ["word " * 800] * 2_000
"""8 MB: more than the sockets on the way keep for a client that does not read."""

USAGE = {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 20}


@dataclass
class ChaosProvider:
    """`served` counts requests by token and behaviour; a path of `bad` refuses, whatever it is asked; `long`
    streams 8 MB.
    """

    port: int = 0
    served: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        provider = cls()
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/{behaviour}/v1/chat/completions", provider.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            provider.port = runner.addresses[0][1]
            yield provider
        finally:
            await runner.cleanup()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.port}/{behaviour}/v1"

    def unrecorded(self, calls: Mapping[str, int]) -> int:
        """How many requests nobody wrote down, given how many calls are recorded for each token: a call asks each
        behaviour once at most.
        """
        return sum(max(0, count - calls.get(token, 0)) for (token, _), count in self.served.items())

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        match = TOKEN.search(json.dumps(asked["messages"]))
        assert match is not None, "a request without a token"
        behaviour = request.match_info["behaviour"]
        self.served[match.group(), behaviour] += 1
        await asyncio.sleep(random.uniform(0, 0.1))
        if behaviour == "bad":
            return web.json_response({"error": {"message": "broken"}}, status=500)
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response(self._body("chat.completion", choice) | {"usage": USAGE})
        return await self._stream(request, LONG if behaviour == "long" else WORDS)

    async def _stream(self, request: web.Request, words: Sequence[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            for word in words:
                await self._event(response, {"index": 0, "delta": {"content": word}, "finish_reason": None})
                if words is WORDS:
                    await asyncio.sleep(random.uniform(0, 0.02))
            await self._event(response, {"index": 0, "delta": {}, "finish_reason": "stop"})
            await response.write(
                b"data: " + json.dumps(self._body("chat.completion.chunk") | {"usage": USAGE}).encode()
            )
            await response.write(b"\n\ndata: [DONE]\n\n")
        except ConnectionError:
            pass  # the server was killed, or its client left
        return response

    async def _event(self, response: web.StreamResponse, choice: dict[str, Any]) -> None:
        body = json.dumps(self._body("chat.completion.chunk", choice))
        await response.write(f"data: {body}\n\n".encode())

    def _body(self, kind: str, *choices: dict[str, Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m", "choices": list(choices)}
