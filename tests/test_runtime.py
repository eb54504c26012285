"""A server whose background task dies: it stops with an error, and its calls are recorded."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from control_plane.administration.values import NewTeam
from control_plane.calls.requests import CallRequest
from control_plane.chat import ChatRequest
from control_plane.ids import JobId, TeamId
from control_plane.jobs.values import NewJob
from control_plane.runtime import open_services
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from tests.support.provider import Provider
from tests.support.server import config_for, settings_for, write_config
from tests.support.services import ADMIN


async def stream_while_a_task_dies(settings: Settings, postgres_url: str) -> None:
    """A stream of a worker whose next heartbeat fails for good."""
    principal = Principal(team_id=TeamId("acme"))
    async with open_services(settings) as services:
        await services.administration.create_team(ADMIN, NewTeam(TeamId("acme"), credits_allocated=10))
        job = await services.jobs.create(principal, NewJob("test"))
        order = CallRequest(ChatRequest([{"role": "user", "content": "Hello"}]), "hold")
        stream = await services.calls.stream(principal, JobId(job.id), order)
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            await connection.execute("DROP TABLE workers")
        try:
            await asyncio.Event().wait()
        finally:
            await stream.abandon("drained")


async def test_when_a_background_task_dies_running_calls_are_recorded_and_the_services_close(
    postgres_url: str, provider: Provider, tmp_path: Path
) -> None:
    settings = settings_for(postgres_url, write_config(tmp_path, config_for(provider)))
    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        await stream_while_a_task_dies(settings, postgres_url)
    db = Database(postgres_url)
    try:
        async with db.reader() as reader:
            rows = await reader.execute(text("SELECT status, error_code FROM calls"))
            assert [tuple(row) for row in rows] == [("cancelled", "drained")]
    finally:
        await db.aclose()
