"""Logs are for whoever reads them, and nobody waits until somebody does."""

import asyncio
import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from control_plane.log_queue import QueuedStream, UnqueuedStream
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate
from tests.acceptance.processes.process import START_S, STOP_S, environment
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import config_for, write_config

PIPE_BYTES = 4096
SET_PIPE_SIZE = 1031


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_server_whose_log_nobody_reads_goes_on_serving_and_ends(
    tmp_path: Path, provider: Provider, form: str
) -> None:
    """A full pipe stopped the whole server after 64 KB."""
    url = f"sqlite:///{tmp_path}/x.db"
    db = Database(url)
    await migrate(db)
    await db.aclose()
    settings = {"database_url": url, "config": write_config(tmp_path, config_for(provider)), "log_format": form}
    reading, writing = os.pipe()
    fcntl.fcntl(writing, SET_PIPE_SIZE, PIPE_BYTES)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control_plane.cli", "serve"),
        cwd=tmp_path,
        env=environment(tmp_path, master_key="sk-master-of-this-test", **settings),
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    said = ""
    try:
        async with asyncio.timeout(START_S):
            while not (listening := re.search(r"listening.*?port\"?[=:] ?(\d+)", said)):
                said += (await asyncio.to_thread(os.read, reading, PIPE_BYTES)).decode()
        # nobody reads from here on
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening[1]}", timeout=PATIENCE_S) as http:
            for _ in range(PIPE_BYTES // 40):
                assert (await http.get("/api/jobs/no-job")).status_code == 401
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(reading)


AWKWARD = {"deployment": "ok-1", "status": 0, "code": None, "where": 'a "b" = c', "lines": "x\ny", "empty": ""}
PROGRAM = f"""
import logging
from control_plane.logs import configure_logging
configure_logging("INFO", "FORM")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("control_plane.x").exception("provider_error", extra={AWKWARD!r})
logging.shutdown()
"""


def test_a_line_of_text_has_every_field_that_json_has() -> None:
    """`WARNING … provider_error` was the whole line, at night."""

    def logged(form: str) -> str:
        command = [sys.executable, "-c", PROGRAM.replace("FORM", form)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr

    line, *trace = logged("text").splitlines()
    fields = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line))
    told = {name: json.loads(value) if value.startswith('"') else value for name, value in fields.items()}
    whole = json.loads(logged("json"))
    assert {name: whole[name] for name in AWKWARD} == AWKWARD
    assert told == {name: str(value) for name, value in AWKWARD.items() if value is not None}
    assert " ERROR   control_plane.x provider_error " in line
    assert trace[-1] == "ZeroDivisionError: division by zero"


def test_what_does_not_fit_is_dropped_info_first_and_counted() -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, SET_PIPE_SIZE, PIPE_BYTES)
    handler = QueuedStream(os.fdopen(writing, "w"), most_lines=4)
    logger = logging.getLogger("queued")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    logger.info("x" * 4 * PIPE_BYTES)  # the thread hangs in this one
    with handler._changed:
        assert handler._changed.wait_for(lambda: handler._is_writing, 5)
    for number in range(4):
        logger.info("info %d", number)
    for number in range(5):
        logger.error("error %d", number)
    logger.info("too late")
    assert handler.dropped == {"INFO": 5, "ERROR": 1}
    rest = b""
    while not rest.endswith(b"error 3\n"):
        rest += os.read(reading, PIPE_BYTES)
    handler.close()
    assert rest.decode().split() == ["x" * 4 * PIPE_BYTES, *["error", "0", "error", "1", "error", "2", "error", "3"]]
    logger.error("behind the end")
    assert handler.dropped["ERROR"] == 2
    os.close(reading)


def test_a_process_without_a_thread_drops_what_does_not_fit_its_pipe() -> None:
    """The parent of the workers: a line that waits would keep a dead worker dead."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        fcntl.fcntl(writing, SET_PIPE_SIZE, PIPE_BYTES)
        handler = UnqueuedStream(stream)
        for number in range(3):
            handler.emit(logging.makeLogRecord({"msg": f"{number} " + "x" * PIPE_BYTES}))
        assert reader.read1().startswith(b"0 x")
        handler.emit(logging.makeLogRecord({"msg": "there is space again"}))
        assert reader.read1() == b"there is space again\n"
