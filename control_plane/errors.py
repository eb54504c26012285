"""The exception tree. Each class has a code, an HTTP status and a log level; entry points render it.

    ControlPlaneError                our own fault                            500
    ├── CallLost                     its lease ran out before it ended        500
    ├── Refused                      rejected requests (4xx), logged at INFO
    │   ├── InvalidKey                                                        401
    │   ├── Forbidden                                                         403
    │   │   ├── JobNotOwned  TeamNotOwned  AdminOnly  PermissionDenied  TeamSuspended
    │   │   ├── OriginRefused  PublishableKey
    │   │   ├── InsufficientCredits  JobCapReached  AtRiskLimit
    │   │   └── ModelGroupNotAllowed  UnpricedRefused
    │   ├── NotFound                                                          404
    │   │   └── JobNotFound  TeamNotFound  OrganizationNotFound  KeyNotFound  TokenNotFound  ModelGroupNotFound
    │   ├── Conflict                                                          409
    │   │   ├── JobClosed  CallsInFlight  AlreadyExists  TeamHasHistory
    │   │   └── IdempotencyInFlight  IdempotencyAnswerSecret  IdempotencyAnswerTooLarge
    │   ├── RequestTimeout                                                    408
    │   ├── TooLarge                                                          413
    │   ├── Unprocessable                                                     422
    │   │   ├── ModelGroupMissing  EndpointUnsupported  InvalidConfig
    │   │   ├── SchemaTooNew
    │   │   └── IdempotencyKeyReused  FileRefused  SchemaTooLarge
    │   └── RateLimited  TeamBodiesTooLarge                                   429
    ├── ProviderError                a provider's failure after retries and fallbacks, logged at WARNING
    │   ├── ProviderRefused  ContextLengthExceeded  ContentPolicyViolated     400
    │   ├── ProviderRateLimited                                               429
    │   ├── LlmCallFailed                                                     500
    │   │   └── ProviderMisconfigured    the operator's key or account, logged at ERROR
    │   └── ProviderUnavailable  ModelTimeout                                 503
    │       ├── ProviderOverloaded
    │       └── CallTimedOut         exceeds the time limit of a call         504
    └── Unavailable                  the server cannot serve now              503
        ├── ShuttingDown  BodiesTooLarge
        └── DatabaseUnavailable
            ├── DatabaseBusy         rows are locked for too long
            ├── Overloaded           the wait would exceed the request's limit
            └── OutcomeUnknown       the response to a COMMIT was lost

The first line of a docstring is the default message. Messages state what is wrong and how to fix it, without provider
text, addresses or secrets.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from control_plane.completion.events import ProviderFault
from control_plane.completion.faults import shown


class ControlPlaneError(Exception):
    """Something went wrong on our side."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    level: ClassVar[int] = logging.ERROR
    is_about_request: ClassVar[bool] = False
    """Whether the message has no facts about the team or the operator, so that any visitor of a web page may read it."""

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None, **facts: Any) -> None:
        self.message = message or self._first_sentence()
        self.facts: Mapping[str, Any] = facts
        self.retry_after_s = retry_after_s
        super().__init__(self.message)

    @property
    def message_for_pages(self) -> str:
        """The message for web pages: without the team's numbers and names."""
        return self.message if self.is_about_request else self._first_sentence()

    @classmethod
    def _first_sentence(cls) -> str:
        return (cls.__doc__ or "").partition("\n")[0]


def error_code_of(error: BaseException) -> str:
    """The error's own code, or `internal_error`."""
    return error.code if isinstance(error, ControlPlaneError) else ControlPlaneError.code


class CallLost(ControlPlaneError):
    """The call was given up as lost before it ended. Try again."""

    code = "call_lost"


class Refused(ControlPlaneError):
    """The request was refused."""

    code = "refused"
    status = 400
    level = logging.INFO


class InvalidKey(Refused):
    """The API key is missing, unknown, expired or revoked. Send it as `Authorization: Bearer sk-…` or `x-api-key`."""

    code = "invalid_key"
    is_about_request = True
    status = 401


class Forbidden(Refused):
    """This key may not do that."""

    code = "forbidden"
    status = 403


class JobNotOwned(Forbidden):
    """Job does not belong to your team."""

    code = "job_not_owned"


class TeamNotOwned(Forbidden):
    """This key belongs to another team."""

    code = "team_not_owned"


class AdminOnly(Forbidden):
    """A team's key may not do this; it needs the master key, or an account or token with a role that may."""

    code = "admin_only"


