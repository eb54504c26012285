"""The servers under test, and how each is asked for a call: the bare router, and ourselves with billing."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.load.bench import api
from tests.load.bench.load import Cell, Step, check_answer, drive
from tests.load.bench.many_teams import ManyTeams
from tests.load.bench.process import Server, free_port, run, running
from tests.load.bench.scenarios import CALL, GROUP, GROUPS, MODEL, MODELS, STREAMED, Kind, Scenario
from tests.load.bench.wire import Connection, Reply, post


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

    async def finish(self) -> None:
        """After the last cell. Raises: CallFailedError as `close`."""


def _asking(request: bytes, kind: Kind) -> Step:
    async def step(connection: Connection) -> Reply:
        return check_answer(await connection.call(request), is_stream=kind in STREAMED)

    return step


@dataclass(slots=True)
class BareRouter:
    """`litellm.Router`, or nothing, behind a minimal route."""

    name: str
    server: Server
    database_pid: int | None = None

    def can(self, kind: Kind) -> bool:
        """Has no jobs, no keys and no teams."""
        return kind not in {Kind.JOB, Kind.MANY_TEAMS}

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """`stream_options` as everyone who needs token counts sends them, and as we do."""
        model = MODELS.get(kind, MODEL)
        if kind not in STREAMED:
            return [post("/call", {"model": model, **CALL})] * connections
        return [post("/stream", {"model": model, "stream_options": {"include_usage": True}, **CALL})] * connections

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One request, again and again."""
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Counts nothing."""

    async def finish(self) -> None:
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
        return [post("/v1/chat/completions", {"model": MODEL, **CALL, **more}, key=api.MASTER_KEY)] * connections

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One request, again and again."""
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Counts nothing."""

    async def finish(self) -> None:
        """Counts nothing."""


@dataclass(slots=True)
class ControlPlane:
    """Our full path: key, permission, limits, job, durable call record, bill."""

    name: str
    server: Server
    key: str
    database_pid: int | None = None
    many_teams: ManyTeams | None = None
    jobs: list[str] | None = None

    def can(self, kind: Kind) -> bool:
        """Everything, if the teams for it were made."""
        return kind is not Kind.MANY_TEAMS or self.many_teams is not None

    async def requests(self, kind: Kind, connections: int) -> list[bytes]:
        """A fresh job per connection, so that no row is hotter than in real use."""
        self.jobs = [await self._create_job() for _ in range(connections)]
        group, is_stream = GROUPS.get(kind, GROUP), kind in STREAMED
        return [api.call(job, self.key, group=group, is_stream=is_stream) for job in self.jobs]

    async def steps(self, kind: Kind, connections: int) -> list[Step]:
        """One call of the connection's job, or a whole job."""
        if kind is Kind.JOB:
            return [self._whole_job] * connections
        if kind is Kind.MANY_TEAMS and self.many_teams is not None:
            return await self.many_teams.steps(self.server, connections)
        return [_asking(request, kind) for request in await self.requests(kind, connections)]

    async def close(self, kind: Kind, calls: Sequence[int]) -> None:
        """Completes the jobs and compares the bills with what was answered."""
        if self.jobs is None:
            return
        connection = await Connection.open(self.server.port)
        for job, count in zip(self.jobs, calls, strict=True):
            api.check_bill(await connection.call(api.completion(job, self.key)), calls=count)
        connection.close()
        self.jobs = None

    async def _create_job(self) -> str:
        connection = await Connection.open(self.server.port)
        try:
            return api.job_id(await connection.call(api.creation(self.key)))
        finally:
            connection.close()

    async def finish(self) -> None:
        """Completes the jobs of many teams, as `close` those of one."""
        if self.many_teams is not None:
            await self.many_teams.finish(self.server)

    async def _whole_job(self, connection: Connection) -> Reply:
        return await api.whole_job(connection, self.key)


async def one_cell(target: Target, scenario: Scenario, seconds: float) -> Cell:
    """Runs one scenario on one target for a while and has the bills checked."""
    steps = await target.steps(scenario.kind, scenario.connections)
    cell = await drive(
        target.server, steps, seconds=seconds, pause_s=scenario.pause_s, database_pid=target.database_pid
    )
    await target.close(scenario.kind, cell.calls)
    return cell


def plain_server(folder: Path, config: Path, name: str) -> AbstractAsyncContextManager[Server]:
    """Starts a server without jobs: `bare`, the yardstick, or `passthrough`, the least that any can cost."""
    port = free_port()
    arguments = ["-m", f"tests.load.bench.{name}", "--port", str(port), "--config", str(config)]
    return running(arguments, port=port, log=folder / f"{name}.log", ready="/ready")


def litellms_proxy(folder: Path, config: Path, program: Path) -> AbstractAsyncContextManager[Server]:
    """Starts LiteLLM's proxy, one worker, with the same `model_list`."""
    port = free_port()
    file = folder / "proxy.yaml"
    models = json.loads(config.read_text())["model_list"]
    file.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": api.MASTER_KEY}}))
    arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    log, ready = folder / "proxy.log", "/health/liveliness"
    return running(arguments, port=port, log=log, ready=ready, program=str(program), env={"LITELLM_LOG": "ERROR"})


async def control_plane(
    folder: Path,
    config: Path,
    name: str,
    database_url: str,
    *,
    lane: str = "auto",
    workers: int = 1,
    tree: Path | None = None,
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> AbstractAsyncContextManager[Server]:
    """Migrates the database, has it prepared, and starts us on it. `tree`: another checkout, measured instead of this one."""
    port = free_port()
    env: Mapping[str, str] = {
        "CONTROL_PLANE_DATABASE_URL": database_url,
        "CONTROL_PLANE_CONFIG": str(config),
        "CONTROL_PLANE_LANE": lane,
        "CONTROL_PLANE_MASTER_KEY": api.MASTER_KEY,
        "CONTROL_PLANE_HOST": "127.0.0.1",
        "CONTROL_PLANE_PORT": str(port),
    }
    await run(["-m", "control_plane.cli", "migrate"], env=env, tree=tree)
    if prepare is not None:
        await prepare()
    log, ready = folder / f"{name}.log", "/health/ready"
    serve = ["-m", "control_plane.cli", "serve", *(["--workers", str(workers)] if workers > 1 else [])]
    return running(serve, port=port, log=log, ready=ready, env=env, tree=tree, workers=workers)
