"""Answers each request with the bytes of the case that its prompt names, cut where the prompt's seed says."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.corpus.cases import Case, Form

MARK = re.compile(rb"\[\[(\d+):(whole|stream):(\d+)\]\]")

MOST_CUTS = 6
SHORT = 300
"""Bytes of an answer that is sometimes sent byte by byte."""


def prompt_for(number: int, form: Form, seed: int) -> str:
    return f"Go on. [[{number}:{form}:{seed}]]"


def cut(data: bytes, seed: int) -> list[bytes]:
    """The bytes in random pieces, the same for the same seed."""
    if len(data) <= SHORT and seed % 5 == 0:
        return [bytes([byte]) for byte in data]
    chance = random.Random(seed)
    borders = (
        sorted(chance.sample(range(1, len(data)), min(chance.randint(0, MOST_CUTS), len(data) - 1))) if data else []
    )
    return [data[start:end] for start, end in zip([0, *borders], [*borders, len(data)], strict=True)]


@dataclass
class CorpusProvider:
    """`asked`: how often each prompt came."""

    cases: Sequence[Case]
    port: int = 0
    asked: Counter[tuple[int, Form, int]] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def start(cls, cases: Sequence[Case]) -> AsyncIterator[Self]:
        provider = cls(cases)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", provider.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, keepalive_timeout=3600)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            provider.port = runner.addresses[0][1]
            yield provider
        finally:
            await runner.cleanup()

    def case_for(self, number: int, form: Form, seed: int) -> Case:
        """The case whose bytes answer a prompt."""
        return self.cases[number]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        found = MARK.search(await request.read())
        if found is None:
            self.unknown.append(f"{request.method} {request.path}")
            return web.Response(status=404, text="no case")
        number, seed = int(found[1]), int(found[3])
        form: Form = "stream" if found[2] == b"stream" else "whole"
        self.asked[number, form, seed] += 1
        case = self.case_for(number, form, seed)
        headers = {"Content-Type": case.content_types[form], **case.headers}
        response = web.StreamResponse(status=case.status, headers=headers)
        await response.prepare(request)
        for piece in cut(case.bytes[form], seed):
            await response.write(piece)
            await asyncio.sleep(0)
        if case.is_dropped:
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write_eof()
        return response
