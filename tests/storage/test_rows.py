"""Models are loaded from rows, also in a process that makes none."""

import asyncio
import sys

import pytest


@pytest.mark.slow
async def test_a_process_that_only_reads_can() -> None:
    program = (
        "import sqlalchemy; from control_plane.jobs.models import JobDay; from control_plane.storage.rows import many; "
        "engine = sqlalchemy.create_engine('sqlite://'); "
        "result = engine.connect().execute(sqlalchemy.text(\"SELECT 'acme' AS team_id, 3 AS jobs\")); "
        "print([(day.team_id, day.jobs) for day in many(JobDay, result)])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert said.decode().strip() == "[('acme', 3)]"
