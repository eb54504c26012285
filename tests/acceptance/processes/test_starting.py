"""Commands that cannot do what they were asked to say why in a sentence, and exit with 1."""

import asyncio
import re
import shlex
import signal
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from control_plane.storage.database import Database
from control_plane.storage.migrate import newer_schema
from tests.acceptance.processes.process import Run, run, started
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, config_for, serving, settings_for, write_config

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> Path:
    return write_config(tmp_path, config_for(provider))


def explained(ran: Run) -> str:
    """What a refused start says. It is for people: no traceback, no log line."""
    assert ran.code == 1
    assert "Traceback" not in ran.output
    assert ran.output.startswith("control-plane: "), ran.output
    return ran.output


async def test_a_database_without_its_tables(tmp_path: Path, config: Path) -> None:
    empty = f"sqlite:///{tmp_path}/new.db"
    ran = await run("serve", tmp_path, database_url=empty, config=config, master_key=MASTER_KEY)
    assert "run `control-plane migrate` first" in explained(ran)
    assert (await run("migrate", tmp_path, database_url=empty)).code == 0


async def test_a_second_server_on_the_same_sqlite_file(tmp_path: Path, config: Path, sqlite_url: str) -> None:
    """It would take the first one's running calls for lost."""
    async with serving(settings_for(sqlite_url, config)) as first:
        ran = await run("serve", tmp_path, database_url=sqlite_url, config=config, master_key=MASTER_KEY)
        assert "Another server already uses the SQLite database" in explained(ran)
        async with first.client() as client:
            assert (await client.get("/health/ready")).status_code == 200


async def test_a_port_that_is_taken(tmp_path: Path, config: Path, sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = {"database_url": sqlite_url, "config": config, "master_key": MASTER_KEY, "port": port}
        said = explained(await run("serve", tmp_path, **settings))
    assert f"port {port}: Address already in use" in said
    assert "CONTROL_PLANE_PORT" in said


async def test_a_wrong_configuration_is_told_with_every_mistake(tmp_path: Path, sqlite_url: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "model_list:\n"
        "  - model_name: gpt\n"
        "    litellm_params: {model: openai/gpt-4o, api_key: os.environ/NOT_SET_ANYWHERE}\n"
        "model_groups:\n"
        "  Agent: {models: [gtp], taems: []}\n"
    )
    said = explained(await run("serve", tmp_path, database_url=sqlite_url, config=wrong, master_key=MASTER_KEY))
    for mistake in ("wrong.yaml:3", "NOT_SET_ANYWHERE", "wrong.yaml:5", "'taems'", "did you mean 'teams'", "'gtp'"):
        assert mistake in said


async def test_an_address_of_redis_that_is_none(tmp_path: Path, config: Path, sqlite_url: str) -> None:
    settings = {"database_url": sqlite_url, "config": config, "master_key": MASTER_KEY}
    said = explained(await run("serve", tmp_path, redis_url="localhost:6379", **settings))
    assert "CONTROL_PLANE_REDIS_URL" in said


async def test_settings_that_are_none(tmp_path: Path) -> None:
    said = explained(await run("serve", tmp_path, port="many", log_level="LOUD"))
    assert "CONTROL_PLANE_PORT" in said
    assert "CONTROL_PLANE_LOG_LEVEL" in said


async def test_production_makes_up_no_master_key(tmp_path: Path, config: Path, sqlite_url: str) -> None:
    said = explained(await run("serve", tmp_path, database_url=sqlite_url, config=config, env="production"))
    assert "CONTROL_PLANE_MASTER_KEY is not set" in said
    assert not (tmp_path / "var" / "master_key").exists()


async def test_a_master_key_is_made_once_shown_once_and_kept_private(tmp_path: Path, config: Path) -> None:
    """The starts end early, at a database without tables: the key comes first."""
    settings = {"database_url": f"sqlite:///{tmp_path}/new.db", "config": config}
    first, second = await run("serve", tmp_path, **settings), await run("serve", tmp_path, **settings)
    file = tmp_path / "var" / "master_key"
    key = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.output.count(key) == 1
    assert key not in second.output


async def test_the_demo_shows_a_bill_and_a_curl_that_works(tmp_path: Path) -> None:
    """From an empty folder, as after a fresh clone; Ctrl-C ends it in order."""
    settings = {"config": ROOT / "litellm_config.yaml", "database_url": f"sqlite:///{tmp_path}/demo.db"}
    async with started("demo", tmp_path, **settings) as demo:
        await demo.until_said("Stop with Ctrl-C")
        assert "The bill of job" in demo.output
        assert "deduction" in demo.output
        *calls, together = re.findall(
            r"^│ .*│ +(\d+) │ +(\d+) │$", demo.output.partition("The ledger")[0], re.MULTILINE
        )
        assert len(calls) == 3
        assert together == tuple(str(sum(map(int, column))) for column in zip(*calls, strict=True))
        command = shlex.split(
            demo.output[demo.output.index("curl -N") :].replace("\\\n", " ").partition("All routes")[0]
        )
        url = command[2]
        headers = dict(command[position + 1].split(": ", 1) for position, word in enumerate(command) if word == "-H")
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.post(url, headers=headers, content=command[command.index("-d") + 1])
        assert answer.status_code == 200, answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"error"' not in answer.text
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0
    assert "Stopped." in demo.output
    assert "Traceback" not in demo.output


async def test_a_server_that_is_stopped_while_it_is_imported_ends_in_order(
    tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    settings = {"database_url": sqlite_url, "config": config, "master_key": MASTER_KEY}
    async with started("serve", tmp_path, **settings) as process:
        await until(lambda: catches(process.running.pid, signal.SIGINT))
        process.send(signal.SIGINT)
        assert await process.ended() == 0
    assert process.output == ""


async def test_a_server_that_is_stopped_while_it_opens_ends_in_order(
    tmp_path: Path, config: Path, sqlite_url: str
) -> None:
    settings = {"database_url": sqlite_url, "config": config, "master_key": MASTER_KEY}
    async with started("serve", tmp_path, **settings) as process:
        await until(Path(f"{sqlite_url.removeprefix('sqlite:///')}.lock").exists)
        process.send(signal.SIGTERM)
        assert await process.ended(within_s=60) == 0, process.output
    assert process.output == ""


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not claim():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal; Python has one for Ctrl-C before it runs any code of ours."""
    [caught] = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    wanted = {number, signal.SIGTERM}
    return all(int(caught, 16) >> (each - 1) & 1 for each in wanted)


async def test_migrating_the_database_of_a_newer_release_says_so_and_changes_nothing(
    tmp_path: Path, sqlite_url: str
) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    said = explained(await run("migrate", tmp_path, database_url=sqlite_url))
    assert "schema 9999 of a newer release" in said
    db = Database(sqlite_url)
    assert await newer_schema(db) == "9999"
    await db.aclose()


async def test_ctrl_c_while_a_command_loads_is_no_traceback() -> None:
    """What a command needs is imported behind the handlers, whichever command it is."""
    program = (
        "import os, signal, sys; sys.argv = ['control-plane', 'jobs', '--help']; import control_plane.cli.main as cli; "
        "cli.import_module = lambda _name: os.kill(os.getpid(), signal.SIGINT); "
        "from control_plane.cli.start import main; main()"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=pipe, stderr=pipe)
    assert await process.communicate() == (b"", b"")
    assert process.returncode == 130
