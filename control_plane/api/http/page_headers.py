"""Headers that count from a web page, and headers that it may read. Pure, but for the report of ignored ones.

Any visitor of a page can read its key and send any header with it. So headers that are not listed here are removed
before any code reads them: a header cannot choose a price, join a job, un-bill an answer or take another's idempotency
key.
"""

from collections.abc import Mapping
from contextvars import ContextVar

from starlette.types import Scope

from control_plane.schemas.base import ignored_fields

asked_by_page: ContextVar[bool] = ContextVar("asked_by_page", default=False)
"""Whether the request that is being answered has a key or token that stands in a web page."""

READ = frozenset(
    {
        *("host", "origin", "authorization", "x-api-key", "x-request-id", "x-max-wait", "traceparent", "tracestate"),
        *("accept", "accept-encoding", "accept-language", "user-agent"),
        *("content-type", "content-length", "transfer-encoding", "content-encoding", "expect", "connection"),
    }
)
"""The headers of a page's request that count."""

MEANT = {
    "x-job-id": "X-Job-Id",
    "x-job-type": "X-Job-Type",
    "x-job-complete": "X-Job-Complete",
    "x-user-id": "X-User-Id",
    "idempotency-key": "Idempotency-Key",
    "cache-control": "Cache-Control",
    "x-stainless-retry-count": "X-Stainless-Retry-Count",
}
"""Headers that mean something with a secret key: ignored, and named in `X-Ignored-Fields`. Browsers and proxies add others."""

LIMITS = tuple(f"X-RateLimit-{what}-{of}" for what in ("Limit", "Remaining", "Reset") for of in ("Requests", "Tokens"))

SHOWN = frozenset({"X-Call-Id", "X-Job-Id", *LIMITS})
"""Headers of a call's response that every page visitor may read: none about money or other callers."""


def with_allowed_headers(scope: Scope) -> Scope:
    """A page's request with the headers that count; the others that mean something are reported as ignored."""
    kept, ignored = [], {}
    for name, value in scope["headers"]:
        said = name.decode("latin-1").lower()
        if said in READ:
            kept.append((name, value))
        elif said in MEANT:
            ignored[MEANT[said]] = True
    if (collected := ignored_fields.get()) is not None:
        collected.extend(ignored)
    return {**scope, "headers": kept}


def shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a call's answer that a page may see."""
    return {name: value for name, value in headers.items() if name in SHOWN}
