"""The one path of a call, buffered or streamed: access → limits → intent and hold → cached answer or provider → record."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Generic, TypeVar

import anyio.lowlevel

from control_plane import failpoints, waiting
from control_plane.cache.forms import CHAT, PLAIN, Codec, RecordedAnswer
from control_plane.cache.replay import ReplayedStream
from control_plane.cache.rules import ANY, CacheControl
from control_plane.cache.service import AnswerCache, CacheEntry
from control_plane.calls.in_flight import InFlight, InFlightCall, Outcome
from control_plane.calls.remote_files import RemoteFiles
from control_plane.calls.rules import CLIENT_CLOSED, DEFAULT_TEMPERATURE, DRAINED, cut_to, fill_in
from control_plane.calls.stream import InFlightStream
from control_plane.calls.writer import CallWriter
from control_plane.chat import (
    ChatRequest,
    Completion,
    EndpointRequest,
    EndpointResponse,
    ModelRequest,
    ProviderCall,
    UsageEstimate,
)
from control_plane.clock import Clock
from control_plane.completion.usage import Usage
from control_plane.errors import (
    EndpointUnsupported,
    SchemaTooLarge,
    ShuttingDown,
    TooLarge,
    UnpricedRefused,
    error_code_of,
    fault_of,
)
from control_plane.gateway.json_schemas import SchemasTooLarge, check_size, schemas_of
from control_plane.gateway.router import Gateway
from control_plane.gateway.streams import AnswerStream
from control_plane.ids import CallId, JobId, Subject, new_id
from control_plane.jobs.admission import Repetition
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.creating import Creation
from control_plane.jobs.rules import CallStatus, Intent
from control_plane.jobs.service import JobService
from control_plane.limits.rules import likely_tokens
from control_plane.limits.service import LimitService, Permit
from control_plane.model_groups.catalog import CachePolicy, Target
from control_plane.model_groups.service import ModelGroupService
from control_plane.tenants.principal import Principal
from control_plane.traces import Traces
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 8_000_000

T = TypeVar("T")
A = TypeVar("A", Completion, EndpointResponse)
K = TypeVar("K", RecordedAnswer, EndpointResponse)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as an entry point requests it: `model_group` is a group's or model's name, or None for the default.

    `only`: the group's models that support the request; None: all of them. `default_temperature`: where neither the
    client nor the group sets one; None: the model's own. `subject`: the call, when its id is known before. `creation`:
    of its job, where that is created together with the call; `closing`: where it ends with it. `permit`: already
    acquired from the limits, for a call whose job is still to be created. `freshness`: whether a cached answer may be
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
    freshness: CacheControl = ANY
    render: Callable[[InFlightCall, Any], Any] = lambda _call, _answer: None


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decided request: its models, the model's request, and its most usage."""

    target: Target
    gateway: Gateway
    request: ModelRequest
    demand: UsageEstimate


