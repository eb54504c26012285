"""`smoke`: is a running service of use to a customer? A job of two calls, through the address customers use."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx

from control_plane.cli.answers import ApiCallFailed, Bill, Call, Chunk, Groups, Job, Key, Ready
from control_plane.cli.api_client import key_of, stream
from control_plane.cli.requests import client, reaching, request
from control_plane.master_key import existing_master_key
from control_plane.settings import Settings

TEAM = "demo-smoke"
KEY_LIFE_S = 600
MOST_TOKENS = 50
ANEW = {"Cache-Control": "no-store"}
"""An answer that was given before proves nothing, and this one is of use to nobody."""


Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Smoke:
    """What was proved. Without a model group that the team may use, only that the service is ready."""

    url: str
    model_group: str | None = None
    job_id: str | None = None
    calls: int | None = None
    credits_charged: int | None = None
    cost_usd: float | None = None


async def smoke(settings: Settings, url: str, group: str | None, tell: Tell) -> Smoke:
    """Tells what works as it goes. Raises: ApiCallFailed, with what does not.

    `group`: the model group to call; the first that the team may use if there is none.
    """
    master_key = existing_master_key(settings)
    with reaching(url):
        async with client(url, master_key) as admin:
            (await request(admin, "GET", "/health/ready")).read(Ready)
            tell(f"{url} is ready.")
            key = await key_of(admin, TEAM, lives_s=KEY_LIFE_S)
            try:
                async with client(url, key.virtual_key) as app:
                    return await _job(app, url, group, tell)
            finally:
                (await request(admin, "DELETE", f"/api/teams/{TEAM}/keys/{key.key_id}")).read(Key)


async def _job(app: httpx.AsyncClient, url: str, group: str | None, tell: Tell) -> Smoke:
    if group is None:
        usable = (await request(app, "GET", "/api/model-groups")).read(Groups).model_groups
        if not usable:
            tell(f"No job was run: no model group in the YAML admits the team {TEAM}. No provider was asked.")
            return Smoke(url)
        group = usable[0].group_name
    body = {
        "model_group": group,
        # No two are alike, so that no cache on the way has an answer to it.
        "messages": [{"role": "user", "content": f"Say hello to {uuid4().hex[:12]}."}],
        "max_tokens": MOST_TOKENS,
    }
    job_id = (await request(app, "POST", "/api/jobs/create", json={"job_type": "smoke"})).read(Job).job_id
    closing = f"/api/jobs/{job_id}/complete"
    try:
        called = await request(app, "POST", f"/api/jobs/{job_id}/llm-call", json=body, headers=ANEW)
        facts = called.read(Call).metadata
        _require_anew(group, is_cached=facts.cached)
        tell(f"{group} answers: {facts.model} was asked anew, past the response cache, and took {facts.latency_ms} ms.")
        pieces = await _streamed(app, job_id, body)
        tell(f"{group} streams: asked anew, in {pieces} pieces.")
    except ApiCallFailed:
        await request(app, "POST", closing, json={"status": "failed"})
        raise
    costs = (await request(app, "POST", closing, json={"status": "completed"})).read(Bill).costs
    calls = costs.total_calls
    if calls != 2:  # noqa: PLR2004 - the two above
        raise ApiCallFailed(f"The bill of job {job_id} lists {calls} calls instead of 2.")
    tell(f"The job is billed: {costs.credits_charged} credit(s), ${costs.total_cost_usd:.6f}.")
    return Smoke(url, group, job_id, calls, costs.credits_charged, costs.total_cost_usd)


def _require_anew(target: str, *, is_cached: bool) -> None:
    if is_cached:
        raise ApiCallFailed(f"{target} answered from the response cache, so that no provider was asked.")


async def _streamed(app: httpx.AsyncClient, job_id: str, body: dict[str, object]) -> int:
    """How many pieces came, up to the end that says all is recorded."""
    pieces = 0

    def count(chunk: Chunk) -> None:
        nonlocal pieces
        _require_anew("A stream", is_cached=chunk.cached)
        pieces += 1

    await stream(app, f"/api/jobs/{job_id}/llm-call-stream", body, count, ANEW)
    return pieces
