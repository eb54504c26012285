"""Jobs, calls and bills as response models of the Job API."""

from collections.abc import Iterable, Mapping, Sequence

from control_plane.api.jobs.usage_views import usage_totals, usage_view
from control_plane.api.wires.openai_fields import message_of
from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.requests import AnsweredCall
from control_plane.chat import Completion
from control_plane.completion.usage import Usage
from control_plane.ids import CallId
from control_plane.jobs.models import Call, Job
from control_plane.jobs.rules import CallStatus, is_billable
from control_plane.jobs.values import JobWithCalls
from control_plane.reconciliation.models import SpendLog
from control_plane.schemas import jobs as wire
from control_plane.storage.usage_columns import usage_from
from control_plane.units import usd

MORE = ("refusal", "reasoning_content", "thinking_blocks", "reasoning_details", "images", "annotations", "audio")
"""Fields of an answer beside its text and tool calls, by OpenAI's and related names."""


def job_view(job: Job, model_groups: Sequence[str]) -> wire.JobView:
    """A job."""
    return wire.JobView(
        job_id=str(job.id),
        team_id=job.team_id,
        user_id=job.user_id,
        job_type=job.job_type,
        status=job.status,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        expires_at=job.expires_at,
        model_groups_used=model_groups,
        credit_applied=bool(job.credits_charged),
        credits_charged=job.credits_charged or 0,
        credits_held=job.credits_held,
        max_credits=job.max_credits,
        max_cost_usd=None if job.max_cost_nano_usd is None else usd(job.max_cost_nano_usd),
        metadata=job.metadata_,
        error_message=job.error_message,
    )


def costs(bill: JobWithCalls) -> wire.JobCosts:
    """The bill of a closed job. Its calls do not change any more, so neither does their usage by kind; where some of them were
    archived, only its totals are known.
    """
    job = bill.job
    return wire.JobCosts(
        total_calls=job.calls_total,
        successful_calls=job.calls_succeeded,
        failed_calls=job.calls_failed,
        total_tokens=job.prompt_tokens + job.completion_tokens,
        usage=usage_totals(_usages(bill)),
        total_cost_usd=usd(job.cost_nano_usd),
        avg_latency_ms=round(job.latency_ms / job.calls_total) if job.calls_total else 0,
        credit_applied=bool(job.credits_charged),
        credits_charged=job.credits_charged or 0,
        credits_remaining=job.credits_remaining or 0,
    )


def _usages(bill: JobWithCalls) -> Iterable[Usage]:
    if len(bill.calls) < bill.job.calls_total:
        return [Usage(bill.job.prompt_tokens, bill.job.completion_tokens)]
    return (usage_from(call) for call in bill.calls if _is_billed(call))


def completed(bill: JobWithCalls) -> wire.JobCompleted:
    """A closed job with its bill and calls."""
    job = bill.job
    assert job.completed_at is not None, "a closed job says when"
    return wire.JobCompleted(
        job_id=str(job.id),
        status=job.status,
        completed_at=job.completed_at,
        costs=costs(bill),
        calls=[_summary(call) for call in bill.calls],
    )


def cost_breakdown(
    bill: JobWithCalls, logs: Mapping[CallId, Sequence[SpendLog]], *, has_text: bool
) -> wire.JobCostsView:
    """Every call of a job: our record and LiteLLM's reports. `has_text`: with the providers' messages."""
    breakdown = [_call_cost(call, logs.get(CallId(call.id), ()), has_text=has_text) for call in bill.calls]
    job = bill.job
    total = wire.CostBreakdown(
        total_cost_usd=usd(job.cost_nano_usd),
        total_price_usd=usd(job.price_nano_usd),
        unbilled_cost_usd=usd(job.unbilled_nano_usd),
        breakdown=breakdown,
    )
    return wire.JobCostsView(job_id=str(job.id), costs=total)


def call_answer(_call: InFlightCall, answer: Completion) -> wire.CallAnswer:
    """The model's answer. Raises: ValueError for what cannot be written as JSON."""
    said = message_of(answer.message)
    finish = answer.ending.finish
    rendered = wire.CallAnswer(
        content=answer.message.text or answer.message.refusal or said["content"],
        role="assistant",
        finish_reason=finish.reason,
        native_finish_reason=finish.native,
        **{name: said.get(name) for name in ("tool_calls", *MORE)},
    )
    rendered.model_dump_json()
    return rendered


def call_metadata(answered: AnsweredCall) -> wire.CallMetadata:
    """The call's usage and cost."""
    answer = answered.completion
    return wire.CallMetadata(
        tokens_used=answer.usage.total_tokens,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        usage=usage_view(answer.usage),
        latency_ms=answered.call.latency_ms,
        model_group=answered.call.intent.model_group,
        model=answer.served.model,
        cached=answer.is_cached,
        cost_usd=usd(answer.cost or 0),
        unpriced=answer.cost is None,
    )


def _summary(call: Call) -> wire.CallSummary:
    return wire.CallSummary(
        call_id=str(call.id),
        purpose=call.purpose,
        model_group=call.model_group,
        tokens=call.prompt_tokens + call.completion_tokens if _is_billed(call) else 0,
        latency_ms=call.latency_ms,
        error=call.error_code,
    )


def _is_billed(call: Call) -> bool:
    return is_billable(CallStatus(call.status), call.first_chunk_ms)


def _call_cost(call: Call, logs: Sequence[SpendLog], *, has_text: bool) -> wire.CallCost:
    return wire.CallCost(
        call_id=str(call.id),
        status=call.status,
        purpose=call.purpose,
        model_group=call.model_group,
        model=call.model,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        usage=usage_view(usage_from(call)),
        estimated=call.is_estimated,
        cached=call.is_cached,
        unpriced=call.is_unpriced,
        cost_usd=usd(call.cost_nano_usd),
        price_usd=usd(call.price_nano_usd),
        latency_ms=call.latency_ms,
        error=call.error_code,
        provider_error=_provider_error(call, has_text=has_text),
        created_at=call.created_at,
        spend_logs=[_spend_log(log) for log in logs],
    )


def _provider_error(call: Call, *, has_text: bool) -> wire.ProviderErrorView | None:
    if call.provider_status is None:
        return None
    return wire.ProviderErrorView(
        status=call.provider_status,
        code=call.provider_code,
        type=call.provider_type,
        param=call.provider_param,
        text=call.provider_text if has_text else None,
    )


def _spend_log(log: SpendLog) -> wire.SpendLogView:
    return wire.SpendLogView(
        status=log.status,
        deployment=log.deployment_id,
        model=log.model,
        prompt_tokens=log.prompt_tokens,
        completion_tokens=log.completion_tokens,
        usage=usage_view(usage_from(log)),
        cost_usd=usd(log.cost_nano_usd),
        error=log.error_class,
    )