class PermissionDenied(Forbidden):
    """None of your roles permits this."""

    code = "permission_denied"


class TeamSuspended(Forbidden):
    """The team is suspended; an administrator can resume it."""

    code = "team_suspended"


class PublishableKey(Forbidden):
    """This key is for web pages and works for POST /api/v1/llm/respond only; use a secret key (sk-…) here."""

    code = "publishable_key"
    is_about_request = True


class JobTokenRefused(Forbidden):
    """This token is for calls of one job only, by the pages it was made for; use a secret key (sk-…) here."""

    code = "job_token"
    is_about_request = True


class OriginRefused(Forbidden):
    """This key may not be used by pages of this origin; an administrator can register it."""

    code = "origin_not_registered"
    is_about_request = True


class InsufficientCredits(Forbidden):
    """The team has fewer available credits than this must hold."""

    code = "insufficient_credits"

    def __init__(self, *, needed: int, available: int, **facts: Any) -> None:
        self.available = available
        super().__init__(
            f"Insufficient credits: {needed} needed, {available} available.",
            credits_needed=needed,
            credits_available=available,
            **facts,
        )


class JobCapReached(Forbidden):
    """The call could cost more than the job's `max_credits` or `max_cost_usd` leave."""

    code = "job_cap_reached"

    def __init__(self, *, affordable_max_tokens: int, **facts: Any) -> None:
        """`affordable_max_tokens`: the largest `max_tokens` with which the call fits; 0: its prompt alone does not fit."""
        advice = (
            f"Set max_tokens to at most {affordable_max_tokens}." if affordable_max_tokens else "No further call fits."
        )
        super().__init__(
            f"The job's cap does not cover this. {advice}", affordable_max_tokens=affordable_max_tokens, **facts
        )


class AtRiskLimit(Forbidden):
    """Too much is spent on open, failed, cancelled and expired jobs; complete jobs, or wait."""

    code = "at_risk_limit"

    def __init__(self, *, at_risk_usd: float, running_usd: float, limit_usd: float) -> None:
        super().__init__(
            f"The team's open and unbilled jobs put {at_risk_usd:.4f} USD of provider spend at risk, {running_usd:.4f} USD "
            f"of it the worst case of running calls; its limit is {limit_usd:.4f} USD. Complete open jobs, wait for running "
            "calls, or wait until failed jobs no longer count.",
            at_risk_usd=at_risk_usd,
            running_usd=running_usd,
            at_risk_limit_usd=limit_usd,
        )


class UnpricedRefused(Forbidden):
    """A model of this group has no known price, and the operator does not allow calls without one."""

    code = "unpriced_model"


class ModelGroupNotAllowed(Forbidden):
    """The team may not use this model group."""

    code = "model_group_not_allowed"

    def __init__(self, *, group: str, team: str, is_the_keys: bool = False) -> None:
        """`is_the_keys`: the team may use it, but the key is limited to other groups."""
        holder = "This key" if is_the_keys else f"Team '{team}'"
        super().__init__(f"{holder} does not have access to model group '{group}'", model_group=group)


class NotFound(Refused):
    """Not found."""

    code = "not_found"
    status = 404


class JobNotFound(NotFound):
    """Job not found."""

    code = "job_not_found"


class TeamNotFound(NotFound):
    """Team not found."""

    code = "team_not_found"


class OrganizationNotFound(NotFound):
    """Organization not found."""

    code = "organization_not_found"


class KeyNotFound(NotFound):
    """Key not found."""

    code = "key_not_found"


class TokenNotFound(NotFound):
    """Access token not found."""

    code = "token_not_found"


class ModelGroupNotFound(NotFound):
    """Model group not found."""

    code = "model_group_not_found"

    def __init__(self, *, group: str, known: Sequence[str] = ()) -> None:
        """`known`: the groups that the calling team may use, so that no other name leaks."""
        hint = f" Groups you may use: {', '.join(known)}." if known else ""
        super().__init__(f"There is no model group '{group}'.{hint}", model_group=group)


class Conflict(Refused):
    """The current state does not allow this."""

    code = "conflict"
    status = 409


class JobClosed(Conflict):
    """The job is closed; it takes no more calls."""

    code = "job_closed"
    is_about_request = True

    def __init__(self, *, status: str) -> None:
        super().__init__(f"The job is {status}; create a new one.", job_status=status)


