"""`serve --workers N`: one address, several processes."""

import json
import os
import signal
from pathlib import Path

import httpx

from tests.acceptance.processes.process import run_arguments, started
from tests.calls.sse import streaming
from tests.support.provider import Provider
from tests.support.redis_server import free_port
from tests.support.server import MASTER_KEY, TLS, config_for, write_config


async def test_workers_share_an_address_and_one_that_dies_is_replaced(
    provider: Provider, tmp_path: Path, postgres_url: str
) -> None:
    config = write_config(tmp_path, config_for(provider))
    port = free_port()
    settings = {"database_url": postgres_url, "config": config, "master_key": MASTER_KEY, "port": port}
    async with started("serve", tmp_path, "--workers", "2", **settings) as process:
        process.url = f"http://127.0.0.1:{port}"
        ports = {json.loads(await process.until_said('"listening"', nth))["port"] for nth in range(2)}
        assert ports == {port + 1, port + 2}
        async with process.team() as team, httpx.AsyncClient(verify=TLS) as http:
            assert (await http.get(f"{process.url}/metrics")).status_code == 421
            for own in ports:
                assert "control_plane_calls" in (await http.get(f"http://127.0.0.1:{own}/metrics")).text

            job_id = await team.create_job()
            async with streaming(team, job_id, "slow") as stream:
                await stream.next()
                [other] = [pid for pid in workers_of(process.running.pid) if not serves(pid, stream.response)]
                os.kill(other, signal.SIGKILL)
                await stream.rest()
            await process.until_said('"listening"', 2)
            assert len(workers_of(process.running.pid)) == 2

            async with streaming(team, job_id, "slow") as stream:
                await stream.next()
                process.send(signal.SIGTERM)
                await stream.rest()
        assert await process.ended() == 0, process.log.read_text()[-3000:]


async def test_workers_on_sqlite_are_refused_with_the_reason(tmp_path: Path, sqlite_url: str) -> None:
    ran = await run_arguments(["serve", "--workers", "2"], tmp_path, database_url=sqlite_url)
    assert ran.code == 1
    assert "an SQLite database belongs to one process; use Postgres" in ran.output


def workers_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def serves(pid: int, response: httpx.Response) -> bool:
    """Whether this process has the other end of the response's connection."""
    _, client_port = response.extensions["network_stream"].get_extra_info("client_addr")
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(line[9] for line in lines if int(line[2].rpartition(":")[2], 16) == client_port)
    files = Path(f"/proc/{pid}/fd").iterdir()
    return any(str(file.readlink()) == f"socket:[{inode}]" for file in files)
