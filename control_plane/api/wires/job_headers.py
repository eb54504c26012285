"""Job headers of a call: the job it joins, or the type of its own job.

For APIs whose clients send calls, not jobs: an SDK can add a header, and often nothing else.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import AfterValidator

from control_plane.api.http.deps import secret_of
from control_plane.api.http.idempotency import HEADER as IDEMPOTENCY_KEY
from control_plane.api.http.idempotency import NewSubject
from control_plane.api.http.job_ids import parse_job_id
from control_plane.calls.runner import JobRef
from control_plane.errors import JobNotFound
from control_plane.ids import JobId, Subject
from control_plane.jobs.values import NewJob
from control_plane.schemas.base import ignored_fields

ONE_CALL_TTL = timedelta(hours=1)
"""How long a one-call job whose server died holds its credits; one whose call still runs does not expire."""


TRIES = "x-stainless-retry-count"
"""The SDKs' header of the retry count; the first try is 0."""


def _utf8(text: str) -> str:
    """A header's value as it was meant: the wire has bytes, the server reads Latin-1, clients write UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


Name = Annotated[str, AfterValidator(_utf8), Header(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class JobHeaders:
    """The job headers of a call. `completes`: this call is the last one of the job it joins.

    `fingerprint`: of a request that its SDK retries by itself when it gets no response; `is_repeated`: this is a retry.
    """

    subject: Subject
    job_id: str | None = None
    job_type: str | None = None
    user_id: str | None = None
    completes: bool = False
    fingerprint: str | None = None
    is_repeated: bool = False

    def job_ref(self, *, job_type: str, job_id: str | None = None, user_id: str | None = None) -> JobRef:
        """The call's job; headers take precedence over the arguments, which come from the body.

        `job_type`: of the call's own job when no header names one. Headers without effect on an existing job are
        reported as ignored. Raises: JobNotFound for a malformed id.
        """
        joined = self.job_id or job_id
        if joined is not None:
            for name, value in (("X-Job-Type", self.job_type), ("X-User-Id", self.user_id)):
                if value is not None and (collected := ignored_fields.get()) is not None:
                    collected.append(name)
        new = NewJob(
            job_type=self.job_type or job_type,
            user_id=self.user_id or user_id,
            ttl=ONE_CALL_TTL,
            id=JobId(self.subject.id),
            is_resumed=self.subject.is_resumed,
            is_superseded=self.subject.is_superseded,
            is_claimed=self.subject.is_claimed,
            fingerprint=self.fingerprint,
            is_repeated=self.is_repeated,
        )
        return JobRef(new, job_id=None if joined is None else parse_job_id(joined), completes=self.completes)


async def job_headers(
    request: Request,
    subject: NewSubject,
    x_job_id: Annotated[
        Name | None, Header(description="the job that this call joins; default: a job of its own")
    ] = None,
    x_job_type: Annotated[Name | None, Header(description="job type of the call's own job, in usage and bills")] = None,
    x_user_id: Annotated[Name | None, Header(description="end user of the call's own job")] = None,
    x_job_complete: Annotated[bool, Header(description="complete the job of X-Job-Id with this call")] = False,
) -> JobHeaders:
    """Reads them."""
    fingerprint, is_repeated = await _repetition(request)
    return JobHeaders(subject, x_job_id, x_job_type, x_user_id, x_job_complete, fingerprint, is_repeated)


async def _repetition(request: Request) -> tuple[str | None, bool]:
    """The fingerprint of an SDK's request, and whether it is a retry: OpenAI's and Anthropic's SDKs count their tries.

    With an Idempotency-Key the client itself identifies its retries.
    """
    tries = request.headers.get(TRIES, "")
    if not tries.isdecimal() or IDEMPOTENCY_KEY in request.headers:
        return None, False
    headers = request.headers
    by = (secret_of(request), request.url.path, headers.get("x-job-type"), headers.get("x-user-id"))
    asked = f"{by}\n".encode()  # two users of one team may well ask the same
    return hashlib.sha256(asked + await request.body()).hexdigest(), int(tries[:9]) > 0


JobHeadersDep = Annotated[JobHeaders, Depends(job_headers)]


def take_job_id(metadata: Mapping[str, Any] | None) -> tuple[str | None, dict[str, Any]]:
    """The job a body's metadata names, and the rest of it, which is kept with the call. Raises: JobNotFound."""
    rest = dict(metadata or {})
    named = rest.pop("job_id", None)
    if named is not None and not isinstance(named, str):
        raise JobNotFound
    return named, rest
