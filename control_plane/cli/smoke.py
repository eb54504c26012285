"""`smoke`: is a running service of use to a customer? A job of two calls, through the address customers use."""

import json
from uuid import uuid4

import httpx
import typer

from control_plane.cli.guest import GuestFailed, answered, client, key_of, reaching
from control_plane.master_key import find_master_key
from control_plane.settings import Settings

TEAM = "demo-smoke"
KEY_LIFE_S = 600
MOST_TOKENS = 50
ANEW = {"Cache-Control": "no-store"}
"""An answer that was given before proves nothing, and this one is of use to nobody."""


async def smoke(settings: Settings, url: str, group: str | None) -> None:
    """Says what works as it goes. Raises: GuestFailed, with what does not.

    `group`: the model group to call; the first that the team may use if there is none.
    """
    master_key, _ = find_master_key(settings)
    with reaching(url):
        async with client(url, master_key) as admin:
            await answered(admin.get("/health/ready"))
            typer.echo(f"{url} is ready.")
            key = await key_of(admin, TEAM, lives_s=KEY_LIFE_S)
            try:
                async with client(url, key["virtual_key"]) as app:
                    await _job(app, group)
            finally:
                await answered(admin.delete(f"/api/teams/{TEAM}/keys/{key['key_id']}"))


async def _job(app: httpx.AsyncClient, group: str | None) -> None:
    if group is None:
        usable = (await answered(app.get("/api/model-groups")))["model_groups"]
        if not usable:
            typer.echo(f"No job was run: no model group in the YAML admits the team {TEAM}. No provider was asked.")
            return
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
        typer.echo(f"{group} answers: {model} was asked anew, past the response cache, and took {ms} ms.")
        pieces = await _streamed(app, job_id, body)
        typer.echo(f"{group} streams: asked anew, in {pieces} pieces.")
    except GuestFailed:
        await app.post(f"/api/jobs/{job_id}/complete", json={"status": "failed"})
        raise
    bill = await answered(app.post(f"/api/jobs/{job_id}/complete", json={"status": "completed"}))
    costs = bill["costs"]
    calls = costs["total_calls"]
    if calls != 2:  # noqa: PLR2004 - the two above
        raise GuestFailed(f"The bill of job {job_id} lists {calls} calls instead of 2.")
    typer.echo(f"The job is billed: {costs['credits_charged']} credit(s), ${costs['total_cost_usd']:.6f}.")


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
