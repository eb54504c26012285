"""The gateway's input: the parts of `litellm_config.yaml` that are LiteLLM's own, already checked.

`model_groups/config.py` reads the file and makes these; `router.py` hands them to LiteLLM. No litellm import here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Deployment:
    """One item of `model_list`: a model at a provider.

    `id` is stable across restarts and unique in the file. `params` are LiteLLM's `litellm_params` with environment
    variables resolved and prices taken out; `info` is its `model_info` with `id` and prices put in (prices in
    `litellm_params` would make LiteLLM register the model anew on every call, 40 % of a call's CPU).
    """

    id: str
    model_name: str
    params: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider_model(self) -> str:
        """The provider's name of the model, without LiteLLM's provider prefix: `openai/gpt-4o` is `gpt-4o`."""
        return str(self.params["model"]).partition("/")[2] or str(self.params["model"])


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """Everything LiteLLM's Router needs; `router_settings` and `litellm_settings` keep LiteLLM's meaning."""

    deployments: Sequence[Deployment]
    router_settings: Mapping[str, Any] = field(default_factory=dict)
    litellm_settings: Mapping[str, Any] = field(default_factory=dict)
