"""Redacts a provider's fault for display and storage. Pure."""

from http import HTTPStatus
from typing import Any

from control_plane.completion.events import ProviderFault
from control_plane.completion.redaction import redacted

MAX_WORD = 200
MAX_TEXT = 1000
STATUSES = range(100, 600)


def shown(fault: ProviderFault) -> ProviderFault:
    """The fault with its words redacted and cut to what is kept: 200 characters each, 1,000 of the text."""
    return ProviderFault(
        status=fault.status if fault.status in STATUSES else HTTPStatus.INTERNAL_SERVER_ERROR.value,
        code=_word(fault.code),
        type=_word(fault.type),
        param=_word(fault.param),
        text=redacted(fault.text, MAX_TEXT),
        retry_after=fault.retry_after,
    )


def _word(given: object) -> str | None:
    """Some providers number their codes; an empty word is none."""
    return None if given is None else redacted(str(given), MAX_WORD) or None


def as_shown(fault: ProviderFault | None) -> dict[str, Any] | None:
    """The fault for clients of any API: never its text."""
    if fault is None:
        return None
    known = shown(fault)
    return {"status": known.status, "code": known.code, "type": known.type, "param": known.param}


def log_fields(fault: ProviderFault | None) -> dict[str, Any]:
    """The fields of a log line about it: `provider_status`, `_code`, `_type` and `_param`; none without a fault."""
    words = as_shown(fault)
    return {} if words is None else {f"provider_{name}": value for name, value in words.items()}
