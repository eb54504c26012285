"""Waits for what LiteLLM still has to say, and closes what it keeps open. Reaches into its background work.

Buffered calls are reported through a global queue, streams and failures by bare tasks, each a few milliseconds after
the caller has its answer; a process that ends at once would lose them.
"""

import asyncio
from typing import Any

REPORTING_TASKS = (
    "_client_async_logging_helper",
    "dispatch_success_handlers",
    "dispatch_failure_handlers",
)
"""Names of LiteLLM's coroutines that report, or put a report into the queue."""


async def last_reports() -> None:
    """Until nothing is left that could still report. Without an end if LiteLLM hangs: bound it."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER  # noqa: PLC0415  # see litellm_setup.py

    while True:
        pending = [task for task in asyncio.all_tasks() if _name(task).endswith(REPORTING_TASKS)]
        if pending:
            await asyncio.wait(pending)
        await GLOBAL_LOGGING_WORKER.flush()
        if not pending:
            return


def take_out(reporter: Any) -> bool:
    """Takes a gateway's reporter and the prices that only it knew out of litellm. Whether it was the last gateway's."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    for callbacks in (
        litellm.callbacks,
        litellm.input_callback,
        litellm.success_callback,
        litellm.failure_callback,
        litellm._async_success_callback,  # noqa: SLF001  # LiteLLM copies a callback into all of them
        litellm._async_failure_callback,  # noqa: SLF001
    ):
        callbacks[:] = [known for known in callbacks if known is not reporter]
    others = [known for known in litellm.callbacks if type(known).__name__ == type(reporter).__name__]
    for deployment in reporter.deployments.difference(*(other.deployments for other in others)):
        litellm.model_cost.pop(deployment, None)  # its price; every version of a deployment has one
    return not others


async def close_clients() -> None:
    """Closes the connections and the worker that all gateways share."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER  # noqa: PLC0415

    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()
    await GLOBAL_LOGGING_WORKER.stop()
    GLOBAL_LOGGING_WORKER._sem = None  # noqa: SLF001  # each stop loses one of its 100 permits, then nothing is reported


async def close_redis(router: Any) -> None:
    """Closes the Router's connections to Redis, if it has any; the Router would leave them to the garbage collector."""
    for redis in {router.cache.redis_cache, router.cooldown_cache.cache.redis_cache}:
        if redis is not None:
            await redis.disconnect()
            redis.redis_client.close()


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")
