"""Connections to Redis, which everything here can do without: it responds in time, or it counts as away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

CONNECTIONS = 32


class RedisUnavailable(Exception):
    """Redis did not answer in time, or not at all."""


def redis_at(url: str, *, answer_s: float) -> Redis:
    """A client for use within `within(answer_s)`. Raises: ValueError for an address that is none."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=answer_s,
        socket_timeout=None,  # `answer_s` is for everything together
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 1),  # a connection that was closed while unused
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def within(answer_s: float) -> AsyncIterator[None]:
    """Raises: RedisUnavailable; NoScriptError, which is an answer."""
    try:
        async with asyncio.timeout(answer_s):
            yield
    except NoScriptError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisUnavailable(type(error).__name__) from error
