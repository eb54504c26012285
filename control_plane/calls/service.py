"""The one path of a call, buffered or streamed: access → limits → intent and hold → cached answer or provider → record."""

import logging
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

from control_plane import failpoints, waiting
from control_plane.cache.codecs import CHAT, Codec, codec_of
from control_plane.cache.replay import ReplayedStream
from control_plane.cache.service import AnswerCache, CacheEntry
from control_plane.calls.failures import RecordedFailures, raise_pending_cancellation
from control_plane.calls.in_flight import InFlight, InFlightCall, Outcome
from control_plane.calls.remote_files import RemoteFiles
from control_plane.calls.requests import AnsweredCall, AuthorizedCall, CallRequest
from control_plane.calls.rules import cut_to, fill_in, require_small_schemas
from control_plane.calls.stream import InFlightStream
from control_plane.calls.writer import CallWriter
from control_plane.chat import (
    Answer,
    ChatRequest,
    EndpointRequest,
    ModelRequest,
    ProviderCall,
)
from control_plane.clock import Clock
from control_plane.completion.usage import Usage
from control_plane.errors import (
    EndpointUnsupported,
    ShuttingDown,
    TooLarge,
    UnpricedRefused,
    error_code_of,
)
from control_plane.gateway.router import Gateway
from control_plane.gateway.streams import AnswerStream
from control_plane.ids import CallId, JobId, Subject, new_id
from control_plane.jobs.admission import Repetition
from control_plane.jobs.rules import CallStatus, Intent
from control_plane.jobs.service import JobService
from control_plane.limits.rules import expected_tokens
from control_plane.limits.service import LimitService, Permit
from control_plane.model_groups.catalog import CachePolicy, Target
from control_plane.model_groups.service import ModelGroupService
from control_plane.tenants.principal import Principal
from control_plane.traces import Traces
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 8_000_000

A = TypeVar("A")


