"""The litellm library, loaded late and made quiet. Nothing here knows what a call is.

Importing it costs seconds and 190 MB, so it happens inside `load()`, in a thread, when a gateway opens. The library
keeps its switches in module globals: what a gateway needs of them is set here, each time, so that the gateway opened
last decides and nothing is left over from the one before.
"""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

from control_plane.gateway import outbound, tapped_transport
from control_plane.gateway.settings import LITELLM_SETTINGS

OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches price lists from the network
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
}
"""Read by litellm at import. Nobody's to change: it connects to providers only (`outbound.py`)."""

ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MAX_CALLBACKS": "1000",  # each version of the YAML that still has calls takes a place in every list
    "REPEATED_STREAMING_CHUNK_LIMIT": "1000000000",  # a text that repeats itself is the model's, not a failure
    "DEFAULT_MAX_RETRIES": "0",  # the SDKs would retry behind the Router's back
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "true",  # 20-25 % less CPU, same answers and errors
}
"""Read by litellm at import or per call; an operator's own values win."""

PRIVACY = {
    "standard_logging_payload_excluded_fields": ["messages", "response", "model_map_information"],
    "expose_router_debug_in_errors": False,
    "suppress_debug_info": True,
    "disable_hf_tokenizer_download": True,  # counting tokens must not reach for the network
}
"""Nobody's to change: no prompt, answer or deployment detail leaves through litellm's logs and callbacks.

`turn_off_message_logging` is not among them: it copies every answer twice (a fifth of a call's CPU) for callbacks that
could repeat it, and ours, the only one there is, takes numbers and names.
"""

NOISE = (
    "Items? '.*' on TypedDict class '.*' (is|are) using the `ReadOnly` qualifier",  # pydantic about litellm's own types
    "Pydantic serializer warnings",  # its own types for its own answers, with its cost in them
    "coroutine '(BaseLLMHTTPHandler|OpenAIChatCompletion)",  # a call cancelled while it was prepared, never sent
)
"""Beginnings of warnings that tell an operator nothing."""

MUTE = "register_model: model=%s has custom pricing but not in built-in cost map"
"""Of every deployment with a price of its own, at every start. The check of the YAML looks at prices, by line."""

LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")

CHATTY = ("openai", "anthropic", "httpx", "httpcore", "botocore")
"""Libraries below litellm that log requests, prompts included, from DEBUG or INFO on."""


KEPT_CHARS = 100
"""Of the text of a stream, beside the pieces that it keeps."""

LOGGED_AT_MOST, LOGGED_FOR_S = 5, 10.0
"""How often a line of litellm's may be logged, in how many seconds."""


class WithoutValues(logging.Filter):
    """Takes the values out of litellm's log lines: they may hold prompts, provider text and keys.

    What stays is the constant text of the line and where it stands. A line without arguments may be an f-string, so
    only its place is kept.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line pass but those of MUTE, with less in it."""
        if isinstance(record.msg, str) and record.msg.startswith(MUTE):
            return False
        template = record.msg if record.args and isinstance(record.msg, str) else "message withheld"
        record.msg = f"litellm: {template} ({record.funcName}, {record.filename}:{record.lineno})"
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        return True


class NotTooOften(logging.Filter):
    """Lets each line of litellm's code log a few times in a while: some log once for every message of a conversation,
    at a millisecond each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0
        self._logged: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may be written."""
        if record.created - self._since >= LOGGED_FOR_S:
            self._since = record.created
            self._logged.clear()
        place = (record.pathname, record.lineno)
        self._logged[place] += 1
        return self._logged[place] <= LOGGED_AT_MOST


def import_litellm() -> Any:
    """The litellm module as it comes. Blocks for seconds; starts no thread."""
    os.environ.update(OFFLINE)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for text in NOISE:
        warnings.filterwarnings("ignore", message=text)
    import litellm  # noqa: PLC0415  # seconds and 190 MB: only a process that serves calls pays

    return litellm


def load(settings: Mapping[str, Any]) -> Any:
    """The litellm module, with `settings` (its `litellm_settings`, already checked) applied. Blocks: call in a thread."""
    litellm = import_litellm()
    for name, value in {**LITELLM_SETTINGS, **settings, **PRIVACY}.items():
        setattr(litellm, name, value)
    _quieten()
    _leave_out_mcp()
    _keep_no_texts()
    _load_tokenizer_when_used()
    tapped_transport.install()
    outbound.install()
    return litellm


def _leave_out_mcp() -> None:
    """LiteLLM sends tools of newer OpenAI models by its Responses API, which looks for MCP servers of its proxy's there,
    with a library that is not installed. Clients' tools never reach an MCP server here.
    """
    from litellm.responses import main  # noqa: PLC0415  # as in load

    main._responses_try_dispatch_mcp_gateway = lambda **_: None  # noqa: SLF001  # there is no switch for it


class _Ending:
    """The end of a text that is added to and added to. `+=` on an attribute copies all of it each time."""

    NAME = "_ending_of_text"

    def __get__(self, stream: Any, _: type | None = None) -> str:
        return str(stream.__dict__.get(self.NAME, ""))

    def __set__(self, stream: Any, text: str) -> None:
        stream.__dict__[self.NAME] = text[-KEPT_CHARS:]


def _keep_no_texts() -> None:
    """LiteLLM's streams keep their text for rules, which there are none of here, and to say of one that broke off that it had
    one. An answer of 8 MB in 2,000 pieces took seven seconds of CPU for that, and twice its size.
    """
    from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper  # noqa: PLC0415  # as in load

    CustomStreamWrapper.response_uptil_now = _Ending()


class _Tokenizer:
    """LiteLLM's default tokenizer, from its first use on."""

    def __getattr__(self, name: str) -> Any:
        from litellm._lazy_imports import get_default_encoding  # noqa: PLC0415  # as in load

        return getattr(get_default_encoding(), name)


def _load_tokenizer_when_used() -> None:
    """LiteLLM hands its tokenizer to every provider's code, of which Petals' and a few others use it. Loading it takes 38 MB
    and up to a second of the event loop.
    """
    from litellm import main  # noqa: PLC0415  # as in load

    if main._encoding_cache is None:  # noqa: SLF001  # there is no switch for it
        main._encoding_cache = _Tokenizer()  # noqa: SLF001


def _quieten() -> None:
    """Its loggers speak through our handlers only, from WARNING on, as do the libraries below it."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
        if not any(isinstance(known, WithoutValues) for known in logger.filters):
            # before litellm's own, which puts the values into the text
            logger.filters[:0] = [NotTooOften(), WithoutValues()]
