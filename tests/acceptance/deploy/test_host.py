"""`make deploy TARGET=host`, run for real: two replicas under a supervisor, on a real Postgres and a real Redis."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.acceptance.processes.process import Run
from tests.calls.sse import streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.redis_server import free_port, running_redis
from tests.support.server import TLS, UNLIMITED, Team, config_for, write_config

ROOT = Path(__file__).parents[3]
STEP_S = 300


@dataclass
class Host:
    """A machine that is deployed to."""

    prefix: Path
    port: int
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def master_key(self) -> str:
        return (self.prefix / "secrets/master_key").read_text()

    async def run(self, target: str, **more: str) -> Run:
        """A make target, as ops type it."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("CONTROL_PLANE_")}
        words = [f"{name}={value}" for name, value in (self.settings | more).items()]
        process = await asyncio.create_subprocess_exec(
            *(
                "make",
                "--no-print-directory",
                target,
                "TARGET=host",
                f"PREFIX={self.prefix}",
                f"PORT={self.port}",
                *words,
            ),
            cwd=ROOT,
            env=known,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(STEP_S):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return Run(process.returncode, output.decode())

    async def succeeds(self, target: str, **more: str) -> str:
        ran = await self.run(target, **more)
        assert ran.code == 0, ran.output
        return ran.output

    @asynccontextmanager
    async def team(self, name: str) -> AsyncIterator[Team]:
        """A new team with plenty of credits."""
        master = {"Authorization": f"Bearer {self.master_key}"}
        async with httpx.AsyncClient(base_url=self.url, headers=master, timeout=PATIENCE_S, verify=TLS) as admin:
            made = await admin.post(
                "/api/teams/create", json={"team_id": name, "credits_allocated": 10**6, **UNLIMITED}
            )
            assert made.status_code == 200, made.text
            headers = {"Authorization": f"Bearer {made.json()['virtual_key']}"}
            async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, verify=TLS) as http:
                yield Team(name, made.json()["virtual_key"], http, admin)


@pytest.fixture
async def host(provider: Provider, tmp_path: Path, postgres_url: str) -> AsyncIterator[Host]:
    """The machine, before anything was deployed; stopped afterwards."""
    import pgserver  # noqa: PLC0415 - for its programs, which the tests' Postgres comes with

    config = config_for(provider)
    for group in config["model_groups"].values():
        group.setdefault("teams", ["*"])
    config["litellm_settings"]["cache"] = False  # every stream is to run while replicas are replaced
    settings = {
        "DATABASE_URL": postgres_url,
        "CONFIG": str(write_config(tmp_path, config)),
        "ENVIRONMENT": sys.prefix,
        "INIT": "supervisor",
        "PG_BIN": f"{Path(pgserver.__file__).parent / 'pginstall/bin'}/",
    }
    machine = Host(tmp_path / "host", free_port(), settings)
    async with running_redis(tmp_path) as redis:
        machine.settings["REDIS_URL"] = redis.url
        try:
            yield machine
        finally:
            await machine.run("deploy-down")


