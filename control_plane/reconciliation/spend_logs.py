"""LiteLLM's reports, for views of costs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs.models import Job
from control_plane.reconciliation import spend_logs_store as store
from control_plane.reconciliation.models import SpendLog
from control_plane.storage.database import Database


class SpendService:
    """The spend logs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def logs_of(self, job: Job) -> Mapping[CallId, Sequence[SpendLog]]:
        """The attempts LiteLLM reported of each call of a job; a call without any is missing."""
        async with self._db.reader() as reader:
            logs = await store.list_logs(reader, TeamId(job.team_id), JobId(job.id))
        by_call: defaultdict[CallId, list[SpendLog]] = defaultdict(list)
        for log in logs:
            by_call[CallId(log.call_id)].append(log)
        return by_call
