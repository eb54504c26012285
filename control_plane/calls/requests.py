"""A call as it is requested, as it is authorized, and as it was answered."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from control_plane.cache.rules import ANY, CacheControl
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.rules import DEFAULT_TEMPERATURE
from control_plane.chat import Answer, Completion, ModelRequest, UsageEstimate
from control_plane.gateway.router import Gateway
from control_plane.ids import Subject
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.creating import Creation
from control_plane.limits.service import Permit
from control_plane.model_groups.catalog import Target
from control_plane.tenants.principal import Principal


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as an entry point requests it: `model_group` is a group's or model's name, or None for the default.

    `only`: the group's models that support the request; None: all of them. `default_temperature`: where neither the
    client nor the group sets one; None: the model's own. `subject`: the call, when its id is known before. `creation`:
    of its job, where that is created together with the call; `closing`: where it ends with it. `permit`: already
    acquired from the limits, for a call whose job is still to be created. `cache_control`: whether a cached answer may be
    used. `render`: makes the API's response of a buffered answer, before the call is recorded as succeeded: an answer
    that cannot be rendered is a failed call.
    """

    request: ModelRequest
    model_group: str | None = None
    purpose: str | None = None
    metadata: dict[str, Any] | None = None
    only: frozenset[str] | None = None
    default_temperature: float | None = DEFAULT_TEMPERATURE
    subject: Subject | None = None
    creation: Creation | None = None
    closing: JobClosing | None = None
    permit: Permit | None = None
    cache_control: CacheControl = ANY
    render: Callable[[InFlightCall, Any], Any] = lambda _call, _answer: None


@dataclass(frozen=True, slots=True)
class AuthorizedCall:
    """A call that may be made: its models, the gateway, the model's `request`, and the most that it may use."""

    principal: Principal
    call_request: CallRequest
    target: Target
    gateway: Gateway
    request: ModelRequest
    estimate: UsageEstimate

    def with_request(self, request: ModelRequest) -> "AuthorizedCall":
        """The call with the request as it will be sent, and the estimate of that."""
        if request is self.request:
            return self
        return replace(self, request=request, estimate=self.gateway.estimate_usage(self.target.models, request))


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A buffered call that was answered, its record durable. `rendered`: what the request's `render` made of it."""

    call: InFlightCall
    answer: Answer
    rendered: Any

    @property
    def completion(self) -> Completion:
        """The answer of a chat call."""
        assert isinstance(self.answer, Completion), "an endpoint's response is no completion"
        return self.answer
