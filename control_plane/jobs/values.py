"""Values of jobs: a client's input, and the views of a job."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from control_plane.credits.reservations import Caps
from control_plane.ids import JobId, Subject
from control_plane.jobs.models import Call, Job
from control_plane.jobs.rules import JobStatus


@dataclass(frozen=True, slots=True)
class NewJob:
    """The client's fields of a new job. `id`: its future id, or the existing one if it was created before.

    `is_resumed`: a request that failed or whose process died may have created it; `is_superseded`: its process died.
    `fingerprint`: of the request, when its client may retry it by itself; `is_repeated`: this is a retry, since the
    response of the job before was not received. `is_repetition`: a job of the same request was taken off the bill, so
    the cache is not read. `is_claimed`: its client has an idempotency key for a retry.
    """

    job_type: str
    user_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    model_group: str | None = None
    ttl: timedelta = timedelta(hours=24)
    caps: Caps = field(default_factory=Caps)
    id: JobId | None = None
    is_resumed: bool = False
    is_superseded: bool = False
    fingerprint: str | None = None
    is_repeated: bool = False
    is_repetition: bool = False
    is_claimed: bool = False

    @property
    def subject(self) -> Subject | None:
        """What the request creates, where its id is known."""
        return None if self.id is None else Subject(self.id, self.is_resumed, self.is_superseded, self.is_claimed)


@dataclass(frozen=True, slots=True)
class Closing:
    """A client's completion of a job. `metadata` is merged into the job's."""

    status: JobStatus
    metadata: Mapping[str, Any] | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class JobWithCalls:
    """A job and its calls, in the order they were made."""

    job: Job
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class ClosedJob:
    """A job that was just closed. `calls`: in the order they were made; None for many, which are read after the
    transaction.
    """

    job: Job
    calls: Sequence[Call] | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs of a team, the model groups each has used, and whether more follow."""

    jobs: Sequence[Job]
    groups: Mapping[JobId, AbstractSet[str]]
    has_more: bool
