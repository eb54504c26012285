"""`smoke`: is a running service of use to a customer? A job of two calls, through the address customers use."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx

from control_plane.cli.guest import GuestFailed, answered, client, key_of, reaching
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
    """Tells what works as it goes. Raises: GuestFailed, with what does not.

    `group`: the model group to call; the first that the team may use if there is none.
    """
    master_key = existing_master_key(settings)
    with reaching(url):
        async with client(url, master_key) as admin:
            await answered(admin.get("/health/ready"))
            tell(f"{url} is ready.")
            key = await key_of(admin, TEAM, lives_s=KEY_LIFE_S)
            try:
                async with client(url, key["virtual_key"]) as app:
                    return await _job(app, url, group, tell)
            finally:
                await answered(admin.delete(f"/api/teams/{TEAM}/keys/{key['key_id']}"))


async def _job(app: httpx.AsyncClient, url: str, group: str | None, tell: Tell) -> Smoke:
    if group is None:
        usable = (await answered(app.get("/api/model-groups")))["model_groups"]
        if not usable:
            tell(f"No job was run: no model group in the YAML admits the team {TEAM}. No provider was asked.")
            return Smoke(url)
        group = str(usable[0]["group_name"])
    body = {
        "model_group": group,
        # No two are alike, so that no cache on the way has an answer to it.
        "messages": [{"role": "user", "content": f"Say hello to {uuid4().hex[:12]}."}],
        "max_tokens": MOST_TOKENS,
    }
    job_id = (await answered(app.post("/api/jobs/create", json={"job_type": "smoke"})))["job_id"]
    try:
        called = await answered(app.post(f"/api/jobs/{job_id}/llm-call", json=body, headers=ANEW))
        _require_anew(group, is_cached=called["metadata"]["cached"])
        model, ms = called["metadata"]["model"], called["metadata"]["latency_ms"]
        tell(f"{group} answers: {model} was asked anew, past the response cache, and took {ms} ms.")
        pieces = await _streamed(app, job_id, body)
        tell(f"{group} streams: asked anew, in {pieces} pieces.")
    except GuestFailed:
        await app.post(f"/api/jobs/{job_id}/complete", json={"status": "failed"})
        raise
    bill = await answered(app.post(f"/api/jobs/{job_id}/complete", json={"status": "completed"}))
    costs = bill["costs"]
    calls = costs["total_calls"]
    if calls != 2:  # noqa: PLR2004 - the two above
        raise GuestFailed(f"The bill of job {job_id} lists {calls} calls instead of 2.")
    tell(f"The job is billed: {costs['credits_charged']} credit(s), ${costs['total_cost_usd']:.6f}.")
    return Smoke(url, group, job_id, calls, costs["credits_charged"], costs["total_cost_usd"])


def _require_anew(who: str, *, is_cached: bool) -> None:
    if is_cached:
        raise GuestFailed(f"{who} answered from the response cache, so that no provider was asked.")


async def _streamed(app: httpx.AsyncClient, job_id: str, body: dict[str, object]) -> int:
    """How many pieces came, up to the end that says all is recorded."""
    pieces = 0
    async with app.stream("POST", f"/api/jobs/{job_id}/llm-call-stream", json=body, headers=ANEW) as response:
        if not response.is_success:
            await response.aread()
            raise GuestFailed(f"A stream answered {response.status_code}: {response.text[:200]}")
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                return pieces
            if line.startswith("data: "):
                if "error" in (chunk := json.loads(line.removeprefix("data: "))):
                    raise GuestFailed(f"A stream failed: {chunk['error']['message']}")
                _require_anew("A stream", is_cached=chunk.get("cached", False))
                pieces += 1
    raise GuestFailed("A stream ended without its [DONE].")
