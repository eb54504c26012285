"""Everything that can be refused or go wrong, by name. A class knows its code, status and log level; doors render it.

    ControlPlaneError                       our own fault                            500
    ├── CallLost                     its lease ran out before it ended        500
    ├── Refused                      what we say no to (4xx), logged at INFO
    │   ├── InvalidKey                                                        401
    │   ├── Forbidden                                                         403
    │   │   ├── JobNotOwned  TeamNotOwned  AdminOnly  TeamSuspended
    │   │   ├── OriginRefused  PublishableKey
    │   │   ├── InsufficientCredits  JobCapReached  AtRiskLimit
    │   │   └── ModelGroupNotAllowed  UnpricedRefused
    │   ├── NotFound                                                          404
    │   │   ├── JobNotFound  TeamNotFound  OrganizationNotFound  KeyNotFound  ModelGroupNotFound
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
    ├── ProviderError                what a provider did, after retries and fallbacks, logged at WARNING
    │   ├── ProviderRefused  ContextLengthExceeded  ContentPolicyViolated     400
    │   ├── ProviderRateLimited                                               429
    │   ├── LlmCallFailed                                                     500
    │   │   └── ProviderMisconfigured    the operator's key or account, logged at ERROR
    │   └── ProviderUnavailable  ModelTimeout                                 503
    │       ├── ProviderOverloaded
    │       └── CallTimedOut    of a model that goes on and on             504
    └── Unavailable                  we cannot serve now                      503
        ├── ShuttingDown  BodiesTooLarge
        └── DatabaseUnavailable
            ├── DatabaseBusy         it answers, but what is asked for is locked
            ├── Overloaded           its turn would not come in the time a request may wait
            └── OutcomeUnknown       the answer to a COMMIT was lost

The first sentence of a docstring is the default message. Messages say what was wrong and how to mend it; provider text,
addresses and secrets stay out of them.
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
    """Whether a message says nothing of the team or the operator, so that everybody who opens a web page may read it."""

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None, **facts: Any) -> None:
        self.message = message or self._first_sentence()
        self.facts: Mapping[str, Any] = facts
        self.retry_after_s = retry_after_s
        super().__init__(self.message)

    @property
    def message_for_pages(self) -> str:
        """What a web page is told: neither numbers of the team nor names."""
        return self.message if self.is_about_request else self._first_sentence()

    @classmethod
    def _first_sentence(cls) -> str:
        return (cls.__doc__ or "").partition("\n")[0]


def error_code_of(error: BaseException) -> str:
    """The code of any error: its own, or that of our fault."""
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
    """This route needs the master key."""

    code = "admin_only"


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
        """`affordable_max_tokens`: with a `max_tokens` of so many the call would fit; 0: not even its prompt does."""
        advice = (
            f"Ask for at most {affordable_max_tokens} max_tokens."
            if affordable_max_tokens
            else "Nothing more fits into it."
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
            "calls, or wait until failed jobs are older.",
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
    """There is no such thing."""

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


class ModelGroupNotFound(NotFound):
    """Model group not found."""

    code = "model_group_not_found"

    def __init__(self, *, group: str, known: Sequence[str] = ()) -> None:
        """`known`: the groups the asking team may use, so that no other name leaks."""
        hint = f" Groups you may use: {', '.join(known)}." if known else ""
        super().__init__(f"There is no model group '{group}'.{hint}", model_group=group)


class Conflict(Refused):
    """The thing is not in a state that allows this."""

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
    """The first request with this Idempotency-Key is still running. Ask again when Retry-After says."""

    code = "idempotency_in_flight"

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)


class IdempotencyAnswerSecret(Conflict):
    """The first request with this Idempotency-Key was done; its answer held a secret that is shown once. Rotate that key, or make another token."""

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
    """The request does not make sense as it stands."""

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
        said = f"Choose one of: {', '.join(groups)}." if groups else "The team may not use any model group yet."
        super().__init__(f"No model_group was given and the team has no default. {said}", model_groups=list(groups))


class EndpointUnsupported(Unprocessable):
    """No model of the group is for this endpoint."""

    code = "endpoint_unsupported"

    def __init__(self, *, group: str, endpoint: str) -> None:
        super().__init__(f"No model of '{group}' is for {endpoint}. Choose another `model`.", model_group=group)


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
        """`schema`: the database's revision; `newest`: the last that this program knows."""
        super().__init__(
            f"The database has schema {schema}, which a newer release made; this one knows {newest} at most. Nothing was "
            "changed. Use that release, or restore a backup from before it."
        )


