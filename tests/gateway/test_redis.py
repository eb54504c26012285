"""Redis, when the YAML names one: replicas share what they know of failing deployments, and do not depend on it."""

from pathlib import Path

import pytest

from control_plane.errors import LlmCallFailed, ProviderUnavailable
from tests.gateway.conftest import Opener, make_call
from tests.support.provider import Provider
from tests.support.redis_server import running_redis


async def test_a_deployment_that_one_replica_finds_broken_rests_on_the_others(
    gateway_for: Opener, provider: Provider, tmp_path: Path
) -> None:
    async with running_redis(tmp_path) as redis:
        one = await gateway_for("e401", redis_url=redis.url, cooldown_time=60)
        other = await gateway_for("e401", redis_url=redis.url, cooldown_time=60)
        with pytest.raises(LlmCallFailed):
            await one.complete(make_call("e401"))
        with pytest.raises(ProviderUnavailable):
            await other.complete(make_call("e401"))
        assert provider.count("e401") == 1


async def test_replicas_need_not_name_redis_in_the_yaml_and_go_on_when_it_dies(
    gateway_for: Opener, provider: Provider, tmp_path: Path
) -> None:
    async with running_redis(tmp_path) as redis:
        one = await gateway_for("e401", "ok", redis=redis.url, cooldown_time=60)
        other = await gateway_for("e401", "ok", redis=redis.url, cooldown_time=60)
        with pytest.raises(LlmCallFailed):
            await one.complete(make_call("e401"))
        with pytest.raises(ProviderUnavailable):
            await other.complete(make_call("e401"))
        assert provider.count("e401") == 1
        await redis.stop()
        assert (await other.complete(make_call("ok"))).usage.total_tokens == 21
        for _ in range(2):
            with pytest.raises((LlmCallFailed, ProviderUnavailable)):
                await one.complete(make_call("e401"))


async def test_calls_go_on_when_redis_dies(gateway_for: Opener, tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis:
        gateway = await gateway_for("ok", redis_url=redis.url)
        await gateway.complete(make_call("ok"))
        await redis.stop()
        answer = await gateway.complete(make_call("ok"))
    assert answer.usage.total_tokens == 21