@pytest.mark.timeout(1200)  # minutes on a machine that does much else
async def test_a_deployment_from_the_first_day_to_the_restore(host: Host, postgres_url: str) -> None:
    """A redeployment under load loses no stream and no cent; a backup brings back what was wiped."""
    first = await host.succeeds("deploy")
    assert f"API       {host.url}" in first
    async with host.team("load") as team:
        redeployed = asyncio.Event()
        streams = 0

        async def customer() -> None:
            nonlocal streams
            while not redeployed.is_set():
                job_id = await team.create_job()
                async with streaming(team, job_id, "slow") as stream:
                    await stream.rest()
                streams += 1
                assert (await team.complete(job_id)).status_code == 200

        async with asyncio.TaskGroup() as customers:
            for _ in range(4):
                customers.create_task(customer())
            with (host.prefix / "settings.env").open("a") as more:
                more.write("CONTROL_PLANE_KEEP_ALIVE_S=14\n")
            again = await host.succeeds("deploy")
            redeployed.set()
        assert "unchanged" in again.partition("== Replica 1")[0]  # the YAML
        assert "unchanged" not in again.partition("== Replica 1")[2]
        books = await Books.of_closed_jobs(team, timeout_s=STEP_S)  # a slow deployment has many jobs
        books.check()
        assert len(books.jobs) == books.credits["credits_used"] == streams > 0

        assert "replica 2    ready" in await host.succeeds("deploy-status")
        await host.succeeds("backup", FILE=str(host.prefix / "today.dump"))
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as wiped:
            await wiped.execute("DROP SCHEMA public CASCADE")
            await wiped.execute("CREATE SCHEMA public")
        outage = await host.run("restore", FILE=str(host.prefix / "today.dump"))
        assert outage.code != 0
        assert "customers are refused" in outage.output, "it is said beforehand"
        assert "== Stop the replicas" not in outage.output
        restored = await host.succeeds("restore", FILE=str(host.prefix / "today.dump"), YES="1")
        assert "fit together" in restored
        assert await Books.of_closed_jobs(team) == books


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """They cannot run here, but a word that systemd does not know would be found."""
    known = os.environ | {"INIT": "systemd", "UNITS": str(tmp_path), "PREFIX": str(tmp_path)}
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/database_url").write_text("postgresql://localhost/x")
    writing = f"source {ROOT}/deploy/host/lib.sh && write_units"
    subprocess.run(["bash", "-c", writing], env=known, check=True)
    units = [
        str(tmp_path / "control-plane.socket"),
        str(shutil.copy(tmp_path / "control-plane@.service", tmp_path / "control-plane@1.service")),
    ]
    looked = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (looked.returncode, looked.stdout + looked.stderr) == (0, "")


@pytest.mark.timeout(1200)  # as above
async def test_what_cannot_serve_changes_nothing(host: Host, tmp_path: Path) -> None:
    """A version that does not get ready is taken back; mistakes are found before anything is touched."""
    await host.succeeds("deploy", REPLICAS="1")
    (broken := tmp_path / "broken/bin").mkdir(parents=True)
    program = broken / "control-plane"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = serve ] && exit 1\nexec {shutil.which("control-plane", path=Path(sys.prefix) / "bin")} "$@"\n'
    )
    program.chmod(0o755)
    (broken / "python").symlink_to(sys.executable)
    in_force = host.prefix / "config/litellm_config.yaml"
    before = in_force.read_text()
    (other := tmp_path / "other.yaml").write_text(f"{before}# another version\n")
    unready = await host.run("deploy", ENVIRONMENT=str(broken.parent), CONFIG=str(other))
    assert unready.code != 0
    assert 'Stopped at "Replica 1": it did not become ready.\nThe YAML is the one before again.' in unready.output
    assert "What ran before still runs." in unready.output
    assert in_force.read_text() == before

    async with host.team("acme-corp"):
        (lost := tmp_path / "lost.yaml").write_text(before.replace("teams:\n    - '*'", "teams: [other-*]"))
        taking = await host.run("deploy", CONFIG=str(lost))
        assert taking.code != 0
        assert "Model group ok is lost by the teams acme-corp, demo-smoke." in taking.output
        assert in_force.read_text() == before
    assert "unchanged" in await host.succeeds("deploy", KEEP="1", REPLICAS="1")
    assert len(list((host.prefix / "deployments").iterdir())) == 1, "what is not gone back to does not stay"

    (wrong := tmp_path / "wrong.yaml").write_text("model_groups: {A: {models: [nowhere]}}\n")
    mistaken = await host.run("deploy", CONFIG=str(wrong))
    assert mistaken.code != 0
    assert "wrong    model groups" in mistaken.output
    assert 'Stopped at "Preflight"' in mistaken.output
    status = await host.succeeds("deploy-status")
    assert "replica 1    ready" in status
    assert "replica 2" not in status  # every command after a deployment means its replicas