class CallsInFlight(Conflict):
    """Calls of this job are still running."""

    code = "calls_in_flight"

    def __init__(self, *, calls: int) -> None:
        super().__init__(
            f"{calls} call(s) of this job are still running; complete it when they have ended.",
            retry_after_s=1,
            calls_in_flight=calls,
        )


class AlreadyExists(Conflict):
    """That name is taken."""

    code = "already_exists"


class TeamHasHistory(Conflict):
    """The team has jobs, credits or keys in its history and cannot be deleted; suspend it instead."""

    code = "team_has_history"


class IdempotencyInFlight(Conflict):
    """The first request with this Idempotency-Key is still running. Retry after the time in Retry-After."""

    code = "idempotency_in_flight"

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)


class IdempotencyAnswerSecret(Conflict):
    """The first request with this Idempotency-Key succeeded; its response held a secret that is shown once. Rotate that key, or create another token."""

    code = "idempotency_response_not_stored"


class RequestTimeout(Refused):
    """The request did not arrive in time. Send it again, without pauses."""

    code = "request_timeout"
    is_about_request = True
    status = 408


class TooLarge(Refused):
    """The request is too large."""

    code = "too_large"
    is_about_request = True
    status = 413


class Unprocessable(Refused):
    """The request cannot be processed as it is."""

    code = "unprocessable"
    status = 422


class FileRefused(Unprocessable):
    """A file of the request cannot be used."""

    code = "file_refused"
    is_about_request = True


class SchemaTooLarge(Unprocessable):
    """The JSON schemas of the request are too large."""

    code = "schema_too_large"
    is_about_request = True


class IdempotencyKeyReused(Unprocessable):
    """This Idempotency-Key was used for another request. Use a new key for each."""

    code = "idempotency_key_reused"


class ModelGroupMissing(Unprocessable):
    """Name a model group: the team has no default and may use more than one."""

    code = "model_group_missing"

    def __init__(self, *, groups: Sequence[str]) -> None:
        advice = f"Choose one of: {', '.join(groups)}." if groups else "The team may not use any model group yet."
        super().__init__(f"No model_group was given and the team has no default. {advice}", model_groups=list(groups))


class EndpointUnsupported(Unprocessable):
    """No model of the group supports this endpoint."""

    code = "endpoint_unsupported"

    def __init__(self, *, group: str, endpoint: str) -> None:
        super().__init__(f"No model of '{group}' supports {endpoint}. Choose another `model`.", model_group=group)


class InvalidConfig(Unprocessable):
    """The configuration file has mistakes."""

    code = "invalid_config"

    def __init__(self, problems: Sequence[str]) -> None:
        """`problems`: one sentence each, with file and line."""
        super().__init__("\n".join(problems), problems=list(problems))


class SchemaTooNew(Unprocessable):
    """The database was migrated by a newer release than this one."""

    code = "schema_too_new"

    def __init__(self, *, schema: str, newest: str) -> None:
        """`schema`: the database's revision; `newest`: the last revision of this release."""
        super().__init__(
            f"The database has schema {schema} of a newer release; the newest schema of this release is {newest}. Nothing "
            "was changed. Use the newer release, or restore a backup from before its migration."
        )


class RateLimited(Refused):
    """A rate limit is reached. Try again later."""

    code = "rate_limited"
    status = 429

    def __init__(self, *, owner: str, kind: str, limit: int, retry_after_ms: int, limit_status: object = None) -> None:
        """`owner`: team, key or model group; `kind`: what is limited; `limit_status`: what all limits leave."""
        self.limit_status = limit_status
        what = {"parallel_calls": "calls at once", "jobs": "new jobs a minute"}.get(kind, f"{kind} a minute")
        super().__init__(
            f"The {owner}'s limit of {limit} {what} is reached. Try again in {retry_after_ms / 1000:.1f} s.",
            retry_after_s=retry_after_ms / 1000,
            limit_owner=owner,
            limit_kind=kind,
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class IdempotencyAnswerTooLarge(Conflict):
    """The first request with this Idempotency-Key succeeded; its response is larger than 1 MB and was not stored."""

    code = "idempotency_answer_too_large"


class TeamBodiesTooLarge(Refused):
    """The bodies of the team's running requests are too large together."""

    code = "too_many_bytes"
    status = 429

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"The bodies of the team's running requests would have more than {limit} bytes together. Send fewer at once, or "
            "link to files instead of sending them."
        )


BROKEN_OFF = "The stream broke off after part of the response was delivered."


