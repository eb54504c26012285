"""`smoke`: is a running service of use to a customer? A job of two calls, through the address customers use."""

import json

import httpx
import typer

from control_plane.cli.guest import GuestFailed, answered, client, key_of, reaching
from control_plane.master_key import find_master_key
from control_plane.settings import Settings

TEAM = "demo-smoke"
KEY_LIFE_S = 600
MOST_TOKENS = 50


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
            typer.echo(f"No job was run: no model group in the YAML admits the team {TEAM}.")
            return
        group = str(usable[0]["group_name"])
    body = {
        "model_group": group,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": MOST_TOKENS,
    }
    job_id = (await answered(app.post("/api/jobs/create", json={"job_type": "smoke"})))["job_id"]
    try:
        called = await answered(app.post(f"/api/jobs/{job_id}/llm-call", json=body))
        typer.echo(f"{group} answers, by {called['metadata']['model']}.")
        pieces = await _streamed(app, job_id, body)
        typer.echo(f"{group} streams, in {pieces} pieces.")
    except GuestFailed:
        await app.post(f"/api/jobs/{job_id}/complete", json={"status": "failed"})
        raise
    bill = await answered(app.post(f"/api/jobs/{job_id}/complete", json={"status": "completed"}))
    costs = bill["costs"]
    calls = costs["total_calls"]
    if calls != 2:  # noqa: PLR2004 - the two above
        raise GuestFailed(f"The bill of job {job_id} lists {calls} calls instead of 2.")
    typer.echo(f"The job is billed: {costs['credits_charged']} credit(s), ${costs['total_cost_usd']:.6f}.")


async def _streamed(app: httpx.AsyncClient, job_id: str, body: dict[str, object]) -> int:
    """How many pieces came, up to the end that says all is recorded."""
    pieces = 0
    async with app.stream("POST", f"/api/jobs/{job_id}/llm-call-stream", json=body) as response:
        if not response.is_success:
            await response.aread()
            raise GuestFailed(f"A stream answered {response.status_code}: {response.text[:200]}")
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                return pieces
            if line.startswith("data: "):
                if "error" in (chunk := json.loads(line.removeprefix("data: "))):
                    raise GuestFailed(f"A stream failed: {chunk['error']['message']}")
                pieces += 1
    raise GuestFailed("A stream ended without its [DONE].")
