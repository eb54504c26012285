"""Server processes: starting, waiting until they answer, and what they and their children use, read from /proc."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.load.bench.wire import Connection, get

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
FORKED_NO_EXEC = 0x40
"""A process that runs its parent's program: PF_FORKNOEXEC of Linux' sched.h."""
START_S = 60
STOP_S = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running(
    arguments: Sequence[str],
    *,
    port: int,
    log: Path,
    ready: str | None = None,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    program: str = sys.executable,
    tree: Path | None = None,
) -> AsyncIterator[Server]:
    """A process (Python, if not said otherwise), from its first answer on `port` until the block is left.

    `tree`: the checkout it runs from. `ready`: the path that has to answer 200; without one, accepting a connection is enough.
    `workers`: more than one have a port each, the next ones, and are all waited for.
    Raises: RuntimeError with the end of its log when it does not start.
    """
    ports = [port, *(port + number for number in range(1, workers + 1) if workers > 1)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=output, stderr=output, env=environment(env), cwd=tree
        )
    try:
        if not await _becomes_ready(process, ports, ready):
            raise RuntimeError(f"{' '.join(arguments)} did not start:\n{await asyncio.to_thread(_end_of, log)}")
        yield Server(process.pid, port)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def run(arguments: Sequence[str], *, env: Mapping[str, str], tree: Path | None = None) -> None:
    """Runs a Python process to its end. `tree`: the checkout it runs from. Raises: RuntimeError with its output when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(env),
        cwd=tree,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{output.decode()[-2000:]}")


def environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without settings of a control plane that the shell may hold, and with LiteLLM kept off the network."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONTROL_PLANE_")}
    return {**inherited, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **(extra or {})}


async def _becomes_ready(process: asyncio.subprocess.Process, ports: Sequence[int], ready: str | None) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                if all([await _is_ready(port, ready) for port in ports]):
                    return True
                await asyncio.sleep(0.1)
    return False


def _end_of(log: Path) -> str:
    return log.read_text()[-2000:]


async def _is_ready(port: int, ready: str | None) -> bool:
    try:
        connection = await Connection.open(port)
        try:
            return ready is None or (await connection.call(get(ready))).status == 200
        finally:
            connection.close()
    except OSError:
        return False


def cpu_s(root: int) -> float:
    """User and system seconds that a process and all its descendants have used; those that ended count too."""
    table = _stats()
    return sum(sum(map(int, table[pid][11:15])) for pid in _tree(root, table)) / TICKS_PER_S


def rss_kb(root: int) -> int:
    """Resident memory of a process and all its descendants.

    A process that runs its parent's program, as every child does between fork and exec, has its parent's pages: only those
    that are its own by now are added. A server that starts a child would be twice as large for a moment otherwise.
    """
    table = _stats()
    return sum(
        _private_kb(pid) if pid != root and int(table[pid][6]) & FORKED_NO_EXEC else int(table[pid][21]) * PAGE_KB
        for pid in _tree(root, table)
    )


def _private_kb(pid: int) -> int:
    """Pages that a process shares with no other; none of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def pss_kb(root: int) -> int:
    """Memory of a process and all its descendants, where pages they share count once."""
    return sum(_pss_kb(pid) for pid in _tree(root, _stats()))


def processes(root: int) -> int:
    """How many they are: a process and all its descendants."""
    return len(_tree(root, _stats()))


def _pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _stats() -> dict[int, list[str]]:
    """`/proc/<pid>/stat` of every process, split behind the name: parent at 1, flags at 6, times at 11–14, pages at 21."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                table[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
    return table


def _tree(root: int, table: Mapping[int, Sequence[str]]) -> set[int]:
    tree = {root}
    while grown := {pid for pid, stat in table.items() if int(stat[1]) in tree} - tree:
        tree |= grown
    return tree