@dataclass(frozen=True, slots=True)
class AnsweredCall(Generic[A]):
    """A buffered call that was answered, its record durable. `rendered`: what the order's `render` made of it."""

    call: InFlightCall
    answer: A
    rendered: Any


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

    async def call(self, principal: Principal, job_id: JobId, order: CallRequest) -> AnsweredCall[Completion]:
        """One buffered chat call. Raises: what `_open` raises, and ProviderError when no model of the group answered."""
        live, policy = await self._open(principal, job_id, order, is_stream=False)
        slot = self._slot(CHAT, live, policy, order)

        async def recall() -> Completion | None:
            recorded = await slot.recall()
            return None if recorded is None else recorded.completion()

        answer = await self._kept_or_new(live, recall, Gateway.complete)
        answered = await self._finished(live, answer, order)
        if not live.is_cached:
            slot.keep(RecordedAnswer(answer.events, answer.ending, answer.served))
        return answered

    async def ask(self, principal: Principal, job_id: JobId, order: CallRequest) -> AnsweredCall[EndpointResponse]:
        """One call of an endpoint that answers at once. Raises as `call`."""
        live, policy = await self._open(principal, job_id, order, is_stream=False)
        slot = self._slot(PLAIN, live, policy, order)
        answer = await self._kept_or_new(live, slot.recall, Gateway.ask)
        answered = await self._finished(live, answer, order)
        if not live.is_cached:
            slot.keep(answer)
        return answered

    async def _finished(self, live: InFlightCall, answer: A, order: CallRequest) -> AnsweredCall[A]:
        """The answer as its API responds with it, then the record."""
        failpoints.reach("provider_answered")
        try:
            failpoints.reach("rendering")
            rendered = order.render(live, answer)
        except Exception as error:
            log.exception("answer_not_rendered", extra={"call_id": str(live.intent.call_id)})
            await live.finish(replace(Outcome.of(answer), status=CallStatus.FAILED, error_code=error_code_of(error)))
            raise
        await live.finish(Outcome.of(answer))
        return AnsweredCall(live, answer, rendered)

    async def stream(self, principal: Principal, job_id: JobId, order: CallRequest) -> InFlightStream:
        """One streamed call, its first event already here. Raises as `call`: a failure before that is no stream."""
        live, policy = await self._open(principal, job_id, order, is_stream=True)
        slot = self._slot(CHAT, live, policy, order)

        async def recall() -> AnswerStream | None:
            recorded = await slot.recall()
            return None if recorded is None else ReplayedStream(recorded)

        upstream = await self._kept_or_new(live, recall, Gateway.stream)
        live.first_chunk_ms = live.elapsed_ms()
        failpoints.reach("stream_begun")
        return InFlightStream(live, upstream, slot)

    async def choose(self, principal: Principal, order: CallRequest, job_group: str | None = None) -> Target:
        """The models of a request; nothing is written.

        Raises: TeamSuspended, ModelGroupNotAllowed, ModelGroupNotFound, ModelGroupMissing.
        """
        defaults = (job_group, principal.key_model_group, principal.team_model_group)
        target = await self._groups.choose(principal, order.model_group, defaults)
        if order.only is None:
            return target
        able = tuple(model for model in target.models if model in order.only)
        return replace(target, models=able or target.models)  # the file may have changed since support was checked

    async def target_in(self, principal: Principal, order: CallRequest, job_id: JobId | None) -> Target:
        """The models of a request in that job, or in its own. Raises: as `choose`; JobNotFound, JobNotOwned."""
        job_group = None
        if order.creation is not None:
            job_group = order.creation.new.model_group
        elif job_id is not None and order.model_group is None:
            job_group = (await self._jobs.get(principal, job_id)).default_model_group
        return await self.choose(principal, order, job_group)

    async def count(self, principal: Principal, order: CallRequest) -> int:
        """Tokens of the order's prompt at its first model, counted by us. It counts as a request, but for no tokens.

        Raises: as `admit`.
        """
        decided = await self._decide(principal, order, None)
        permit = await self._permit(principal, decided, tokens=0)
        try:
            call = ProviderCall(
                CallId(new_id()), JobId(new_id()), principal.team(), decided.target.models, order.request
            )
            with decided.gateway.in_use():
                usage, _ = await decided.gateway.estimate(call)
        finally:
            await self.in_flight.run_to_completion(permit.settle(0))
        return usage.prompt_tokens

    def price(self, deployment_id: str, usage: Usage) -> NanoUsd | None:
        """The current price of plain tokens at a deployment; see `Gateway.price`."""
        return self.gateway.price(deployment_id, usage)

    async def admit(self, principal: Principal, order: CallRequest, job_id: JobId | None = None) -> CallRequest:
        """The order with leave to be made, in a job or for one that is still to be created. Make it, or settle its permit.

        Raises: as `choose`, UnpricedRefused, RateLimited, ShuttingDown, TooLarge, SchemaTooLarge; JobNotFound, JobNotOwned.
        """
        decided = await self._decide(principal, order, job_id)
        return replace(order, permit=await self._permit(principal, decided))

    def reads_files(self, order: CallRequest) -> bool:
        """Whether something is fetched for the call before it is made: its job is to be there by then."""
        return self._files.are_linked(order.request)

    async def require_paid(self, principal: Principal, order: CallRequest, job_id: JobId) -> None:
        """Checks before files are read for a call that its job is open and that it can be paid as far as it is known.

        Raises: as `JobService.require_open`; what choosing a model raises.
        """
        decided = await self._decide(principal, order, job_id)
        await self._jobs.require_open(principal, job_id, decided.demand, decided.target.markup_bps)

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
        self, principal: Principal, job_id: JobId, order: CallRequest, *, is_stream: bool
    ) -> tuple[InFlightCall, CachePolicy]:
        """Decides the call's models and cache settings, and makes its intent durable, before the provider is called.

        Raises: TeamSuspended, ModelGroupNotAllowed, ModelGroupNotFound, ModelGroupMissing, RateLimited, JobNotFound,
        JobNotOwned, JobClosed, AtRiskLimit, JobCapReached, InsufficientCredits, UnpricedRefused, FileRefused,
        DatabaseUnavailable, ShuttingDown.
        """
        permit, gateway = order.permit, None
        started = perf_counter()
        try:
            decided = await self._decide(principal, order, job_id)
            gateway = decided.gateway
            gateway.enter()
            permit = permit or await self._permit(principal, decided)
            if self._files.are_linked(decided.request):
                await self._jobs.require_open(principal, job_id, decided.demand, decided.target.markup_bps)
            with self._traces.span("files", job_id=job_id), waiting.off_the_clock():
                request = await self._files.inlined(decided.request, decided.target.models, team=principal.team())
            repetition = await self._repetition(order)
            call_id = repetition.call_id
            intent = Intent(
                call_id=call_id,
                job_id=job_id,
                team_id=principal.team(),
                model_group=decided.target.group,
                is_stream=is_stream,
                purpose=order.purpose,
                metadata=order.metadata or {},
                created_at=self._clock(),
                demand=decided.demand if request is decided.request else gateway.demand(decided.target.models, request),
                markup_bps=decided.target.markup_bps,
                is_retaken=order.subject is not None and order.subject.is_retaken,
            )
            to_provider = ProviderCall(call_id, job_id, principal.team(), decided.target.models, request)
            admitted = self._admit(decided, intent, to_provider, permit, order)
            live = await self.in_flight.run_to_completion(admitted)
            live.takes_kept = live.takes_kept and repetition.takes_kept
            waiting.work_has_begun()
        except BaseException:
            if gateway is not None:
                gateway.leave()
            if permit is not None:
                await self.in_flight.run_to_completion(permit.settle(0))
            raise
        self._writer.metrics.call_opened(perf_counter() - started)
        return live, decided.target.cache

    async def _decide(self, principal: Principal, order: CallRequest, job_id: JobId | None) -> _Decided:
        """Nothing is taken, fetched or written. Raises: as `target_in`, EndpointUnsupported, UnpricedRefused, ShuttingDown.

        What it runs on and the gateway are of one version of the YAML: nothing waits between choosing and taking it.
        """
        if self.is_stopping:
            raise ShuttingDown(retry_after_s=1)
        with self._traces.span("access", team_id=principal.team_id, job_id=job_id) as span:
            target = await self.target_in(principal, order, job_id)
            span.set(model_group=target.group)
        _check_schemas(order.request)
        gateway = self.gateway
        request = fill_in(order.request, target.defaults, temperature=order.default_temperature)
        if isinstance(request, EndpointRequest) and not gateway.takes(target.models, request):
            raise EndpointUnsupported(group=target.group, endpoint=request.endpoint)
        demand = gateway.demand(target.models, request)
        if demand.text_bytes > self._max_text_bytes:
            raise TooLarge(f"The request has more than {self._max_text_bytes} bytes of text, names and schemas.")
        if self._refuses_unpriced and not demand.rate.is_known:
            raise UnpricedRefused
        return _Decided(target, gateway, request, demand)

    async def _repetition(self, order: CallRequest) -> Repetition:
        if order.subject is None:
            return Repetition(CallId(new_id()), takes_kept=True)
        if not order.subject.is_retaken:
            return Repetition(CallId(order.subject.id), takes_kept=True)
        return await self.in_flight.run_to_completion(self._writer.repetition(order.subject))

    async def _permit(self, principal: Principal, decided: _Decided, *, tokens: int | None = None) -> Permit:
        """Leave for a call of so many tokens; None: of as many as are likely. Raises: RateLimited."""
        if tokens is None:
            asked = decided.request.parameters if isinstance(decided.request, ChatRequest) else {}
            tokens = likely_tokens(decided.demand, is_bounded="max_tokens" in asked)
        with self._traces.span("limits", team_id=principal.team_id, model_group=decided.target.group):
            return await self._limits.admit_call(principal, decided.target, tokens)

    async def _admit(
        self, decided: _Decided, intent: Intent, to_provider: ProviderCall, permit: Permit, order: CallRequest
    ) -> InFlightCall:
        """A durable intent and the InFlightCall that will finish it, settle its permit and leave its gateway: or nothing."""
        with self._traces.span("intent", job_id=intent.job_id, call_id=intent.call_id):
            opened = await self._writer.open(intent, order.creation)
        failpoints.reach("intent_committed")
        if opened.intent.demand.max_tokens < intent.demand.max_tokens:
            to_provider = replace(to_provider, request=cut_to(to_provider.request, opened.intent.demand.max_tokens))
        return InFlightCall(
            opened.intent,
            to_provider,
            gateway=decided.gateway,
            permit=permit,
            credits_remaining=opened.credits_remaining,
            writer=self._writer,
            clock=self._clock,
            traces=self._traces,
            in_flight=self.in_flight,
            takes_kept=opened.takes_kept,
            closing=order.closing,
        )

    def _slot(self, form: Codec[K], live: InFlightCall, policy: CachePolicy, order: CallRequest) -> CacheEntry[K]:
        freshness = order.freshness
        if not live.takes_kept:
            freshness = replace(freshness, takes_kept=False)
        return self._cache.slot(
            form, live.to_provider, group=live.intent.model_group, policy=policy, freshness=freshness
        )

    async def _kept_or_new(
        self,
        live: InFlightCall,
        recall: Callable[[], Awaitable[T | None]],
        ask: Callable[[Gateway, ProviderCall], Awaitable[T]],
    ) -> T:
        """A cached answer, or the provider's.

        A failure, or a client that leaves meanwhile, is recorded before it is raised.
        """
        is_asked = False
        try:
            await _feel_cancellation()  # the client left while the intent was written: the provider is not called
            with live.span("cache") as span:
                kept = await recall()
                span.set(is_hit=kept is not None)
            if kept is not None:
                live.is_cached = True
                return kept
            is_asked = True
            with live.span("provider"):
                return await ask(live.gateway, live.to_provider)
        except asyncio.CancelledError:
            reason = CLIENT_CLOSED if _is_scope_cancelled() else DRAINED
            await self.in_flight.run_to_completion(self._record_cancelled(live, reason, is_asked=is_asked))
            raise
        except Exception as error:
            await live.finish(Outcome(CallStatus.FAILED, error_code=error_code_of(error), fault=fault_of(error)))
            raise

    async def _record_cancelled(self, live: InFlightCall, reason: str, *, is_asked: bool) -> None:
        """The cost of an abandoned answer: the prompt, if the provider has it."""
        if is_asked:
            usage, cost = await live.gateway.estimate(live.to_provider)
            await live.record(Outcome(CallStatus.CANCELLED, usage=usage, cost=cost, error_code=reason))
        else:
            await live.record(Outcome(CallStatus.CANCELLED, error_code=reason))


def _check_schemas(request: ModelRequest) -> None:
    """Raises: SchemaTooLarge, before anything expands what they refer to, whichever lane the call takes."""
    if not isinstance(request, ChatRequest):
        return
    try:
        check_size(schemas_of(request.parameters))
    except SchemasTooLarge as error:
        raise SchemaTooLarge(str(error)) from None


def _is_scope_cancelled() -> bool:
    """Whether a client has left: its departure cancels a scope, while a server that stops cancels the task itself."""
    return anyio.current_effective_deadline() == -math.inf


async def _feel_cancellation() -> None:
    """Raises the cancellation that waits for the next await, if there is one."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await asyncio.sleep(0)
