"""The gate: limits the queueing time of requests, and rejects those that would exceed it.

They are rejected before their body is read, so that an overloaded server spends nothing on them.
"""

import math

from starlette.datastructures import Headers

from control_plane import waiting
from control_plane.api.http.deps import key_in
from control_plane.calls.write_items import Turn
from control_plane.calls.writer import CallWriter
from control_plane.errors import Unprocessable
from control_plane.tenants.service import KeyService

MAX_WAIT = "x-max-wait"
"""The header by which a client waits less than the server's setting, in seconds."""

NEW_JOBS = ("/api/jobs/create", "/api/jobs/create-and-call", "/api/jobs/create-and-call-stream")
JOBS = "/api/jobs/"
COMPLETION = "/complete"
CALLS = (
    *("/llm-call", "/llm-call-stream"),
    *("/chat/completions", "/responses", "/messages", "/embeddings", "/moderations", "/rerank", "/respond"),
)
"""Endings of the paths of calls. On other APIs a call may join an existing job, named in its body: so it is rejected
here only if there is no time for such a call either.
"""


class Gate:
    """Of one process."""

    def __init__(self, keys: KeyService, writer: CallWriter, *, wait_timeout_s: float) -> None:
        self._keys = keys
        self._writer = writer
        self._wait_timeout_s = wait_timeout_s

    def enter(self, method: str, path: str, headers: Headers) -> None:
        """Begins the time that a request may wait. Raises: Overloaded, Unprocessable for a header that is no time."""
        waiting.wait_at_most(min(self._wait_timeout_s, _asked_s(headers)))
        turn = turn_of(path) if method == "POST" else None
        if turn is None:
            return
        team_id = self._keys.known_team(key_in(headers))
        if team_id is not None:
            self._writer.require_turn(turn, team_id)


def turn_of(path: str) -> Turn | None:
    """The class of what a request writes first; None: nothing that waits for the group commit."""
    if path in NEW_JOBS:
        return Turn.JOB
    if path.startswith(JOBS) and path.endswith(COMPLETION):
        return Turn.END_OF_JOB
    return Turn.CALL if path.endswith(CALLS) else None


def _asked_s(headers: Headers) -> float:
    asked = headers.get(MAX_WAIT)
    if asked is None:
        return math.inf
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise Unprocessable("X-Max-Wait must be a number of seconds above 0, as in `X-Max-Wait: 2.5`.")
    return seconds
