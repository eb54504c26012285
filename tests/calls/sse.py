"""Reads a stream as a client does, event by event, while it runs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.server import Team, call_body

Json = dict[str, Any]


@dataclass
class Sse:
    """An answer that arrives. `events` are those read so far, parsed; comments are counted and left out."""

    response: httpx.Response
    events: list[Json] = field(default_factory=list)
    comments: int = 0
    is_done: bool = False

    def __post_init__(self) -> None:
        self._lines = self.response.aiter_lines()

    async def next(self) -> Json | None:
        """The next event; None for `[DONE]`."""
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line == "data: [DONE]":
                self.is_done = True
                return None
            elif line:
                assert line.startswith("data: "), line
                event: Json = json.loads(line.removeprefix("data: "))
                self.events.append(event)
                return event
        raise AssertionError("the stream broke off without [DONE]")

    async def pieces(self, count: int) -> str:
        """What the next `count` pieces say."""
        return "".join([said_by(await self.next() or {}) for _ in range(count)])

    async def rest(self) -> list[Json]:
        """Every event that follows, up to `[DONE]`, behind which nothing comes."""
        before = len(self.events)
        while not self.is_done:
            await self.next()
        assert [line async for line in self._lines if line] == []
        return self.events[before:]

    async def until_comments(self, count: int) -> None:
        """Until that many comments have come and nothing else."""
        async for line in self._lines:
            assert not line or line.startswith(":"), line
            self.comments += line.startswith(":")
            if self.comments >= count:
                return

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(said_by(event) for event in self.events)


def said_by(event: Json) -> str:
    said: str = event["choices"][0]["delta"].get("content") or "" if "choices" in event else ""
    return said


@asynccontextmanager
async def streaming(team: Team, job_id: str | None, group: str = "ok", **more: Any) -> AsyncIterator[Sse]:
    """A stream in that job, or in one of its own. Leaving the block closes the connection, at whatever piece."""
    path = f"/api/jobs/{job_id}/llm-call-stream" if job_id else "/api/jobs/create-and-call-stream"
    body = call_body(group, **more) if job_id else {"job_type": "test", **call_body(group, **more)}
    async with team.http.stream("POST", path, json=body) as response:
        if response.status_code != 200:
            await response.aread()
        yield Sse(response)


async def only_call(team: Team, job_id: str) -> Json:
    """The one call of a job, as its costs list it."""
    (call,) = (await team.costs(job_id))["breakdown"]
    found: Json = call
    return found
