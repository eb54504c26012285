"""What can go wrong for a client, by class.

ClientError
├── ConnectionFailed      no answer, also after trying again
├── InvalidResponse       a success that is not the control plane's
├── StatusError           an answer that is no success: `status`, `code`, `facts`
│   ├── BadRequest  Unauthorized  PermissionDenied (InsufficientCredits)  NotFound  Conflict
│   └── RateLimited  ServerFailed
├── StreamFailed          a stream that broke off after it had begun
└── OutputInvalid         a structured output that does not fit its model
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class ClientError(Exception):
    """Anything this client raises."""


class ConnectionFailed(ClientError):
    """The server did not answer."""


class InvalidResponse(ClientError):
    """The server is not the control plane, or has another version of the API."""


class StatusError(ClientError):
    """The server rejected the request, or failed."""

    def __init__(self, status: int, code: str, message: str, facts: Mapping[str, Any], request_id: str | None) -> None:
        super().__init__(f"{message} ({code}, HTTP {status})")
        self.status = status
        self.code = code
        self.message = message
        self.facts = facts
        self.request_id = request_id


class BadRequest(StatusError):
    """The request does not make sense to the server, or to the model's provider."""


class Unauthorized(StatusError):
    """The key is missing, unknown, expired or revoked."""


class PermissionDenied(StatusError):
    """The key may not do that."""


class InsufficientCredits(PermissionDenied):
    """The team has too few credits: `facts` has the needed and available credits."""


class NotFound(StatusError):
    """There is no such job or model group."""


class Conflict(StatusError):
    """The job is closed, or calls of it are still running."""


class RateLimited(StatusError):
    """Too many requests, also after trying again."""


class ServerFailed(StatusError):
    """The server or the providers failed, also after trying again. A failed call costs nothing."""


class StreamFailed(ClientError):
    """The stream broke off."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class OutputInvalid(ClientError):
    """The model's answer does not have the requested form. `content` is the answer."""

    def __init__(self, content: str | None) -> None:
        super().__init__("the model's answer does not fit the response_model")
        self.content = content


KINDS: Mapping[int, type[StatusError]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: PermissionDenied,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
}


def status_error(status: int, body: Any, request_id: str | None) -> StatusError:
    """The error of an answer, whatever its body is."""
    said = body.get("error") if isinstance(body, dict) else None
    facts = dict(said) if isinstance(said, dict) else {}
    code = text_of(facts.pop("code", None), "unknown")
    message = text_of(facts.pop("message", None), "The server gave no reason.")
    if code == "insufficient_credits":
        kind: type[StatusError] = InsufficientCredits
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = ServerFailed
    else:
        kind = KINDS.get(status, BadRequest)
    return kind(status, code, message, facts, request_id)


def text_of(value: object, otherwise: str) -> str:
    """A text of an answer, which may hold anything."""
    return value if isinstance(value, str) else otherwise
