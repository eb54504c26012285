"""What LiteLLM may connect to: the provider of a call, and nothing else.

LiteLLM fetches what a message links to, by itself and from our network: synchronously in the event loop, past the policy
for addresses (`fetching/`), into a cache that all teams share. It also asks Hugging Face, Ollama and Lemonade about models
whenever it looks for a price. All of that is shut here, each time a gateway opens. Links are replaced by files before
LiteLLM sees them (`calls/remote_files.py`); what gets past that fails with an error instead of a connection.

Nor does a client of LiteLLM's follow a redirect: prompt and key would go wherever a provider, or what took its name, says.

Credentials of providers (Google, AWS, Azure, SAP, watsonx, GitHub) are still fetched where LiteLLM fetches them: their
addresses come from the configuration, never from a request.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

NO_BYTES = 0
"""LiteLLM's own switch against downloads: the most megabytes that a picture may have."""


def install() -> None:
    """Shuts every way out. Any number of times. Raises: AttributeError for a LiteLLM that has other ones."""
    from litellm import utils  # noqa: PLC0415  # see litellm_setup.py
    from litellm.litellm_core_utils import token_counter, url_utils  # noqa: PLC0415
    from litellm.litellm_core_utils.prompt_templates import (  # noqa: PLC0415
        factory,
        huggingface_template_handler,
        image_handling,
    )
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler  # noqa: PLC0415
    from litellm.llms.gigachat import file_handler  # noqa: PLC0415
    from litellm.llms.lemonade.chat.transformation import LemonadeChatConfig  # noqa: PLC0415
    from litellm.llms.ollama.common_utils import OllamaModelInfo  # noqa: PLC0415
    from litellm.llms.openai.common_utils import BaseOpenAILLM  # noqa: PLC0415
    from litellm.llms.vertex_ai.gemini import transformation as gemini  # noqa: PLC0415

    fetched, afetched = _refusing(_error), _arefusing(_error)
    for module in (url_utils, image_handling, factory):  # modules that are imported later take them from the first
        _replace(module, "safe_get", fetched)
        _replace(module, "async_safe_get", afetched)
    _replace(token_counter, "safe_get", fetched)
    for module in (image_handling, token_counter):
        _replace(module, "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB", NO_BYTES)
    _replace(file_handler, "_download_image_sync", fetched)
    _replace(file_handler, "_download_image_async", afetched)
    _replace(gemini, "_get_gcs_metadata_http_handler", fetched)
    for name in ("get_tokenizer_config", "get_chat_template_file"):
        for prefix in ("", "_"):
            _replace(huggingface_template_handler, f"{prefix}{name}", lambda *_, **__: {"status": "failure"})
            _replace(huggingface_template_handler, f"{prefix}a{name}", _no_template)
    _replace(utils, "_get_max_position_embeddings", lambda *_, **__: None)
    _replace(OllamaModelInfo, "get_runtime_model_info", _ollama_model)
    _replace(LemonadeChatConfig, "get_model_info", lambda *_, **__: None)
    for owner in (AsyncHTTPHandler, HTTPHandler):
        _replace(owner, "create_client", _without_redirects(owner.create_client))
    for name in ("_get_async_http_client", "_get_sync_http_client"):
        _replace(BaseOpenAILLM, name, staticmethod(_without_redirects(getattr(BaseOpenAILLM, name))))


def _without_redirects(make: Any) -> Any:
    """A function that makes a client of httpx, which then stays where it was sent."""
    if getattr(make, "stays", False):
        return make

    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        client = make(*args, **kwargs)
        if client is not None:
            client.follow_redirects = False
        return client

    made.stays = True  # type: ignore[attr-defined]  # how it knows itself again
    return made


def _replace(owner: Any, name: str, value: Any) -> None:
    getattr(owner, name)  # a name that LiteLLM no longer has would be a way out that stays open
    setattr(owner, name, value)


def _error() -> Exception:
    import litellm  # noqa: PLC0415  # see litellm_setup.py

    error: Exception = litellm.ImageFetchError(
        "A link in the request was not replaced by its file. Links are fetched by this server, never by LiteLLM."
    )
    return error


def _refusing(error: Callable[[], Exception]) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error()

    return refuse


def _arefusing(error: Callable[[], Exception]) -> Callable[..., Any]:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise error()

    return refuse


async def _no_template(*_: Any, **__: Any) -> Any:
    return {"status": "failure"}


def _ollama_model(_self: Any, model: str, *_: Any, **__: Any) -> dict[str, Any]:
    """What LiteLLM assumes of a model whose server does not answer; it would ask for each price, and wait."""
    return {
        "key": model,
        "litellm_provider": "ollama",
        "mode": "chat",
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
        "max_tokens": None,
        "max_input_tokens": None,
        "max_output_tokens": None,
    }
