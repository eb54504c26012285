"""Ids of jobs as clients send them: in paths, headers and bodies."""

from control_plane.errors import JobNotFound
from control_plane.ids import JobId, parse_id


def parse_job_id(text: str) -> JobId:
    """The id by which a client names a job. Raises: JobNotFound for one that cannot be ours."""
    parsed = parse_id(text)
    if parsed is None:
        raise JobNotFound
    return JobId(parsed)
