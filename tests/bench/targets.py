"""The servers under test, and how each is asked for a call: the bare router, and ourselves with billing."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tests.bench.load import CallFailedError, Step, check_answer
from tests.bench.process import Server, free_port, run, running
from tests.bench.scenarios import CALL, GROUP, GROUPS, MODEL, MODELS, TEAM, Kind
from tests.bench.wire import Connection, Reply, post

MASTER_KEY = "sk-master-of-the-benchmark"
PLENTY = 1_000_000_000
CREDITS = 10_000_000


class Target(Protocol):
    """A server that answers the scenarios."""

    name: str
    server: Server
    database_pid: int | None

    def can(self, kind: Kind) -> bool:
        """Whether this target knows such calls."""

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """One ready-made call per connection."""

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """What each connection repeats."""

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """After a cell with so many calls per connection. Raises: CallFailedError when the server counted differently."""


def _asking(request: bytes, kind: Kind) -> Step:
    async def step(connection: Connection) -> Reply:
        return check_answer(await connection.call(request), is_stream=kind is not Kind.BUFFERED)

    return step


@dataclass(slots=True)
class BareRouter:
    """`litellm.Router`, or nothing, behind a minimal route."""

    name: str
    server: Server
    database_pid: int | None = None

    def can(self, kind: Kind) -> bool:
        """Has no jobs."""
        return kind is not Kind.JOB

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """`stream_options` as everyone who needs token counts sends them, and as we do."""
        if kind is Kind.BUFFERED:
            return [post("/call", {"model": MODEL, **CALL})] * connections
        model = MODELS.get(kind, MODEL)
        return [post("/stream", {"model": model, "stream_options": {"include_usage": True}, **CALL})] * connections

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One request, again and again."""
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Counts nothing."""


@dataclass(slots=True)
class Proxy:
    """LiteLLM's own proxy, without a database: it bills nobody."""

    name: str
    server: Server
    database_pid: int | None = None

    def can(self, kind: Kind) -> bool:
        """Has no jobs."""
        return kind in {Kind.BUFFERED, Kind.STREAM}

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """As OpenAI's SDK asks."""
        more = {"stream": True, "stream_options": {"include_usage": True}} if kind is Kind.STREAM else {}
        return [post("/v1/chat/completions", {"model": MODEL, **CALL, **more}, key=MASTER_KEY)] * connections

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One request, again and again."""
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Counts nothing."""


