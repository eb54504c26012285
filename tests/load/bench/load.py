"""Drives one server for a while with a number of connections, each asking again as soon as it is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from tests.load.bench.process import Server, cpu_s
from tests.load.bench.provider import WORD, WORDS
from tests.load.bench.wire import Connection, Reply

CELL_TIMEOUT_S = 30
SETTLE_S = 0.2  # callbacks and group commits of the last calls belong to the bill
OPENERS = 8  # streams opened at once; more would measure the rush, not the rest

Step = Callable[[Connection], Awaitable[Reply]]
"""What a connection does again and again; the reply spans all of it."""


class CallFailedError(Exception):
    """A call of the benchmark was not answered as it must be; figures with errors in them say nothing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one target did in one round of one scenario. `calls`: answered, per connection."""

    calls: list[int]
    seconds: float
    cpu_s: float
    database_cpu_s: float | None
    latencies_s: list[float]
    first_chunks_s: list[float]


async def drive(
    server: Server, steps: Sequence[Step], *, seconds: float, pause_s: float = 0, database_pid: int | None = None
) -> Cell:
    """Runs every step on its own connection until the time is over and the last answers are in.

    `pause_s`: each connection begins a step so often, they in turn; 0: as soon as the last has ended.
    Raises: CallFailedError for the first wrong, missing or late answer.
    """
    connections = [await Connection.open(server.port) for _ in steps]
    cpu_before = cpu_s(server.pid)
    database_before = cpu_s(database_pid) if database_pid else 0.0
    started_at = perf_counter()

    async def repeat(number: int, connection: Connection, step: Step) -> list[Reply]:
        replies: list[Reply] = []
        begins_at = started_at + pause_s * number / len(steps)
        while begins_at - started_at < seconds:
            await asyncio.sleep(max(0, begins_at - perf_counter()))
            replies.append(await step(connection))
            begins_at = max(begins_at + pause_s, perf_counter())
        return replies

    try:
        async with asyncio.timeout(CELL_TIMEOUT_S + seconds), asyncio.TaskGroup() as group:
            pairs = enumerate(zip(connections, steps, strict=True))
            tasks = [group.create_task(repeat(number, *pair)) for number, pair in pairs]
        await asyncio.sleep(SETTLE_S)
        cpu = cpu_s(server.pid) - cpu_before
        database_cpu = cpu_s(database_pid) - database_before if database_pid else None
    except ExceptionGroup as failed:
        raise CallFailedError(f"{len(steps)} connections: {failed.exceptions[0]}") from failed
    except TimeoutError:
        raise CallFailedError(f"{len(steps)} connections: no answer within {CELL_TIMEOUT_S} s") from None
    finally:
        for connection in connections:
            connection.close()
    replies = [reply for task in tasks for reply in task.result()]
    return Cell(
        calls=[len(task.result()) for task in tasks],
        seconds=max(reply.done_at for reply in replies) - started_at,
        cpu_s=cpu,
        database_cpu_s=database_cpu,
        latencies_s=[reply.done_at - reply.started_at for reply in replies],
        first_chunks_s=[reply.first_at - reply.started_at for reply in replies],
    )


async def hold_open(server: Server, requests: Sequence[bytes]) -> list[Connection]:
    """Opens a stream per request and leaves it when the provider has fallen silent."""
    gate = asyncio.Semaphore(OPENERS)

    async def hold(request: bytes) -> Connection:
        async with gate:
            connection = await Connection.open(server.port)
            reply = await connection.call(request, until=WORD.encode())
            if reply.status != 200:
                raise CallFailedError(f"an idle stream was refused: {reply.status} {reply.body[:500]!r}")
            return connection

    async with asyncio.timeout(CELL_TIMEOUT_S):
        return list(await asyncio.gather(*(hold(request) for request in requests)))


def check_answer(reply: Reply, *, is_stream: bool) -> Reply:
    """The reply, if it is a 200 with every word of the provider. Raises: CallFailedError."""
    words = reply.body.count(WORD.encode())
    is_ended = b"[DONE]" in reply.body and b'"error"' not in reply.body if is_stream else True
    if reply.status != 200 or words != WORDS or not is_ended:
        raise CallFailedError(f"{reply.status} with {words} of {WORDS} words: {reply.body[-500:]!r}")
    return reply