class CallService:
    """Makes calls. Tracks every call in flight, so that a stop can wait for them and end the rest."""

    def __init__(  # noqa: PLR0913 - the one path of a call leads through all of them
        self,
        gateway: Gateway,
        groups: ModelGroupService,
        jobs: JobService,
        limits: LimitService,
        writer: CallWriter,
        files: RemoteFiles,
        cache: AnswerCache,
        *,
        traces: Traces,
        clock: Clock,
        refuses_unpriced: bool = False,
        max_text_bytes: int = MAX_TEXT_BYTES,
    ) -> None:
        """`gateway`: the one in force, which may be replaced at any time. `refuses_unpriced`: whether groups with a model
        of unknown price are refused. `max_text_bytes`: that a call may send beside the data of files.
        """
        self._max_text_bytes = max_text_bytes
        self._refuses_unpriced = refuses_unpriced
        self.gateway = gateway
        self._groups = groups
        self._jobs = jobs
        self._limits = limits
        self._writer = writer
        self._files = files
        self._cache = cache
        self._traces = traces
        self._clock = clock
        self.in_flight = InFlight()
        self.is_draining = False
        self.is_stopping = False

    async def complete(self, principal: Principal, job_id: JobId, call_request: CallRequest) -> AnsweredCall:
        """One buffered call: a chat completion, or an endpoint with a single response.

        Raises: what `_open` raises; ProviderError when no model of the group answered; what `render` raises.
        """
        call, policy = await self._open(principal, job_id, call_request, is_stream=False)
        entry = self._cache_entry(codec_of(call_request.request), call, policy, call_request)
        async with RecordedFailures(call):
            answer = await _find_cached(call, entry)
            if answer is None:
                answer = await _complete(call)
        answered = await self._record(call, answer, call_request)
        if not call.is_cached:
            entry.put(answer)
        return answered

    async def stream(self, principal: Principal, job_id: JobId, call_request: CallRequest) -> InFlightStream:
        """One streamed chat call, its first event already here. Raises as `complete`: a failure before that is no stream."""
        call, policy = await self._open(principal, job_id, call_request, is_stream=True)
        entry = self._cache_entry(CHAT, call, policy, call_request)
        async with RecordedFailures(call):
            cached = await _find_cached(call, entry)
            upstream = await _stream(call) if cached is None else ReplayedStream(cached)
        call.first_chunk_ms = call.elapsed_ms()
        failpoints.reach("stream_begun")
        return InFlightStream(call, upstream, entry)

    async def _record(self, call: InFlightCall, answer: Answer, call_request: CallRequest) -> AnsweredCall:
        """The answer as its API responds with it, then the record."""
        failpoints.reach("provider_answered")
        try:
            failpoints.reach("rendering")
            rendered = call_request.render(call, answer)
        except Exception as error:
            log.exception("answer_not_rendered", extra={"call_id": str(call.intent.call_id)})
            await call.finish(replace(Outcome.of(answer), status=CallStatus.FAILED, error_code=error_code_of(error)))
            raise
        await call.finish(Outcome.of(answer))
        return AnsweredCall(call, answer, rendered)

    async def choose(self, principal: Principal, call_request: CallRequest, job_group: str | None = None) -> Target:
        """The models of a request; nothing is written.

        Raises: TeamSuspended, ModelGroupNotAllowed, ModelGroupNotFound, ModelGroupMissing.
        """
        defaults = (job_group, principal.key_model_group, principal.team_model_group)
        target = await self._groups.choose(principal, call_request.model_group, defaults)
        if call_request.only is None:
            return target
        able = tuple(model for model in target.models if model in call_request.only)
        return replace(target, models=able or target.models)  # the file may have changed since support was checked

    async def find_target(self, principal: Principal, call_request: CallRequest, job_id: JobId | None) -> Target:
        """The models of a request in that job, or in its own. Raises: as `choose`; JobNotFound, JobNotOwned."""
        job_group = None
        if call_request.creation is not None:
            job_group = call_request.creation.new.model_group
        elif job_id is not None and call_request.model_group is None:
            job_group = (await self._jobs.get(principal, job_id)).default_model_group
        return await self.choose(principal, call_request, job_group)

    async def count(self, principal: Principal, call_request: CallRequest) -> int:
        """Tokens of the request's prompt at its first model, counted by us. It counts as a request, but for no tokens.

        Raises: as `admit`.
        """
        authorized = await self._authorize(principal, call_request, None)
        permit = await self._limit(authorized, tokens=0)
        try:
            call = ProviderCall(
                CallId(new_id()), JobId(new_id()), principal.team(), authorized.target.models, call_request.request
            )
            with authorized.gateway.in_use():
                usage, _ = await authorized.gateway.estimate(call)
        finally:
            await self.in_flight.run_to_completion(permit.settle(0))
        return usage.prompt_tokens

    def price(self, deployment_id: str, usage: Usage) -> NanoUsd | None:
        """The current price of plain tokens at a deployment; see `Gateway.price`."""
        return self.gateway.price(deployment_id, usage)

    async def admit(self, principal: Principal, call_request: CallRequest, job_id: JobId | None = None) -> CallRequest:
        """The request with leave to be made, in a job or for one that is still to be created. Make it, or settle its permit.

        Raises: as `choose`, UnpricedRefused, RateLimited, ShuttingDown, TooLarge, SchemaTooLarge; JobNotFound, JobNotOwned.
        """
        authorized = await self._authorize(principal, call_request, job_id)
        return replace(call_request, permit=await self._limit(authorized))

    def reads_files(self, call_request: CallRequest) -> bool:
        """Whether something is fetched for the call before it is made: its job is to be there by then."""
        return self._files.are_linked(call_request.request)

    async def require_paid(self, principal: Principal, call_request: CallRequest, job_id: JobId) -> None:
        """Checks before files are read for a call that its job is open and that it can be paid as far as it is known.

        Raises: as `JobService.require_open`; what choosing a model raises.
        """
        authorized = await self._authorize(principal, call_request, job_id)
        await self._jobs.require_open(principal, job_id, authorized.estimate, authorized.target.markup_bps)

    def drain(self) -> None:
        """Draining: this process still takes calls, but load balancers should send no more."""
        self.is_draining = True

    async def wait_until_idle(self, timeout_s: float, *, most_s: float = 0.0) -> None:
        """Takes no new calls and waits for those in flight to be recorded, as `InFlight.wait_until_landed`; logs what is
        left to be found as lost.
        """
        self.is_stopping = True
        await self.in_flight.wait_until_idle(timeout_s, most_s=most_s)
        for call in self.in_flight.calls:
            log.error("call_left_open", extra={"call_id": str(call.intent.call_id)})

    async def _open(
        self, principal: Principal, job_id: JobId, call_request: CallRequest, *, is_stream: bool
    ) -> tuple[InFlightCall, CachePolicy]:
        """Decides the call's models and cache settings, and makes its intent durable, before the provider is called.

        Raises: TeamSuspended, ModelGroupNotAllowed, ModelGroupNotFound, ModelGroupMissing, RateLimited, JobNotFound,
        JobNotOwned, JobClosed, AtRiskLimit, JobCapReached, InsufficientCredits, UnpricedRefused, FileRefused,
        DatabaseUnavailable, ShuttingDown.
        """
        permit, gateway = call_request.permit, None
        started = perf_counter()
        try:
            authorized = await self._authorize(principal, call_request, job_id)
            gateway = authorized.gateway
            gateway.enter()
            permit = permit or await self._limit(authorized)
            request = await self._inline_files(authorized, job_id)
            authorized = authorized.with_request(request)
            call = await self._write_intent(authorized, job_id, permit, is_stream=is_stream)
            waiting.work_has_begun()
        except BaseException:
            if gateway is not None:
                gateway.leave()
            if permit is not None:
                await self.in_flight.run_to_completion(permit.settle(0))
            raise
        self._writer.metrics.call_opened(perf_counter() - started)
        return call, authorized.target.cache

    async def _authorize(self, principal: Principal, call_request: CallRequest, job_id: JobId | None) -> AuthorizedCall:
        """What the call runs on. Nothing is taken, fetched or written.

        What it runs on and the gateway are of one version of the YAML: nothing waits between choosing and taking it.
        Raises: as `find_target`, EndpointUnsupported, UnpricedRefused, TooLarge, SchemaTooLarge, ShuttingDown.
        """
        if self.is_stopping:
            raise ShuttingDown(retry_after_s=1)
        with self._traces.span("access", team_id=principal.team_id, job_id=job_id) as span:
            target = await self.find_target(principal, call_request, job_id)
            span.set(model_group=target.group)
        require_small_schemas(call_request.request)
        gateway = self.gateway
        request = fill_in(call_request.request, target.defaults, temperature=call_request.default_temperature)
        if isinstance(request, EndpointRequest) and not gateway.takes(target.models, request):
            raise EndpointUnsupported(group=target.group, endpoint=request.endpoint)
        estimate = gateway.estimate_usage(target.models, request)
        if estimate.text_bytes > self._max_text_bytes:
            raise TooLarge(f"The request has more than {self._max_text_bytes} bytes of text, names and schemas.")
        if self._refuses_unpriced and not estimate.rate.is_known:
            raise UnpricedRefused
        return AuthorizedCall(principal, call_request, target, gateway, request, estimate)

    async def _limit(self, authorized: AuthorizedCall, *, tokens: int | None = None) -> Permit:
        """Leave for a call of so many tokens; None: of as many as are likely. Raises: RateLimited."""
        if tokens is None:
            asked = authorized.request.parameters if isinstance(authorized.request, ChatRequest) else {}
            tokens = expected_tokens(authorized.estimate, is_bounded="max_tokens" in asked)
        principal, target = authorized.principal, authorized.target
        with self._traces.span("limits", team_id=principal.team_id, model_group=target.group):
            return await self._limits.admit_call(principal, target, tokens)

    async def _inline_files(self, authorized: AuthorizedCall, job_id: JobId) -> ModelRequest:
        """The model's request with linked files in it, fetched where the job can pay for the call.

        Raises: as `require_paid`, FileRefused, TooLarge.
        """
        principal, request, target = authorized.principal, authorized.request, authorized.target
        if self._files.are_linked(request):
            await self._jobs.require_open(principal, job_id, authorized.estimate, target.markup_bps)
        with self._traces.span("files", job_id=job_id), waiting.off_the_clock():
            return await self._files.inlined(request, target.models, team=principal.team())

    async def _write_intent(
        self, authorized: AuthorizedCall, job_id: JobId, permit: Permit, *, is_stream: bool
    ) -> InFlightCall:
        """The call with its intent durable, even if its caller is cancelled meanwhile. Raises: as `CallWriter.open`."""
        call_request = authorized.call_request
        subject = call_request.subject
        repetition = await self._find_repetition(subject)
        intent = Intent(
            call_id=repetition.call_id,
            job_id=job_id,
            team_id=authorized.principal.team(),
            model_group=authorized.target.group,
            is_stream=is_stream,
            purpose=call_request.purpose,
            metadata=call_request.metadata or {},
            created_at=self._clock(),
            demand=authorized.estimate,
            markup_bps=authorized.target.markup_bps,
            is_resumed=subject is not None and subject.is_resumed,
        )
        call = await self.in_flight.run_to_completion(self._open_in_flight(intent, authorized, permit))
        call.may_use_cached = call.may_use_cached and repetition.may_use_cached
        return call

    async def _find_repetition(self, subject: Subject | None) -> Repetition:
        """The call's id, and whether a cached answer may be used for it. Raises: DatabaseUnavailable."""
        if subject is None:
            return Repetition(CallId(new_id()), may_use_cached=True)
        if not subject.is_resumed:
            return Repetition(CallId(subject.id), may_use_cached=True)
        return await self.in_flight.run_to_completion(self._writer.repetition(subject))

    async def _open_in_flight(self, intent: Intent, authorized: AuthorizedCall, permit: Permit) -> InFlightCall:
        """A durable intent and the InFlightCall that will finish it, settle its permit and leave its gateway: or nothing."""
        with self._traces.span("intent", job_id=intent.job_id, call_id=intent.call_id):
            opened = await self._writer.open(intent, authorized.call_request.creation)
        failpoints.reach("intent_committed")
        request = authorized.request
        if opened.intent.demand.max_tokens < intent.demand.max_tokens:
            request = cut_to(request, opened.intent.demand.max_tokens)
        return InFlightCall(
            opened.intent,
            ProviderCall(intent.call_id, intent.job_id, intent.team_id, authorized.target.models, request),
            gateway=authorized.gateway,
            permit=permit,
            credits_remaining=opened.credits_remaining,
            writer=self._writer,
            clock=self._clock,
            traces=self._traces,
            in_flight=self.in_flight,
            may_use_cached=opened.may_use_cached,
            closing=authorized.call_request.closing,
        )

    def _cache_entry(
        self, codec: Codec[A], call: InFlightCall, policy: CachePolicy, call_request: CallRequest
    ) -> CacheEntry[A]:
        cache_control = call_request.cache_control
        if not call.may_use_cached:
            cache_control = replace(cache_control, may_use_cached=False)
        return self._cache.entry(
            codec, call.to_provider, group=call.intent.model_group, policy=policy, cache_control=cache_control
        )


async def _find_cached(call: InFlightCall, entry: CacheEntry[A]) -> A | None:
    """The cached answer to a call; None: the provider is to be called. Raises: CancelledError when the client has left
    already, while the intent was written.
    """
    await raise_pending_cancellation()
    with call.span("cache") as span:
        cached = await entry.get()
        call.is_cached = cached is not None
        span.set(is_hit=call.is_cached)
    return cached


async def _complete(call: InFlightCall) -> Answer:
    with call.span_at_provider():
        if isinstance(call.to_provider.request, EndpointRequest):
            return await call.gateway.call_endpoint(call.to_provider)
        return await call.gateway.complete(call.to_provider)


async def _stream(call: InFlightCall) -> AnswerStream:
    with call.span_at_provider():
        return await call.gateway.stream(call.to_provider)
