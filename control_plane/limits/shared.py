"""The limits as all processes count them together, in Redis: one script, one round trip. The twin of `process.py`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from redis.exceptions import NoScriptError

from control_plane.limits.rules import (
    PARALLEL_RETRY_MS,
    TICK_MS,
    TICKS,
    Exceeded,
    Kind,
    Scope,
    Taken,
    Use,
    charged_tokens,
)
from control_plane.storage.redis import redis_at, within

PREFIX = "control-plane:limits:"
ANSWER_S = 2.0
"""No call waits longer for Redis, whose answer takes a fifth of a millisecond. Longer than a busy machine is ever late:
whoever takes a slow Redis for a lost one gives its share on top of what the others give through it."""

LEASE_MS = 30_000
"""How long a place among the calls at once outlives the process that took it."""

RENEW_S = 10.0

_KINDS = (Kind.REQUESTS, Kind.TOKENS, Kind.PARALLEL_CALLS)
_FOLDER = Path(__file__).parent


class SharedLimits:
    """Counts in Redis. Every method raises RedisUnavailable: at once when nobody is there, after `answer_s` when nobody answers."""

    def __init__(self, url: str, *, clock_ms: Callable[[], int] | None = None, answer_s: float = ANSWER_S) -> None:
        """`clock_ms`: for tests; without one, the time is Redis's."""
        self._clock_ms = clock_ms
        self._answer_s = answer_s
        self._redis = redis_at(url, answer_s=answer_s)
        self._take = self._redis.register_script((_FOLDER / "take.lua").read_text())
        self._settle = self._redis.register_script((_FOLDER / "settle.lua").read_text())

    async def take(self, scopes: Sequence[Scope], call: str, tokens: int) -> Taken | Exceeded:
        """Takes a request, these tokens and a place among the calls at once from every scope, or nothing from any."""
        now_ms = self._clock_ms() if self._clock_ms else 0
        arguments: list[str | int] = [now_ms, TICK_MS, TICKS, call, LEASE_MS, PARALLEL_RETRY_MS]
        for scope in scopes:
            arguments += [_limit(scope.requests), _limit(scope.tokens), _limit(scope.parallel)]
            arguments.append(charged_tokens(scope, tokens))
        async with within(self._answer_s):
            lacking, kind, wait_ms, tick, *values = await self._take(keys=_keys(scopes), args=arguments)
        uses = [Use(*values[at : at + 4]) for at in range(0, len(values), 4)]
        return (
            Exceeded(lacking - 1, _KINDS[kind - 1], wait_ms, uses)
            if lacking
            else Taken(scopes, call, tokens, tick, uses)
        )

    async def settle(self, ended: Sequence[tuple[Taken, int | None]]) -> None:
        """These calls have ended: their places are free, and they count for the tokens they used; None: they were none."""
        try:
            await self._settle_all(ended)
        except NoScriptError:  # Redis has been started anew
            async with within(self._answer_s):
                await self._redis.script_load(self._settle.script)
            await self._settle_all(ended)

    async def _settle_all(self, ended: Sequence[tuple[Taken, int | None]]) -> None:
        async with within(self._answer_s), self._redis.pipeline(transaction=False) as pipeline:
            for taken, used in ended:
                keys = _keys(taken.scopes)
                arguments: list[str | int] = [
                    taken.call,
                    taken.tick,
                    0 if used is None else 1,
                    *taken.corrections(used or 0),
                ]
                pipeline.evalsha(self._settle.sha, len(keys), *keys, *arguments)
            await pipeline.execute()

    async def renew(self, running: Iterable[Taken]) -> None:
        """These calls still run: they keep their places."""
        async with within(self._answer_s), self._redis.pipeline(transaction=False) as pipeline:
            now_ms = await self._now_ms()
            for taken in running:
                for scope in taken.scopes:
                    if scope.parallel is not None:
                        name = _running(scope)
                        pipeline.zadd(name, {taken.call: now_ms + LEASE_MS}, xx=True)
                        pipeline.pexpire(name, 2 * LEASE_MS)
            await pipeline.execute()

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


def _keys(scopes: Sequence[Scope]) -> list[str]:
    return [f"{PREFIX}{part}:{scope.name}" for scope in scopes for part in ("used", "ticks", "running")]


def _running(scope: Scope) -> str:
    return f"{PREFIX}running:{scope.name}"
