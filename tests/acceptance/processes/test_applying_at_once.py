"""`config apply` beside others who change the file: two commands, or somebody with an editor."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control_plane.cli import rollout
from control_plane.cli.rollout import Busy, Change, ChangedMeanwhile, locked, put_in_force
from control_plane.cli.servers import Rollout, Servers
from control_plane.model_groups.config import generation_of
from tests.support.awkward_server import answer, serving

OLD, GOOD, BAD, THEIRS = b"old: 1", b"good: 1", b"bad: 1", b"theirs: 1"


@dataclass
class Replica:
    """Reads the file when it is asked to, and refuses a bad version. `reads`: awaited before."""

    file: Path
    url: str = ""
    generation: str = generation_of(OLD)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    require_team: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/reload"):
            self.is_asked.set()
            await self.require_team.wait()
            content = self.file.read_bytes()
            if content == BAD:
                writer.write(answer(b'{"detail": "It is bad."}', 422))
                return
            self.generation = generation_of(content)
            writer.write(answer(json.dumps({"generation": self.generation}).encode()))
            return
        replicas = [{"name": "a", "generation": self.generation}]
        body = {"model_groups": [], "configuration": {"replicas": replicas}}
        writer.write(answer(json.dumps(body).encode()))

    async def put(self, content: bytes, change: Change | None = None) -> Rollout:
        """As `config apply` does, from the reading of the file on."""
        begun: Callable[[], Rollout] = lambda: put_in_force(  # noqa: E731 - for a thread
            change or Change(self.file),
            content,
            Servers(self.url, "sk-x"),
            replicas=1,
            wait_s=0,
            generations=frozenset({self.generation}),
        )
        return await asyncio.to_thread(begun)


@asynccontextmanager
async def replica(folder: Path) -> AsyncIterator[Replica]:
    file = folder / "config.yaml"
    file.write_bytes(OLD)
    made = Replica(file)
    async with serving(made.answer) as (made.url, _):
        yield made


def previous(file: Path) -> bytes | None:
    backup = file.with_name(f"{file.name}.previous")
    return backup.read_bytes() if backup.exists() else None


async def test_who_loses_does_not_undo_who_wins(tmp_path: Path) -> None:
    async with replica(tmp_path) as server:
        second = Change(server.file)
        losing = asyncio.create_task(server.put(BAD))
        await server.is_asked.wait()
        winning = asyncio.create_task(server.put(GOOD, second))
        third = Change(server.file)  # it was compared with a version that never came in force
        server.require_team.set()
        lost, won = await losing, await winning
        assert (lost.is_good, "It is bad." in lost.sentence) == (False, True)
        assert (won.is_good, server.file.read_bytes(), previous(server.file)) == (True, GOOD, OLD), won
        with pytest.raises(ChangedMeanwhile):
            await server.put(OLD, third)
        assert (server.file.read_bytes(), previous(server.file)) == (GOOD, OLD)


async def test_what_somebody_else_wrote_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    async with replica(tmp_path) as server:
        losing = asyncio.create_task(server.put(GOOD))
        await server.is_asked.wait()
        server.file.write_bytes(THEIRS)
        server.require_team.set()
        lost = await losing
        assert (lost.is_good, "left unchanged" in lost.sentence) == (False, True)
        assert (server.file.read_bytes(), previous(server.file)) == (THEIRS, OLD)


async def test_only_a_version_that_was_in_force_is_kept_as_the_one_before(tmp_path: Path) -> None:
    async with replica(tmp_path) as server:
        server.require_team.set()
        assert (await server.put(GOOD)).is_good
        assert previous(server.file) == OLD
        # given one that is refused / then the one before stays the one before
        assert not (await server.put(BAD)).is_good
        assert (server.file.read_bytes(), previous(server.file)) == (GOOD, OLD)
        # given a file that was edited in its place and never reloaded / then it is put back, and never kept
        server.file.write_bytes(THEIRS)
        assert not (await server.put(BAD)).is_good
        assert (server.file.read_bytes(), previous(server.file)) == (THEIRS, OLD)
        server.file.write_bytes(BAD)
        assert (await server.put(GOOD)).is_good
        assert (server.file.read_bytes(), previous(server.file)) == (GOOD, OLD)


def test_another_that_does_not_end_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "LOCK_S", 0.0)
    file = tmp_path / "config.yaml"
    with locked(file), pytest.raises(Busy, match="Another command"), locked(file):
        pass
    with locked(file):
        file.write_bytes(OLD)
