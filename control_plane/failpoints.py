"""Failpoints: where a test makes a server die (`CONTROL_PLANE_FAILPOINT=name` or `name:count`) or freeze
(`name:count:freeze`), and where a test in the same process makes a step fail: `arm_failure`.

Between two of them lies each promise that a crash could break. Only the environment or a test arms one.
"""

import os
import signal
from typing import Literal

Name = Literal[
    "job_created",
    "intent_committed",
    "in_flush",
    "stream_begun",
    "provider_answered",
    "record_committed",
    "one_call_recorded",
    "bill_committed",
    "closing_upstream",
    "settling",
    "rendering",
    "building_record",
    "writing_record",
    "settling_permit",
    "logging_call",
    "caching_answer",
    "partitions_checked",
    "partitions_validated",
    "partitions_exchanged",
    "partition_added",
    "partition_dropped",
]

VARIABLE = "CONTROL_PLANE_FAILPOINT"

_armed = ""
_left = 0
_signal = signal.SIGKILL
_failing = ""


class InjectedFailure(Exception):
    """A step that a test made fail."""


def arm(spec: str) -> None:
    """Makes this process die, as by `kill -9`, when it reaches a place for the nth time: `in_flush:3`. With `in_flush:3:freeze`
    it stops there, as by `kill -STOP`.
    """
    global _armed, _left, _signal  # noqa: PLW0603 - one process, one death
    _armed, _, rest = spec.partition(":")
    count, _, how = rest.partition(":")
    _left = int(count or 1)
    _signal = signal.SIGSTOP if how == "freeze" else signal.SIGKILL


def arm_failure(name: Name | None) -> None:
    """Makes the step at this place fail each time; None: no step any more."""
    global _failing  # noqa: PLW0603 - as above
    _failing = name or ""


def reach(name: Name) -> None:
    """This is that place. Raises: InjectedFailure, where a test wants that."""
    global _left  # noqa: PLW0603 - as above
    if name == _failing:
        raise InjectedFailure(name)
    if name == _armed:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), _signal)