@dataclass(slots=True)
class ControlPlane:
    """Our full path: key, permission, limits, job, durable call record, bill."""

    name: str
    server: Server
    key: str
    database_pid: int | None = None
    jobs: list[str] | None = None

    def can(self, kind: Kind) -> bool:
        """Everything."""
        return kind in Kind

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """A fresh job per connection, so that no row is hotter than in real use."""
        self.jobs = [await self._create_job() for _ in range(connections)]
        route = "llm-call" if kind is Kind.BUFFERED else "llm-call-stream"
        group = GROUPS.get(kind, GROUP)
        return [post(f"/api/jobs/{job}/{route}", {"model_group": group, **CALL}, key=self.key) for job in self.jobs]

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One call of the connection's job, or a whole job."""
        if kind is Kind.JOB:
            return [self._whole_job] * connections
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Completes the jobs and compares the bills with what was answered."""
        if kind is Kind.JOB or self.jobs is None:
            return
        connection = await Connection.open(self.server.port)
        for job, count in zip(self.jobs, calls, strict=True):
            _check_bill(await connection.call(self.completion(job)), calls=count)
        connection.close()
        self.jobs = None

    async def _create_job(self) -> str:
        connection = await Connection.open(self.server.port)
        try:
            return _job_id(await connection.call(self.creation()))
        finally:
            connection.close()

    def creation(self) -> bytes:
        """The request for a job."""
        return post("/api/jobs/create", {"team_id": TEAM, "job_type": "benchmark"}, key=self.key)

    def completion(self, job: str) -> bytes:
        """The request that completes one."""
        return post(f"/api/jobs/{job}/complete", {"status": "completed"}, key=self.key)

    async def _whole_job(self, connection: Connection) -> Reply:
        created = await connection.call(self.creation())
        job = _job_id(created)
        request = post(f"/api/jobs/{job}/llm-call", {"model_group": GROUP, **CALL}, key=self.key)
        answered = check_answer(await connection.call(request), is_stream=False)
        completed = _check_bill(await connection.call(self.completion(job)), calls=1)
        return replace(answered, started_at=created.started_at, done_at=completed.done_at)


def _job_id(reply: Reply) -> str:
    if reply.status not in {200, 201}:
        raise CallFailedError(f"no job was created: {reply.status} {reply.body[:500]!r}")
    return str(reply.json()["job_id"])


def _check_bill(reply: Reply, *, calls: int) -> Reply:
    costs = reply.json().get("costs", {}) if reply.status == 200 else {}
    charged = (costs.get("successful_calls"), costs.get("failed_calls"), costs.get("credits_charged"))
    if charged != (calls, 0, 1 if calls else 0):
        raise CallFailedError(f"{calls} answered calls were billed otherwise: {reply.status} {reply.body[:500]!r}")
    return reply


def plain_server(folder: Path, config: Path, name: str) -> AbstractAsyncContextManager[Server]:
    """Starts a server without jobs: `bare`, the yardstick, or `passthrough`, the floor."""
    port = free_port()
    arguments = ["-m", f"tests.bench.{name}", "--port", str(port), "--config", str(config)]
    return running(arguments, port=port, log=folder / f"{name}.log", ready="/ready")


def litellms_proxy(folder: Path, config: Path, program: Path) -> AbstractAsyncContextManager[Server]:
    """Starts LiteLLM's proxy, one worker, with the same `model_list`."""
    port = free_port()
    file = folder / "proxy.yaml"
    models = json.loads(config.read_text())["model_list"]
    file.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": MASTER_KEY}}))
    arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    log, ready = folder / "proxy.log", "/health/liveliness"
    return running(arguments, port=port, log=log, ready=ready, program=str(program), env={"LITELLM_LOG": "ERROR"})


async def control_plane(
    folder: Path, config: Path, name: str, database_url: str, *, lane: str = "auto", tree: Path | None = None
) -> AbstractAsyncContextManager[Server]:
    """Migrates the database and starts us on it. `tree`: another checkout, which is measured instead of this one."""
    port = free_port()
    env: Mapping[str, str] = {
        "CONTROL_PLANE_DATABASE_URL": database_url,
        "CONTROL_PLANE_CONFIG": str(config),
        "CONTROL_PLANE_LANE": lane,
        "CONTROL_PLANE_MASTER_KEY": MASTER_KEY,
        "CONTROL_PLANE_HOST": "127.0.0.1",
        "CONTROL_PLANE_PORT": str(port),
    }
    await run(["-m", "control_plane.cli", "migrate"], env=env, tree=tree)
    log, ready = folder / f"{name}.log", "/health/ready"
    return running(["-m", "control_plane.cli", "serve"], port=port, log=log, ready=ready, env=env, tree=tree)


async def create_team(server: Server) -> str:
    """A team with plenty of everything. Returns its virtual key. Raises: CallFailedError."""
    team: dict[str, Any] = {
        "team_id": TEAM,
        "model_groups": [GROUP, *GROUPS.values()],
        "credits_allocated": CREDITS,
        "rpm": PLENTY,
        "tpm": PLENTY,
        "jobs_per_minute": PLENTY,
    }
    connection = await Connection.open(server.port)
    try:
        reply = await connection.call(post("/api/teams/create", team, key=MASTER_KEY))
    finally:
        connection.close()
    if reply.status not in {200, 201}:
        raise CallFailedError(f"no team was created: {reply.status} {reply.body[:500]!r}")
    return str(reply.json()["virtual_key"])
