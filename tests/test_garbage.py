"""What large requests leave behind is collected by its bytes: a server under pictures would need a gigabyte otherwise."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from control_plane.garbage import COLLECT_BYTES
from tests.support.patience import PATIENCE_S
from tests.support.server import Server, Team


class Circle:
    """What refers to itself, as the objects of a call do."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def seldom() -> Iterator[None]:
    """Python's own collections are as rare as in a server of few and large requests."""
    before = gc.get_threshold()
    gc.set_threshold(10**9)
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_large_bodies_make_the_collector_come(server: Server, team: Team, seldom: None) -> None:
    collected = asyncio.Event()
    weakref.finalize(Circle(), collected.set)
    body = {"job_type": "test", "metadata": {"picture": "x" * (server.services.settings.max_body_bytes - 1000)}}
    sent = 0
    while sent < COLLECT_BYTES:
        assert not collected.is_set(), "collections cost time: not at every request"
        answer = await team.http.post("/api/jobs/create", json=body)
        assert answer.status_code < 500
        sent += server.services.settings.max_body_bytes
    async with asyncio.timeout(PATIENCE_S):
        await collected.wait()
