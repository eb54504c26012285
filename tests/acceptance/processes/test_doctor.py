"""`control-plane doctor`: every fault that keeps a machine from serving is said before it is deployed to."""

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from control_plane.cli.doctor import examine
from tests.acceptance.processes.process import run, run_arguments
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, config_for, serving, settings_for, write_config


async def test_a_machine_in_order_is_called_so_before_and_while_it_serves(
    provider: Provider, tmp_path: Path, postgres_url: str
) -> None:
    config = write_config(tmp_path, config_for(provider))
    known = {"database_url": postgres_url, "config": config, "master_key": MASTER_KEY}
    async with serving(settings_for(postgres_url, config)) as running:
        port = int(running.url.rpartition(":")[2])
        free, taken = await asyncio.gather(*(run("doctor", tmp_path, **known, port=number) for number in (0, port)))
    for looked in (free, taken):
        assert looked.code == 0, looked.output
        assert "wrong" not in looked.output
        assert "clock         that of the database is the same" in looked.output
    assert f"127.0.0.1:{port} is where this service runs" in taken.output


async def test_a_clock_that_differs_from_the_databases_by_a_minute_is_wrong(tmp_path: Path, postgres_url: str) -> None:
    """A server there would do no periodic tasks."""
    body = "$$SELECT pg_catalog.clock_timestamp() + interval '1 minute'$$"
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as database:
        await database.execute(f"CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS {body}")
        await database.execute(f"ALTER DATABASE {make_url(postgres_url).database} SET search_path = public, pg_catalog")
    found = [each async for each in examine(settings_for(postgres_url, tmp_path / "nowhere.yaml"), {})]
    [clock] = [each for each in found if each.about == "clock"]
    assert clock.level == "wrong"
    assert "s ahead of this host's; synchronize both with NTP" in clock.says


async def test_every_fault_is_named_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        strangers = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = strangers.sockets[0].getsockname()[1]
        looked = await run_arguments(
            ["doctor"],
            tmp_path,
            prot=1,
            env="production",
            config="nowhere.yaml",
            database_url="postgresql://u:a-secret@127.0.0.1:1/x",
            redis_url="redis://:a-secret@127.0.0.1:1/0",
            port=port,
        )
        strangers.close()
    assert looked.code == 1
    wrong = [line.split()[1] for line in looked.output.splitlines() if line.startswith("wrong")]
    assert wrong == ["settings", "master", "model", "database", "redis", "address"]
    assert "did you mean 'CONTROL_PLANE_PORT'?" in looked.output
    assert "a-secret" not in looked.output
    assert "Traceback" not in looked.output


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """A database or a key made by a look would be taken for the real one."""
    looked = asyncio.run(run("doctor", tmp_path, database_url=f"sqlite:///{tmp_path}/new/it.db", config="nowhere.yaml"))
    assert "is not there yet: control-plane migrate" in looked.output
    assert list(tmp_path.iterdir()) == []


async def test_an_address_that_is_none_is_explained_and_small_letters_are_read(tmp_path: Path) -> None:
    malformed = {"redis_url": "localhost:6379", "otlp_endpoint": "collector", "proxy_url": "http://:x"}
    looked = await run_arguments(["doctor"], tmp_path, **malformed, proxy_database_url="secret-host:5432")
    assert looked.code == 1
    assert looked.output.count("must be an address such as") == 4
    assert "Traceback" not in looked.output
    assert "secret-host" not in looked.output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("control_plane_log_level", "DEBUG")
        looked = await run_arguments(["doctor", "--json"], tmp_path, config="nowhere.yaml")
    report = json.loads(looked.output)
    assert (looked.code, report["ok"]) == (1, False)
    [setting] = [each for each in report["findings"] if each["about"] == "settings"]
    assert setting["level"] == "warning"
    assert "control_plane_log_level is read as CONTROL_PLANE_LOG_LEVEL" in setting["message"]
