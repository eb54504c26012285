"""The one way of a call from an API's request to its response.

An API parses its body into a `ParsedCall` (`request.py`), and its `Wire` (`route.py`) renders the answer; everything
between is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response

from control_plane.api.http.cache_control import CacheControlDep
from control_plane.api.http.deps import Caller, Services
from control_plane.api.http.disconnect import cancel_on_disconnect
from control_plane.api.http.responses import billed_headers, call_headers, json_bytes
from control_plane.api.http.sse import EventRenderer, SseResponse
from control_plane.api.wires.job_headers import JobHeaders, JobHeadersDep
from control_plane.api.wires.prompt_size import Counted, require_prompt_size
from control_plane.cache.rules import CacheControl
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.requests import CallRequest
from control_plane.calls.rules import DEFAULT_TEMPERATURE
from control_plane.calls.runner import CompletedCall, JobRef, Prepare
from control_plane.calls.stream import InFlightStream, JobStream
from control_plane.chat import ModelRequest
from control_plane.services import Services as ServicesType
from control_plane.tenants.principal import Principal

CallStream = InFlightStream | JobStream


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCall:
    """A call as a client requests it, in the same form for every API.

    `chars`: characters of text in it; `counted`: how the error for too many names them. `model_group`: a group's or
    model's name, or None for the default. `job_type`, `user_id`: of the call's own job; `job_id`: of the job it joins, as
    the body names it; headers take precedence over all three. `metadata`: stored with the call. `default_temperature`:
    where neither the client nor the group sets one; None: the model's own.
    """

    request: ModelRequest
    chars: int
    counted: Counted = "request has"
    model_group: str | None
    job_type: str
    job_id: str | None = None
    user_id: str | None = None
    metadata: dict[str, Any] | None = None
    is_stream: bool = False
    default_temperature: float | None = DEFAULT_TEMPERATURE


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call needs beside its body."""

    request: Request
    principal: Principal
    services: ServicesType
    job_headers: JobHeaders
    cache_control: CacheControl


async def call_context(
    request: Request,
    principal: Caller,
    services: Services,
    job_headers: JobHeadersDep,
    cache_control: CacheControlDep,
) -> CallContext:
    """Bundles them: one dependency for every API's route."""
    return CallContext(request, principal, services, job_headers, cache_control)


CallContextDep = Annotated[CallContext, Depends(call_context)]


class Wire(Protocol):
    """How one API responds to one call."""

    def render(self, call: InFlightCall, answer: Any) -> Any:
        """The response to a buffered call, before the call is recorded as succeeded: an error here fails the call."""

    def events(self, stream: CallStream) -> EventRenderer:
        """The renderer of a stream, which has begun. Only for APIs with streams."""
        raise AssertionError(stream)

    def write(self, result: CompletedCall) -> bytes:
        """The body of a buffered response, after the record; else what `render` returned."""
        body: bytes = result.call.rendered
        return body

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The response's headers, from those that every call has."""
        return headers

    def prepare(self, job_ref: JobRef, call_request: CallRequest) -> Prepare | None:  # noqa: ARG002 - for those that override it
        """What is done in the call's job before the call, such as reading files; None: nothing."""
        return None


async def run_call(context: CallContext, parsed: ParsedCall, wire: Wire) -> Response:
    """Makes the call and responds with it. Raises: TooLarge, JobNotFound; what creating a job and calling raise."""
    principal, services = context.principal, context.services
    require_prompt_size(parsed.chars, services.settings.max_prompt_chars, counted=parsed.counted)
    job_ref = context.job_headers.job_ref(job_type=parsed.job_type, job_id=parsed.job_id, user_id=parsed.user_id)
    call_request = CallRequest(
        parsed.request,
        model_group=parsed.model_group,
        metadata=parsed.metadata,
        default_temperature=parsed.default_temperature,
        cache_control=context.cache_control,
        render=wire.render,
    )
    runner = services.call_runner
    prepare = wire.prepare(job_ref, call_request)
    if not parsed.is_stream:
        result = await runner.complete(principal, job_ref, call_request, prepare)
        return json_bytes(wire.write(result), headers=wire.headers(billed_headers(result)))
    stream = await cancel_on_disconnect(context.request, runner.stream(principal, job_ref, call_request, prepare))
    headers = wire.headers(call_headers(stream.call))
    return SseResponse(stream, wire.events(stream), headers=headers, keep_alive_s=services.settings.keep_alive_s)
