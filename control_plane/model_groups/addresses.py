"""Reports deployments that LiteLLM could build and not call: their provider has no address of its own, and none is
given.

Some would fail at each call (Azure), others would send their prompts to api.openai.com (hosted_vllm).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.gateway.pricing.price_list import provider_of
from control_plane.model_groups.problems import Path, Problems

ADDRESSES: Mapping[str, Sequence[str]] = {
    "azure": ("AZURE_API_BASE",),
    "azure_text": ("AZURE_API_BASE",),
    "azure_ai": ("AZURE_AI_API_BASE", "AZURE_API_BASE"),
    "custom_openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "databricks": ("DATABRICKS_API_BASE",),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE",),
    "litellm_proxy": ("LITELLM_PROXY_API_BASE",),
    "lm_studio": ("LM_STUDIO_API_BASE",),
    "openai_like": ("OPENAI_LIKE_API_BASE",),
    "triton": (),
    "watsonx": ("WATSONX_API_BASE", "WATSONX_URL", "WX_URL", "WML_URL"),
}
"""Providers that run at the customer's address, with the variables LiteLLM takes it from."""

KEYS: Mapping[str, Sequence[str]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
}
"""Providers that need a key, with the variables LiteLLM takes it from."""


def report_address(
    name: str, params: Mapping[str, Any], environ: Mapping[str, str] | None, path: Path, problems: Problems
) -> None:
    """Report a deployment without an address or a key. `environ` None: unknown, so that a variable may hold it."""
    provider = params.get("custom_llm_provider") or provider_of(str(params["model"]))
    if provider is None or params.get("mock_response") is not None:
        return
    place = (*path, "litellm_params", "model")
    if provider in ADDRESSES and not (params.get("api_base") or params.get("base_url")):
        variables = ADDRESSES[provider]
        if environ is None and variables:
            problems.warn(place, f"deployment {name!r} has no api_base: {_any_of(variables)} must be set where it runs")
        elif environ is None or not any(environ.get(variable) for variable in variables):
            or_set = f", or set {_any_of(variables)}" if variables else ""
            problems.add(
                place, f"deployment {name!r} has no address: give the api_base of your {provider} endpoint{or_set}"
            )
    if provider in KEYS and environ is not None and not (params.get("api_key") or params.get("api_base")):
        variables = KEYS[provider]
        if not any(environ.get(variable) for variable in variables):
            problems.warn(
                place, f"deployment {name!r} has no api_key, and {_any_of(variables)} is not set: its calls will fail"
            )


def _any_of(variables: Sequence[str]) -> str:
    return " or ".join(variables)
