"""Maps exceptions of providers and LiteLLM to ours. The only table of its kind.

Our messages are fixed. The exception's own text repeats the provider's, which may contain the prompt, so it is dropped:
the log gets class, status and deployment.
"""

import logging
import math
import traceback
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from control_plane.clock import now
from control_plane.completion.events import ProviderFault
from control_plane.completion.faults import log_fields
from control_plane.errors import (
    ContentPolicyViolated,
    ContextLengthExceeded,
    LlmCallFailed,
    ModelTimeout,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from control_plane.gateway.reading.blame import Blame, blame

log = logging.getLogger(__name__)

FAULT = "provider_fault"
"""The name under which exceptions, and responses as an extension, hold what the provider reported."""

RETRY_AFTER_S = 5.0
"""When the provider names no time: LiteLLM's cooldown of a deployment."""

MAX_RETRY_AFTER_S = 3600.0

MIN_ERROR_STATUS = 400


class ProviderFailed(Exception):
    """A provider's answer is none, or broke off; what it reported is in `fault_of`."""

    status_code = 500


def failed_with(exc: Exception | None, fault: ProviderFault) -> Exception:
    """The exception, or one of ours, with the provider's error report."""
    failed = ProviderFailed(fault.code) if exc is None else exc
    failed.__dict__[FAULT] = fault
    return failed


def fault_of(exc: BaseException) -> ProviderFault | None:
    """The provider's error report, as far as the exception, its causes or their responses hold it."""
    for cause in _causes(exc):
        held = cause.__dict__.get(FAULT) or getattr(getattr(cause, "response", None), "extensions", {}).get(FAULT)
        if isinstance(held, ProviderFault):
            return held
    return None


def translate(exc: Exception) -> ProviderError:
    """The provider error that stands for `exc`, which is logged without its text.

    429 and 503 always carry `retry_after_s`. The operator's faults (401, 402, 403, 404, an empty account) never look
    like the client's.
    """
    if isinstance(exc, ProviderError):
        return exc
    fault = fault_of(exc)
    error = _translated(exc, fault)
    error.provider_status = _provider_status(exc) if fault is None else fault.status
    error.fault = fault
    log.log(
        error.level,
        "provider_error",
        extra={
            "error_class": type(exc).__name__,
            "status": _status(exc),
            "deployment": str(getattr(exc, "failed_deployment_id", "")).rpartition("@")[0] or None,
            "code": error.code,
            "where": _where(exc),
            **log_fields(error.fault),
        },
    )
    return error


def _translated(exc: Exception, fault: ProviderFault | None) -> ProviderError:
    import litellm  # noqa: PLC0415  # loaded long before an exception of its own arrives
    from litellm.types.router import RouterRateLimitError, RouterRateLimitErrorBasic  # noqa: PLC0415

    if isinstance(exc, RouterRateLimitError | RouterRateLimitErrorBasic):  # every deployment is cooling down
        return ProviderUnavailable(retry_after_s=_seconds(getattr(exc, "cooldown_time", None)))
    if fault is not None:
        return _by_blame(blame(fault), _retry_after_s(exc, fault))
    if isinstance(exc, litellm.ContextWindowExceededError):
        return ContextLengthExceeded()
    if isinstance(exc, litellm.ContentPolicyViolationError):
        return ContentPolicyViolated()
    if isinstance(exc, litellm.APIConnectionError) and any(_is_timeout(cause) for cause in _causes(exc)):
        return ModelTimeout(retry_after_s=RETRY_AFTER_S)  # a stream that stalled after its first chunk
    status = _status(exc)
    return _by_blame(blame(ProviderFault(500 if status is None else status)), _retry_after_s(exc, None))


def _by_blame(whose: Blame, retry_after_s: float) -> ProviderError:  # noqa: PLR0911 - one for each
    match whose:
        case "context":
            return ContextLengthExceeded()
        case "policy":
            return ContentPolicyViolated()
        case "request":
            return ProviderRefused()
        case "rate_limit":
            return ProviderRateLimited(retry_after_s=retry_after_s)
        case "timeout":
            return ModelTimeout(retry_after_s=retry_after_s)
        case "overloaded":
            return ProviderOverloaded(retry_after_s=retry_after_s)
        case "unavailable":
            return ProviderUnavailable(retry_after_s=retry_after_s)
        case "operator":
            return ProviderMisconfigured()
        case "provider":
            return LlmCallFailed()


def _status(exc: Exception) -> int | None:
    try:
        return int(getattr(exc, "status_code", None))  # type: ignore[arg-type]  # None and words end in the except
    except (TypeError, ValueError):
        return None


def _provider_status(exc: Exception) -> int | None:
    """The provider's own status: LiteLLM also gives a status to connections that failed and answers that broke off."""
    came = not any(_is_timeout(cause) or _is_connection(cause) for cause in _causes(exc))
    status = _status(exc)
    return status if came and status is not None and status >= MIN_ERROR_STATUS else None


def _where(exc: Exception) -> str | None:
    """The line that raised it, in place of the text, which is not logged."""
    frames = traceback.extract_tb(exc.__traceback__, limit=-1)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _retry_after_s(exc: Exception, fault: ProviderFault | None) -> float:
    if fault is not None and fault.retry_after is not None:
        return _seconds(fault.retry_after)
    for headers in (getattr(exc, "litellm_response_headers", None), getattr(_response(exc), "headers", None)):
        if headers is not None and headers.get("retry-after") is not None:
            return _seconds(headers.get("retry-after"))
    return RETRY_AFTER_S


def _response(exc: Exception) -> Any:
    return getattr(exc, "response", None)


def _seconds(value: Any) -> float:
    """A finite wait within (0, MAX_RETRY_AFTER_S], from seconds or an HTTP date."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = _seconds_until(value)
    if not math.isfinite(seconds) or seconds <= 0:
        return RETRY_AFTER_S
    return min(seconds, MAX_RETRY_AFTER_S)


def _seconds_until(value: Any) -> float:
    try:
        moment = parsedate_to_datetime(str(value))
    except (TypeError, ValueError):
        return RETRY_AFTER_S
    return (moment - now()).total_seconds() if moment.tzinfo is not None else RETRY_AFTER_S


def is_unsupported(exc: BaseException) -> bool:
    """Whether LiteLLM has no code for this request at this provider, so that it was not sent."""
    if fault_of(exc) is not None:
        return False
    return any(isinstance(cause, NotImplementedError) or "Unsupported provider" in str(cause) for cause in _causes(exc))


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_timeout(cause: BaseException) -> bool:
    import httpx  # noqa: PLC0415  # litellm has loaded it; nothing else here needs it

    return isinstance(cause, TimeoutError | httpx.TimeoutException)


def _is_connection(cause: BaseException) -> bool:
    import aiohttp  # noqa: PLC0415  # as above
    import httpx  # noqa: PLC0415

    return isinstance(
        cause, OSError | httpx.TransportError | aiohttp.ClientConnectionError | aiohttp.ClientPayloadError
    )
