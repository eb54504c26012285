"""What the control plane's API is asked beside calls, and what it must answer."""

from dataclasses import replace
from typing import Any

from tests.load.bench.load import CallFailedError, check_answer
from tests.load.bench.process import Server
from tests.load.bench.scenarios import CALL, GROUP, GROUPS, TEAM
from tests.load.bench.wire import Connection, Reply, post

MASTER_KEY = "sk-master-of-the-benchmark"
PLENTY = 1_000_000_000
CREDITS = 10_000_000


async def create_team(server: Server, team: str = TEAM) -> str:
    """A team with plenty of everything. Returns its virtual key. Raises: CallFailedError."""
    body: dict[str, Any] = {
        "team_id": team,
        "model_groups": [GROUP, *GROUPS.values()],
        "credits_allocated": CREDITS,
        "rpm": PLENTY,
        "tpm": PLENTY,
        "jobs_per_minute": PLENTY,
    }
    connection = await Connection.open(server.port)
    try:
        reply = await connection.call(post("/api/teams/create", body, key=MASTER_KEY))
    finally:
        connection.close()
    if reply.status not in {200, 201}:
        raise CallFailedError(f"no team was created: {reply.status} {reply.body[:500]!r}")
    return str(reply.json()["virtual_key"])


def creation(key: str) -> bytes:
    """The request for a job."""
    return post("/api/jobs/create", {"job_type": "benchmark"}, key=key)


def call(job: str, key: str, *, group: str = GROUP, is_stream: bool = False) -> bytes:
    """The request for a call in a job."""
    route = "llm-call-stream" if is_stream else "llm-call"
    return post(f"/api/jobs/{job}/{route}", {"model_group": group, **CALL}, key=key)


def completion(job: str, key: str) -> bytes:
    """The request that completes a job."""
    return post(f"/api/jobs/{job}/complete", {"status": "completed"}, key=key)


def job_id(reply: Reply) -> str:
    """Of a job that was created. Raises: CallFailedError."""
    if reply.status not in {200, 201}:
        raise CallFailedError(f"no job was created: {reply.status} {reply.body[:500]!r}")
    return str(reply.json()["job_id"])


def check_bill(reply: Reply, *, calls: int) -> Reply:
    """The completion, if it bills so many calls. Raises: CallFailedError."""
    costs = reply.json().get("costs", {}) if reply.status == 200 else {}
    charged = (costs.get("successful_calls"), costs.get("failed_calls"), costs.get("credits_charged"))
    if charged != (calls, 0, 1 if calls else 0):
        raise CallFailedError(f"{calls} answered calls were billed otherwise: {reply.status} {reply.body[:500]!r}")
    return reply


async def whole_job(connection: Connection, key: str) -> Reply:
    """A job of one call, whose times span all of it. Raises: CallFailedError."""
    created = await connection.call(creation(key))
    job = job_id(created)
    answered = check_answer(await connection.call(call(job, key)), is_stream=False)
    completed = check_bill(await connection.call(completion(job, key)), calls=1)
    return replace(answered, started_at=created.started_at, done_at=completed.done_at)
