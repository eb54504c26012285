"""`litellm_config.yaml`, checked and frozen: the model groups and the gateway's configuration.

A reload makes a new catalog and swaps it; nothing in here changes. `config.py` makes it, `access.py` decides with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.gateway.deployments import RouterConfig
from control_plane.rate_limits import UNLIMITED, RateLimits


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which answers are kept for the same request, and for how long. `is_on` None: where there is a Redis.

    `generation`: of the file, so that no model answers that it does not name any more.
    """

    is_on: bool | None = None
    ttl_s: float = 600.0
    max_temperature: float = 1.0
    generation: str = ""


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """A name that clients use, and its models: the first is primary, the rest are tried in this order.

    `models` are `model_name`s of `model_list`. `teams` are patterns (`acme-*`) of the teams that may use the group,
    apart from grants. `cache`: overrides the file's setting. `markup_bps` takes the place of the team's markup.
    `defaults` are chat parameters for calls that do not set them; only names of `chat.CHAT_PARAMETERS`. `rate_limits` is
    for all teams together.
    """

    name: str
    description: str
    models: tuple[str, ...]
    teams: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    markup_bps: int | None = None
    rate_limits: RateLimits = UNLIMITED
    cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a call runs on: the group's name for the records, the models to try in order, and the group's settings."""

    group: str
    models: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    markup_bps: int | None = None
    rate_limits: RateLimits = UNLIMITED
    cache: CachePolicy = CachePolicy()


@dataclass(frozen=True, slots=True)
class Catalog:
    """One version of the file. `groups` keep the file's order; `generation` identifies versions in logs and responses.

    `environment` is the file's `environment_variables` section: provider libraries read such variables from the
    process, so the builder of the Router exports them first, as LiteLLM's proxy does.
    """

    groups: Mapping[str, ModelGroup]
    router: RouterConfig
    generation: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cache: CachePolicy = CachePolicy()
    warnings: Sequence[str] = ()
    """The file's settings without effect here, one sentence each, by line."""
