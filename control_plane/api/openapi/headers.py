"""The headers of requests and responses, and the security schemes, as components of OpenAPI."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

SECURITY_SCHEMES: Mapping[str, Json] = {
    "virtualKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sk-…",
        "description": "A team's secret key: `Authorization: Bearer sk-…`. It is for its own team only.",
    },
    "masterKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sk-…",
        "description": "The master key, `CONTROL_PLANE_MASTER_KEY`, or an access token (`adm-…`) with a role that permits "
        "the request: `Authorization: Bearer …`.",
    },
    "xApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "Any of the keys, in the header `x-api-key` instead of `Authorization`.",
    },
    "publishableKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "pk-…",
        "description": "A key that may stand in web pages; it works from its registered origins only.",
    },
    "jobToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "jt-…",
        "description": "A short-lived token of one job, for a web page: made by `POST /api/jobs/{job_id}/tokens`.",
    },
}

PARAMETERS: Mapping[str, Json] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Makes a retry safe: within 24 hours, a request with the same key and body gets the first response. "
        "409 while the first is running, 422 with another body.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "XRequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": "The client's id of the request, in the response and the server's log: at most 128 printable ASCII "
        "characters, else the server makes one.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "XMaxWait": {
        "name": "X-Max-Wait",
        "in": "header",
        "required": False,
        "description": "The most seconds the request may queue, if less than the server's own limit; a request that would wait "
        "longer gets 503 `overloaded` at once, and nothing was done. The provider's time does not count.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "AnthropicVersion": {
        "name": "anthropic-version",
        "in": "header",
        "required": False,
        "description": "With any value, the response is in Anthropic's shape.",
        "schema": {"type": "string"},
    },
}


def _header(description: str, kind: str, example: Any) -> Json:
    return {"description": description, "schema": {"type": kind}, "example": example}


def _limit(what: str) -> Mapping[str, Json]:
    name = what.capitalize()
    return {
        f"X-RateLimit-Limit-{name}": _header(f"{name} a minute that the tightest limit allows.", "integer", 60),
        f"X-RateLimit-Remaining-{name}": _header(f"{name} left of it.", "integer", 59),
        f"X-RateLimit-Reset-{name}": _header(
            f"Time until all of its {what} are free again, in seconds with the unit.", "string", "1s"
        ),
    }


HEADERS: Mapping[str, Json] = {
    "X-Request-Id": _header("Id of the request: the client's, or a new one.", "string", "01a220d4-f820-727e-a5cf-03f28fe04347"),
    "X-Ignored-Fields": _header(
        "Ignored body fields, query parameters and headers, separated by commas.", "string", "colour"
    ),
    "X-Call-Id": _header("Id of the call.", "string", "01a220d4-f820-727e-a5cf-03f28fe04347"),
    "X-Job-Id": _header("Id of the call's job.", "string", "01a220d4-faf8-769b-84d1-dcef59d52b3f"),
    "X-Credits-Remaining": _header("Credits the team has left, available and held.", "integer", 99),
    "X-Credits-Charged": _header("Credits the call's job was charged, if the call completed it.", "integer", 1),
    "X-Call-Cost-Usd": _header("What the provider charges for the call, in US dollars.", "string", "0.000031000"),
    "X-Cached": _header("`true` for a response from the response cache.", "string", "true"),
    **_limit("requests"),
    **_limit("tokens"),
    "Idempotency-Replayed": _header("`true` for the response of an earlier request with the same Idempotency-Key.", "string", "true"),
    "Retry-After": _header("Seconds after which to try again.", "integer", 1),
    "X-Should-Retry": _header("`false` where a retry changes nothing; SDKs of OpenAI and Anthropic obey it.", "string", "false"),
    "WWW-Authenticate": _header("`Bearer`.", "string", "Bearer"),
    "Cache-Control": _header("`no-store`: the response is for the caller only.", "string", "no-store"),
    "X-Accel-Buffering": _header("`no` for a stream: proxies pass each event on at once.", "string", "no"),
    "request-id": _header("Same as `X-Request-Id`, for Anthropic's SDKs.", "string", "01a220d4-f820-727e-a5cf-03f28fe04347"),
}  # fmt: skip

ON_EVERY_ANSWER = ("X-Request-Id", "X-Ignored-Fields", "Cache-Control")
OF_ERRORS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    409: ("X-Should-Retry", "Retry-After"),
    429: ("Retry-After", *(name for name in HEADERS if name.startswith("X-RateLimit-"))),
    503: ("Retry-After",),
    529: ("Retry-After",),
}
