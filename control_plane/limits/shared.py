"""The limits as all processes count them together, in Redis: one script, one round trip. The twin of `process.py`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from redis.exceptions import NoScriptError

from control_plane.ids import new_id
from control_plane.limits.minute import Report
from control_plane.limits.process import monotonic_ms
from control_plane.limits.rules import (
    PARALLEL_RETRY_MS,
    TICK_MS,
    TICKS,
    Acquired,
    Exceeded,
    Kind,
    LimitScope,
    WindowUse,
    charged_tokens,
)
from control_plane.storage.redis import RedisUnavailable, redis_at, within

PREFIX = "control-plane:limits:"
ANSWER_S = 2.0
"""No call waits longer for Redis, whose answer takes a fifth of a millisecond. Longer than a busy machine is ever late:
whoever takes a slow Redis for a lost one gives its share on top of what the others give through it."""

LEASE_MS = 30_000
"""How long a place among the calls at once outlives the process that took it."""

RENEW_S = 10.0

_MEMORY_LOST, _TOO_LATE = -1, -2
_NEW = -1
_REPORTED = f"{PREFIX}told"

_KINDS = (Kind.REQUESTS, Kind.TOKENS, Kind.PARALLEL_CALLS)
_FOLDER = Path(__file__).parent


class MemoryLost(RedisUnavailable):
    """Redis answers, and lacks what this process counted there: it was flushed, or started without its memory."""


class SharedLimits:
    """Counts in Redis. Every method raises RedisUnavailable: at once when nobody is there, after `answer_s` when nobody answers.

    Redis keeps when each process was last in touch. If it loses its memory, it loses this, too, or has an older time: then
    no process counts there before it has reported what it used. An append-only file may lose the last second unnoticed.
    """

    def __init__(self, url: str, *, clock_ms: Callable[[], int] | None = None, answer_s: float = ANSWER_S) -> None:
        """`clock_ms`: for tests; without one, the time is Redis's."""
        self._clock_ms = clock_ms
        self._answer_s = answer_s
        self._answer_ms = int(answer_s * 1000)
        self._redis = redis_at(url, answer_s=answer_s)
        self._take = self._redis.register_script((_FOLDER / "take.lua").read_text())
        self._settle = self._redis.register_script((_FOLDER / "settle.lua").read_text())
        self._report = self._redis.register_script((_FOLDER / "report.lua").read_text())
        self._heartbeat = self._redis.register_script((_FOLDER / "heartbeat.lua").read_text())
        self._process = str(new_id())
        self._seen_ms = _NEW
        self._ahead_ms: tuple[int, int] | None = None  # Redis' clock: at least and at most

    @property
    def tick_offset(self) -> int:
        """From a tick of this process to the one of Redis. Rather later than earlier, so that use counts long enough."""
        _, most = self._ahead_ms or (0, 0)
        return -(-most // TICK_MS)

    async def take(self, scopes: Sequence[LimitScope], call: str, tokens: int) -> Acquired | Exceeded:
        """Takes a request, these tokens and a place among the calls at once from every scope, or nothing from any."""
        now_ms, sent_ms = self._clock_ms() if self._clock_ms else 0, monotonic_ms()
        # What a frozen Redis executes afterwards must not count: those calls have gone on without it.
        until_ms = 0 if now_ms or self._ahead_ms is None else sent_ms + self._ahead_ms[0] + self._answer_ms
        arguments: list[str | int] = [now_ms, TICK_MS, TICKS, call, LEASE_MS, PARALLEL_RETRY_MS]
        arguments += [self._process, self._seen_ms, until_ms]
        for scope in scopes:
            arguments += [_limit(scope.requests), _limit(scope.tokens), _limit(scope.parallel)]
            arguments.append(charged_tokens(scope, tokens))
        async with within(self._answer_s):
            lacking, *answer = await self._take(keys=[_REPORTED, *_keys(scopes)], args=arguments)
        if lacking == _MEMORY_LOST:
            raise MemoryLost("it has lost its memory")
        if lacking == _TOO_LATE:
            raise RedisUnavailable("its clock was changed")
        kind, wait_ms, tick, seen_ms, *values = answer
        if self._seen_ms == _NEW:
            self._seen_ms = seen_ms
            self._see_clock(tick * TICK_MS, (tick + 1) * TICK_MS, sent_ms)
        uses = [WindowUse(*values[at : at + 4]) for at in range(0, len(values), 4)]
        return (
            Exceeded(lacking - 1, _KINDS[kind - 1], wait_ms, uses, tick)
            if lacking
            else Acquired(scopes, call, tokens, tick, uses)
        )

    async def settle(self, ended: Sequence[tuple[Acquired, int | None]]) -> None:
        """These calls have ended: their places are free, and they count for the tokens they used; None: they were none.

        Raises: MemoryLost.
        """
        try:
            await self._settle_all(ended)
        except NoScriptError:  # Redis has been started anew
            async with within(self._answer_s):
                await self._redis.script_load(self._settle.script)
            try:
                await self._settle_all(ended)
            except NoScriptError as error:  # and again
                raise RedisUnavailable(type(error).__name__) from error

    async def _settle_all(self, ended: Sequence[tuple[Acquired, int | None]]) -> None:
        async with within(self._answer_s), self._redis.pipeline(transaction=False) as pipeline:
            for taken, used in ended:
                keys = [_REPORTED, *_keys(taken.scopes)]
                arguments: list[str | int] = [taken.call, taken.tick, 0 if used is None else 1]
                arguments += [self._process, self._seen_ms, *taken.corrections(used or 0)]
                pipeline.evalsha(self._settle.sha, len(keys), *keys, *arguments)
            arrived = await pipeline.execute()
        if not all(arrived):
            raise MemoryLost("it has lost its memory")

    async def renew(self, running: Iterable[tuple[str, Sequence[str]]]) -> None:
        """These calls of these scopes still run: they keep their places."""
        async with within(self._answer_s), self._redis.pipeline(transaction=False) as pipeline:
            until_ms = await self._now_ms() + LEASE_MS
            for scope, calls in running:
                pipeline.zadd(_running(scope), dict.fromkeys(calls, until_ms), xx=True)
                pipeline.pexpire(_running(scope), 2 * LEASE_MS)
            await pipeline.execute()

    async def begin_report(self) -> bool:
        """Before a process reports. False: Redis has lost its memory since they were last in touch.

        If it loses its memory from now on, `report` and `touch` raise MemoryLost.
        """
        before_ms, seen_ms, _ = await self._touch(begins=True)
        has_memory = before_ms >= 0 or self._seen_ms == _NEW
        self._seen_ms = seen_ms
        return has_memory

    async def report(self, reports: Sequence[Report]) -> None:
        """This was used without Redis, or before it lost its memory. Raises: MemoryLost."""
        if not reports:
            return
        keys = [[_REPORTED, *_scope_keys(report.name)] for report in reports]
        common: list[str | int] = [self._process, self._seen_ms, TICK_MS, TICKS, LEASE_MS]
        async with within(self._answer_s):
            await self._redis.script_load(self._report.script)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for report, names in zip(reports, keys, strict=True):
                    ticks = [value for _, *there in report.ticks for value in there]
                    arguments = [
                        *common,
                        len(report.ticks),
                        *ticks,
                        len(report.running),
                        *report.running,
                        *report.ended,
                    ]
                    pipeline.evalsha(self._report.sha, len(names), *names, *arguments)
                try:
                    arrived = await pipeline.execute()
                except NoScriptError:  # Redis has been started anew since the line above
                    arrived = [0]
        if not all(arrived):
            raise MemoryLost("it has lost its memory")

    async def touch(self, since_ms: int = 0) -> tuple[int, int]:
        """This process has reported everything: its time now, and how many others were in touch since. Raises: MemoryLost."""
        before_ms, seen_ms, others = await self._touch(since_ms=since_ms)
        if before_ms < 0 and self._seen_ms != _NEW:
            raise MemoryLost("it has lost its memory")
        self._seen_ms = max(self._seen_ms, seen_ms)
        return seen_ms, others

    async def _touch(self, *, begins: bool = False, since_ms: int = 0) -> tuple[int, int, int]:
        sent_ms = monotonic_ms()
        async with within(self._answer_s):
            arguments: list[str | int] = [self._process, self._seen_ms, int(begins), since_ms]
            before_ms, seen_ms, now_ms, others = await self._heartbeat(keys=[_REPORTED], args=arguments)
        self._see_clock(now_ms, now_ms, sent_ms)
        return before_ms, seen_ms, others

    def _see_clock(self, least_ms: int, most_ms: int, sent_ms: int) -> None:
        """Redis' clock was between these at some time since `sent_ms`. Narrows down how far it is ahead of this process'."""
        least, most = least_ms - monotonic_ms(), most_ms - sent_ms
        known, self._ahead_ms = self._ahead_ms, (least, most)
        if known is not None and (both := (max(known[0], least), min(known[1], most)))[0] <= both[1]:
            self._ahead_ms = both

    async def check(self) -> None:
        """Whether Redis answers, and takes what it is told: one without memory left, or a replica, does not."""
        async with within(self._answer_s):
            await self._redis.connection_pool.disconnect(inuse_connections=False)  # those to the one that went away
            await self._redis.set(f"{PREFIX}check", 1, px=1000)

    async def clock(self) -> datetime:
        """What time it is there."""
        async with within(self._answer_s):
            return datetime.fromtimestamp(await self._now_ms() / 1000, UTC)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _now_ms(self) -> int:
        if self._clock_ms:
            return self._clock_ms()
        seconds, microseconds = await self._redis.time()
        return seconds * 1000 + microseconds // 1000


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def _keys(scopes: Sequence[LimitScope]) -> list[str]:
    return [key for scope in scopes for key in _scope_keys(scope.name)]


def _scope_keys(name: str) -> list[str]:
    return [f"{PREFIX}used:{name}", f"{PREFIX}ticks:{name}", _running(name)]


def _running(name: str) -> str:
    return f"{PREFIX}running:{name}"
