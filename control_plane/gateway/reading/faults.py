"""What a provider reports as wrong: in the body of an error status, in a 200, or in an event of a stream. Pure.

Providers agree on no shape. What is looked for: an `error`, in any form; a code or type beside a message where an answer
should be; MiniMax's `base_resp`. The status is the one reported, else the one that code and type stand for.
"""

from collections.abc import Mapping
from typing import Any

from control_plane.completion.events import ProviderFault
from control_plane.gateway.reading.json_text import parse

Json = Mapping[str, Any]

MOST_CHARS = 200
"""Kept of a code, type or param."""

MOST_TEXT = 2000

MAX_ERROR_BYTES = 1_000_000
"""Read of an answer with an error status."""

LOWEST_ERROR, HIGHEST_ERROR = 400, 600

MESSAGES = ("message", "detail", "msg", "error_message", "error_msg")

HARMLESS = (None, "", 0, "0", "success", "ok", 200, "200")
"""Codes that report no error."""

STATUSES: tuple[tuple[tuple[str, ...], int], ...] = (
    (("overloaded", "over_capacity", "capacity_exceeded", "engine_overloaded"), 529),
    (("insufficient_quota", "billing", "insufficient_balance", "payment", "credit", "arrearage"), 402),
    (("rate_limit", "ratelimit", "too_many_requests", "throttl", "resource_exhausted", "quota", "rate limit"), 429),
    (("context_length", "context_window", "string_above_max_length", "prompt_too_long", "too_large"), 400),
    (("authentication", "invalid_api_key", "unauthenticated", "unauthorized", "invalid_authentication"), 401),
    (("permission", "forbidden", "access_denied", "unsupported_country"), 403),
    (("model_not_found", "not_found", "deployment_not_found"), 404),
    (("timeout", "timed_out", "deadline_exceeded"), 504),
    (("unavailable", "service_unavailable", "no_available", "bad_gateway"), 503),
    (("content_filter", "content_policy", "responsible_ai", "moderation", "data_inspection", "safety"), 400),
    (("invalid_request", "invalid_argument", "validation", "bad_request", "invalid_parameter", "invalid_prompt"), 400),
)
"""Parts of codes and types, and the status that they stand for; the first that fits."""

MINIMAX: Mapping[int, int] = {1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 400, 2013: 400}


def fault_of_text(status: int, text: bytes, *, retry_after: str | None = None) -> ProviderFault:
    """The fault of an answer with an error status."""
    try:
        found = find_fault(parse(text), is_certain=True)
    except ValueError:
        found = None
    found = found or ProviderFault(status, text=text[:MOST_TEXT].decode("utf-8", "replace"))
    return ProviderFault(status, found.code, found.type, found.param, found.text, retry_after)


def find_fault(body: Any, *, is_certain: bool = False) -> ProviderFault | None:
    """The fault that JSON data report; None where they report none.

    `is_certain`: something is wrong, so a lone message is one, too.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        return _explicit(body) or _implicit(body, is_certain=is_certain)
    return ProviderFault(500, text=_text(body)) if is_certain else None


def _explicit(body: Json) -> ProviderFault | None:
    """An error under the name of one."""
    if body.get("error"):
        return _of_error(body["error"], body)
    if isinstance(errors := body.get("errors"), list) and errors:
        return _of_error(errors[0], body)
    if isinstance(base := body.get("base_resp"), dict) and (code := base.get("status_code")):
        status = MINIMAX.get(code, 500) if isinstance(code, int) else 500
        return ProviderFault(status, _word(code), text=_text(base.get("status_msg")))
    return None


def _implicit(body: Json, *, is_certain: bool) -> ProviderFault | None:
    """A code, a type or a message in the place of an answer."""
    if any(body.get(key) for key in ("choices", "candidates", "content", "usage")):
        return None
    names = ("code", "status", "error_code", "status_code")
    is_named = any(body.get(key) == "error" for key in ("object", "type")) or any(
        body.get(name) not in HARMLESS for name in names
    )
    if is_certain or (is_named and any(body.get(key) for key in MESSAGES)):
        return _of_error(body, body)
    return None


def _of_error(error: Any, around: Json) -> ProviderFault:
    """`error`: what names it; `around`: the data it stands in."""
    if not isinstance(error, dict):
        error = {"message": error}
    if isinstance(inner := error.get("error"), dict):
        error = {**error, **inner}
    code, kind = error.get("code"), error.get("type")
    if isinstance(metadata := error.get("metadata"), dict) and kind is None:
        kind = metadata.get("error_type")
    if code is None:
        code = next(
            (found for key in ("status", "error_code", "__type") if (found := error.get(key)) is not None), None
        )
    message = next((error[key] for key in MESSAGES if error.get(key)), "")
    status = _status(error, around)
    if status is None:
        status = _status_of_words(_word(code), _word(kind))
    return ProviderFault(status, _word(code), _word(kind), _word(error.get("param")), _text(message))


def _names_of(error: Json) -> tuple[Any, Any]:
    """Its code and its type. Google puts a word beside a number, and the reason into the details."""
    code, kind = error.get("code"), error.get("type")
    if kind is None and isinstance(metadata := error.get("metadata"), dict):
        kind = metadata.get("error_type")
    if isinstance(word := error.get("status"), str) and not word.isdigit():
        kind = kind or word
    if isinstance(details := error.get("details"), list):
        reasons = (detail.get("reason") for detail in details if isinstance(detail, dict))
        code = next((reason for reason in reasons if isinstance(reason, str)), code)
    if isinstance(inner := error.get("innererror"), dict):  # Azure
        code = inner.get("code") or code
    if code is None:
        code = next(
            (found for key in ("status", "error_code", "__type") if (found := error.get(key)) is not None), None
        )
    return code, kind


def _status(error: Json, around: Json) -> int | None:
    for holder in (error, around):
        for key in ("code", "status", "status_code", "statusCode", "http_status"):
            value = holder.get(key)
            if isinstance(value, str) and value.isdigit() and len(value) == 3:  # noqa: PLR2004 - an HTTP status
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and LOWEST_ERROR <= value < HIGHEST_ERROR:
                return value
    return None


def _status_of_words(*words: str | None) -> int:
    said = " ".join(word for word in words if word).lower().replace("-", "_")
    flat = said.replace("_", "")
    for parts, status in STATUSES:
        if any(part in said or part.replace("_", "") in flat for part in parts):
            return status
    return 500


def _word(value: Any) -> str | None:
    return None if value is None or value == "" or isinstance(value, dict | list) else str(value)[:MOST_CHARS]


def _text(value: Any) -> str:
    return str(value)[:MOST_TEXT] if value is not None else ""
