"""Reads a provider's error report: from the body of an error status, from a 200, or from an event of a stream. Pure.

Providers agree on no shape. Recognized are: an `error`, in any form; a code or type beside a message in place of an
answer; MiniMax's `base_resp`. The status is the reported one, else the one that code and type stand for.
"""

from collections.abc import Mapping
from typing import Any

from control_plane.completion.events import ProviderFault
from control_plane.gateway.reading.json_text import parse, whole_text

Json = Mapping[str, Any]

MOST_CHARS = 200
"""Kept of a code, type or param."""

MOST_TEXT = 2000

MAX_ERROR_BYTES = 1_000_000
"""Read of an answer with an error status."""

LOWEST_ERROR, HIGHEST_ERROR = 400, 600

REDIRECTED = ProviderFault(502, "redirected", text="the provider redirects to another address, which is not followed")
"""The prompt and the key are for the address in the configuration, and for no other."""

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

MINIMAX: Mapping[int, tuple[int, str]] = {
    1002: (429, "rate_limit"),
    1004: (401, "invalid_api_key"),
    1008: (402, "insufficient_balance"),
    1026: (400, "content_filter"),
    1027: (400, "content_filter"),
    1039: (429, "rate_limit"),
    1041: (429, "rate_limit"),
    1042: (400, "invalid_request"),
    2013: (400, "invalid_request"),
    2049: (401, "invalid_api_key"),
    2056: (429, "insufficient_quota"),
}
"""The status that a code stands for, and a name for it."""


def is_redirect(status: int) -> bool:
    """Whether an answer leads to another address, or is none: HTTP's 3xx."""
    return status // 100 == 3  # noqa: PLR2004 - HTTP


def fault_of_text(status: int, text: bytes, headers: Mapping[str, str] | None = None) -> ProviderFault:
    """The fault of an answer with an error status. `headers`: their names in lower case, or any mapping without case."""
    try:
        found = find_fault(parse(text), is_certain=True)
    except ValueError:
        found = None
    found = found or ProviderFault(status, text=text[:MOST_TEXT].decode("utf-8", "replace"))
    retry_after = _retry_after_in(headers or {}) or found.retry_after
    return ProviderFault(status, found.code, found.type, found.param, found.text, retry_after)


def _retry_after_in(headers: Mapping[str, str]) -> str | None:
    """The retry time, in seconds or as a date."""
    try:
        return str(float(headers.get("retry-after-ms", "")) / 1000)  # OpenAI, Azure: the more precise one
    except ValueError:
        return headers.get("retry-after")


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
        status, name = MINIMAX.get(code, (500, _word(code))) if isinstance(code, int) else (500, _word(code))
        return ProviderFault(status, name, text=_text(base.get("status_msg")))
    return None


def _implicit(body: Json, *, is_certain: bool) -> ProviderFault | None:
    """A code, a type or a message without an answer."""
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
        beside = {name: around.get(name) for name in ("code", "type", "param")}  # xAI
        error = {**beside, "message": error}
    if isinstance(inner := error.get("error"), dict):
        error = {**error, **inner}
    if (inner := _inner(error)) is not None:
        return inner
    code, kind = _names_of(error)
    message = next((error[key] for key in MESSAGES if error.get(key)), "")
    status = _status(error, around)
    if status is None:
        status = _status_of_words(_word(code), _word(kind))
    return ProviderFault(
        status, _word(code), _word(kind), _word(error.get("param")), _text(message), _retry_after_of(error)
    )


def _inner(error: Json) -> ProviderFault | None:
    """The underlying provider's report, which OpenRouter repeats as text."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if not isinstance(raw, str) or not raw.lstrip().startswith("{"):
        return None
    try:
        return find_fault(parse(raw.encode("utf-8", "replace")))
    except ValueError:
        return None


def _names_of(error: Json) -> tuple[Any, Any]:
    """Its code and its type. Google puts a word beside a number, and the reason into the details."""
    code, kind = error.get("code"), error.get("type")
    if kind is None and isinstance(metadata := error.get("metadata"), dict):
        kind = metadata.get("error_type") or ("moderation" if "flagged_input" in metadata else None)  # OpenRouter
    if isinstance(word := error.get("status"), str) and not word.isdigit():
        kind = kind or word
    reasons = (detail.get("reason") for detail in _details(error))
    code = next((reason for reason in reasons if isinstance(reason, str)), code)
    if isinstance(inner := error.get("innererror"), dict):  # Azure
        code = inner.get("code") or code
    if code is None:
        code = next(
            (found for key in ("status", "error_code", "__type") if (found := error.get(key)) is not None), None
        )
    return code, kind


def _details(error: Json) -> list[Json]:
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_after_of(error: Json) -> str | None:
    """Google's `retryDelay`, in seconds: `13.5s`."""
    delays = (detail.get("retryDelay") for detail in _details(error))
    return next((delay[:-1] for delay in delays if isinstance(delay, str) and delay.endswith("s")), None)


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
    return (
        None if value is None or value == "" or isinstance(value, dict | list) else whole_text(str(value)[:MOST_CHARS])
    )


def _text(value: Any) -> str:
    return whole_text(str(value)[:MOST_TEXT]) if value is not None else ""
