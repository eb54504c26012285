"""File support of deployments: which models read PDFs, and whether the server or the vendor fetches linked files."""

from collections.abc import Iterable

from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.pricing.price_list import is_listed_to_read_pdfs

FETCHING_VENDORS = frozenset({"openai", "azure", "anthropic", "openrouter"})
"""Providers whose own servers fetch linked files, far from our network. For others LiteLLM fetches here, or a model
server of the operator's does."""

PDF = "supports_pdf_input"


def reads_pdf(config: RouterConfig, model_name: str) -> bool:
    """Whether every deployment of a model reads PDFs: by its `model_info`, else by LiteLLM's list."""
    return all(_reads_pdf(deployment) for deployment in _of(config, model_name))


def fetches_itself(config: RouterConfig, model_names: Iterable[str]) -> bool:
    """Whether links in messages to these models may go to the provider as they are."""
    return all(_is_vendor(deployment) for name in model_names for deployment in _of(config, name))


def _of(config: RouterConfig, model_name: str) -> Iterable[Deployment]:
    return (deployment for deployment in config.deployments if deployment.model_name == model_name)


def _reads_pdf(deployment: Deployment) -> bool:
    said = deployment.info.get(PDF)
    if said is not None:
        return bool(said)
    params = deployment.params
    provider = params.get("custom_llm_provider")
    model = f"{provider}/{params['model']}" if provider else str(params["model"])
    return is_listed_to_read_pdfs(model, base_model=deployment.info.get("base_model") or params.get("base_model"))


def _is_vendor(deployment: Deployment) -> bool:
    """A custom address may be a server in our network. Azure's is always custom, and always Azure's."""
    provider = deployment.params.get("custom_llm_provider") or str(deployment.params["model"]).partition("/")[0]
    address = deployment.params.get("api_base") or deployment.params.get("base_url")
    if provider == "azure":
        return str(address).rstrip("/").endswith(".openai.azure.com")
    return provider in FETCHING_VENDORS and not address
