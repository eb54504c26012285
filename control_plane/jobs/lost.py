"""Lost calls: their process died after the provider may have been reached. Decides what they count as. Pure."""

from datetime import datetime
from enum import StrEnum

from control_plane.completion.usage import Usage
from control_plane.errors import CallLost
from control_plane.jobs.calls_store import intent_of
from control_plane.jobs.models import Call
from control_plane.jobs.rules import CallStatus, Record
from control_plane.units import NanoUsd


class LostCallPolicy(StrEnum):
    """The usage of a lost call in the bill of a job whose price depends on its calls (D24)."""

    ESTIMATE = "estimate"
    """The usual cost of its prompt: the provider has read it, and the answer is unknown."""
    VOID = "void"
    """Nothing."""


def lost_record(call: Call, policy: LostCallPolicy, now: datetime) -> Record:
    """The record of an open call of a dead process. An open call carries the estimate of its prompt."""
    is_void = policy is LostCallPolicy.VOID
    return Record(
        intent_of(call),
        CallStatus.LOST,
        Usage() if is_void else Usage(call.prompt_tokens, call.completion_tokens, is_estimated=True),
        NanoUsd(0 if is_void else call.cost_nano_usd),
        latency_ms=0,
        ended_at=now,
        error_code=CallLost.code,
    )