class RateLimited(Refused):
    """A rate limit is reached. Try again later."""

    code = "rate_limited"
    status = 429

    def __init__(self, *, owner: str, kind: str, limit: int, retry_after_ms: int, standing: object = None) -> None:
        """`owner`: whose limit; `kind`: of what; `standing`: what all limits leave (`limits.rules.Standing`)."""
        self.standing = standing
        what = {"parallel_calls": "calls at once", "jobs": "new jobs a minute"}.get(kind, f"{kind} a minute")
        super().__init__(
            f"The {owner} may have {limit} {what}, and has them. Try again in {retry_after_ms / 1000:.1f} s.",
            retry_after_s=retry_after_ms / 1000,
            limit_owner=owner,
            limit_kind=kind,
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class IdempotencyAnswerTooLarge(Conflict):
    """The first request with this Idempotency-Key was done; its answer is larger than 1 MB and was not kept."""

    code = "idempotency_answer_too_large"


class TeamBodiesTooLarge(Refused):
    """The team's requests that are being answered have too large bodies together."""

    code = "too_many_bytes"
    status = 429

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"The bodies of the team's requests that are being answered would have more than {limit} bytes together. Send "
            "fewer of them at once, or link to files instead of sending them."
        )


BROKEN_OFF = "The stream broke off after part of the answer was delivered."


class ProviderError(ControlPlaneError):
    """The model provider failed."""

    code = "llm_call_failed"
    status = 500
    level = logging.WARNING
    provider_status: int | None = None
    """What the provider answered; None when no answer of its came."""
    when_broken_off: ClassVar[str | None] = None
    """The message's place for a stream that has begun, where the message speaks of all models of the group."""
    _fault: ProviderFault | None = None

    @property
    def fault(self) -> ProviderFault | None:
        """What the provider reported, redacted and bounded, whatever it was set to. Its text is for administrators."""
        return self._fault

    @fault.setter
    def fault(self, fault: ProviderFault | None) -> None:
        self._fault = None if fault is None else shown(fault)


def fault_of(error: BaseException) -> ProviderFault | None:
    """What a provider reported, if the error is one of a provider's that came with a report."""
    return error.fault if isinstance(error, ProviderError) else None


def break_off(error: BaseException) -> None:
    """Lets a provider's error that ended a stream after its first piece say so, where it would speak of all models of the
    group; other errors stay as they are.
    """
    if isinstance(error, ProviderError) and (after := type(error).when_broken_off) is not None:
        error.message = f"{BROKEN_OFF} {after}"


class ProviderRefused(ProviderError):
    """The model provider refused the request as invalid. Check messages and parameters."""

    code = "invalid_request"
    status = 400


class ContextLengthExceeded(ProviderError):
    """The messages are longer than the model's context window."""

    code = "context_length_exceeded"
    is_about_request = True
    status = 400


class ContentPolicyViolated(ProviderError):
    """The model provider's content policy refused the request."""

    code = "content_policy"
    status = 400


class ProviderRateLimited(ProviderError):
    """The model provider limits our rate, also after retries and fallbacks. Try again later."""

    code = "provider_rate_limited"
    status = 429
    when_broken_off = "The model provider limits our rate. Try again later."


class LlmCallFailed(ProviderError):
    """LLM call failed: no model of the group could answer. A failed call costs nothing; try again."""

    when_broken_off: ClassVar[str | None] = "The model failed. A failed call costs nothing; try again."


class ProviderMisconfigured(LlmCallFailed):
    """The model provider refuses the operator's account or key; the operator has been told. A failed call costs nothing."""

    level = logging.ERROR
    when_broken_off = None

    @property
    def message_for_pages(self) -> str:
        """The operator's troubles are not for everybody."""
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
    """The call took longer than a call may take here, all its attempts together."""

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
    """The database answers, but rows that this needs were locked for too long. Nothing was done; try again."""

    code = "database_busy"


class OutcomeUnknown(DatabaseUnavailable):
    """The database cannot be reached right now. Try again.

    It went away while a transaction was committed: it may have happened. What is written again must find out.
    """


class Overloaded(DatabaseUnavailable):
    """More is asked than this server can do in time. Nothing was done; try again later."""

    code = "overloaded"
    level = logging.DEBUG  # there are many, and each has its line in the log of requests

    @classmethod
    def after(cls, wait_s: float) -> "Overloaded":
        """One whose client would wait so long. Those who were refused together do not come again together."""
        return cls(retry_after_s=max(1.0, wait_s * random.uniform(1.0, 1.5)))  # noqa: S311 - nothing is kept secret by it


class BodiesTooLarge(Unavailable):
    """The bodies of the requests that are being answered are too large together. Try again."""


class ShuttingDown(Unavailable):
    """The server is shutting down. Try again."""

    code = "shutting_down"
