"""What is known of deployments that fail: shared between processes through Redis, and kept when the YAML is reloaded.

Reaches into LiteLLM's Router. One that is given Redis itself also counts every call there, twice, for routing strategies that are rarely used: it
gets Redis for its cooldowns alone, unless the YAML's `router_settings` name one.
"""

import time
from typing import Any

NAMESPACE = "control-plane:cooldowns"
ANSWER_S = 0.25
"""LiteLLM writes a cooldown in the event loop, and waits for it."""


def share_cooldowns(router: Any, redis_url: str) -> None:
    """Lets this Router's cooldowns count in every process with that Redis, and theirs here. Blocks for a moment."""
    from litellm.caching.caching import DualCache  # noqa: PLC0415  # see litellm_setup.py
    from litellm.caching.redis_cache import RedisCache  # noqa: PLC0415

    if router.cache.redis_cache is None:
        redis = RedisCache(url=redis_url, namespace=NAMESPACE, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        router.cooldown_cache.cache = DualCache(redis_cache=redis)


def carry_over(before: Any, after: Any) -> None:
    """The deployments that one Router leaves alone at the moment, and the other has too, it leaves alone as long."""
    known, new = before.cooldown_cache.in_memory_cache, after.cooldown_cache.in_memory_cache
    for model_id in after.get_model_ids():
        key = before.cooldown_cache.get_cooldown_cache_key(model_id)
        cooldown = known.get_cache(key)
        if cooldown is not None:
            remaining_s = cooldown["timestamp"] + cooldown["cooldown_time"] - time.time()
            if remaining_s > 0:
                new.set_cache(key, cooldown, ttl=remaining_s)