class ProviderError(ControlPlaneError):
    """The model provider failed."""

    code = "llm_call_failed"
    status = 500
    level = logging.WARNING
    provider_status: int | None = None
    """HTTP status of the provider's response; None: there was no response."""
    when_broken_off: ClassVar[str | None] = None
    """Replaces the message after a stream has begun, where the message is about all models of the group."""
    _fault: ProviderFault | None = None

    @property
    def fault(self) -> ProviderFault | None:
        """The provider's error report, always redacted and bounded. Its text is for administrators."""
        return self._fault

    @fault.setter
    def fault(self, fault: ProviderFault | None) -> None:
        self._fault = None if fault is None else shown(fault)


def fault_of(error: BaseException) -> ProviderFault | None:
    """The provider's error report, if the error is a provider's and has one."""
    return error.fault if isinstance(error, ProviderError) else None


def break_off(error: BaseException) -> None:
    """Replaces the message of a provider's error that ended a stream after its first chunk, where that message is about
    all models of the group; other errors keep theirs.
    """
    if isinstance(error, ProviderError) and (after := type(error).when_broken_off) is not None:
        error.message = f"{BROKEN_OFF} {after}"


class ProviderRefused(ProviderError):
    """The model provider rejected the request as invalid. Check messages and parameters."""

    code = "invalid_request"
    status = 400


class ContextLengthExceeded(ProviderError):
    """The messages are longer than the model's context window."""

    code = "context_length_exceeded"
    is_about_request = True
    status = 400


class ContentPolicyViolated(ProviderError):
    """The model provider's content policy rejected the request."""

    code = "content_policy"
    status = 400


class ProviderRateLimited(ProviderError):
    """The model provider's rate limit is reached, also after retries and fallbacks. Try again later."""

    code = "provider_rate_limited"
    status = 429
    when_broken_off = "The model provider's rate limit is reached. Try again later."


class LlmCallFailed(ProviderError):
    """LLM call failed: every model of the group failed. A failed call costs nothing; try again."""

    when_broken_off: ClassVar[str | None] = "The model failed. A failed call costs nothing; try again."


class ProviderMisconfigured(LlmCallFailed):
    """The model provider rejects the operator's account or key; the operator has been notified. A failed call costs nothing."""

    level = logging.ERROR
    when_broken_off = None

    @property
    def message_for_pages(self) -> str:
        """Hides the operator's misconfiguration from web pages."""
        return LlmCallFailed._first_sentence()  # noqa: SLF001 - of the class above


class ProviderUnavailable(ProviderError):
    """No model of the group is available right now. Try again later."""

    code = "provider_unavailable"
    status = 503
    when_broken_off = "The model became unavailable. Try again later."


class ProviderOverloaded(ProviderUnavailable):
    """The model provider is overloaded, also after retries and fallbacks. Try again later."""

    when_broken_off = "The model provider is overloaded. Try again later."


class ModelTimeout(ProviderError):
    """Model timeout exceeded"""

    code = "model_timeout"
    status = 503


class CallTimedOut(ModelTimeout):
    """The call exceeded the server's time limit for a call with all its attempts."""

    code = "call_timeout"
    status = 504


class Unavailable(ControlPlaneError):
    """The service cannot take this request right now. Try again."""

    code = "overloaded"
    status = 503
    level = logging.WARNING


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached right now. Try again."""

    code = "database_unavailable"


class DatabaseBusy(DatabaseUnavailable):
    """Rows that this request needs were locked for too long. Nothing was done; try again."""

    code = "database_busy"


class OutcomeUnknown(DatabaseUnavailable):
    """The database cannot be reached right now. Try again.

    The connection was lost during a COMMIT, so the transaction may have happened. A retry must check.
    """


class Overloaded(DatabaseUnavailable):
    """The server is overloaded. Nothing was done; try again later."""

    code = "overloaded"
    level = logging.DEBUG  # there are many, and each has its line in the log of requests

    @classmethod
    def after(cls, wait_s: float) -> "Overloaded":
        """An error with Retry-After: `wait_s` with jitter, so that clients rejected together do not retry together."""
        return cls(retry_after_s=max(1.0, wait_s * random.uniform(1.0, 1.5)))  # noqa: S311 - nothing is kept secret by it


class BodiesTooLarge(Unavailable):
    """The bodies of all running requests are too large together. Try again."""


class ShuttingDown(Unavailable):
    """The server is shutting down. Try again."""

    code = "shutting_down"
