"""`demo`: starts the product, is its first customer, shows the bill, and goes on serving."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from control_plane.cli import server
from control_plane.cli.findings import count
from control_plane.cli.guest import GuestFailed, answered, client, key_of
from control_plane.logs import configure_logging
from control_plane.master_key import find_master_key
from control_plane.settings import Settings

TEAM = "acme-corp"
KEY_LIFE_S = 86_400

console = Console(highlight=False)


def demo(settings: Settings) -> None:
    """Runs until Ctrl-C. Raises: GuestFailed, and what `serve` raises, with what to do."""
    configure_logging("WARNING", "text")
    server.show_new_master_key(settings)
    server.migrate(settings)
    console.print("[dim]Starting: loading LiteLLM takes 5 seconds, and up to a minute on a busy machine …[/]")
    server.run(_serve_and_tour(settings))
    console.print("Stopped.")


async def _serve_and_tour(settings: Settings) -> None:
    async with server.serving(settings) as port:
        key, _ = find_master_key(settings)
        try:
            await _tour(f"http://localhost:{port}", key)
        except httpx.HTTPError as error:
            raise GuestFailed(f"The demo's job failed: {error}") from error


async def _tour(url: str, master_key: str) -> None:
    async with client(url, master_key) as admin:
        key = str((await key_of(admin, TEAM, lives_s=KEY_LIFE_S))["virtual_key"])
    async with client(url, key) as app:
        tour = _Tour(app)
        console.print(f"\n[bold]Team {TEAM} opens a job[/] and makes three calls in it.")
        job = await answered(app.post("/api/jobs/create", json={"team_id": TEAM, "job_type": "resume_analysis"}))
        await tour.buffered(job["job_id"], "ResumeAgent", "parse the résumé")
        await tour.streamed(job["job_id"], "ChatAgent", "chat about it")
        await tour.buffered(job["job_id"], "FallbackDemo", "a primary that fails")
        bill = await answered(app.post(f"/api/jobs/{job['job_id']}/complete", json={"status": "completed"}))
        ledger = await answered(app.get(f"/api/teams/{TEAM}/credits/transactions", params={"limit": 3}))
    _show_bill(bill)
    _show_ledger(ledger["transactions"])
    _show_curl(url, key)


@dataclass(frozen=True, slots=True)
class _Tour:
    """The calls of the demo."""

    app: httpx.AsyncClient

    async def buffered(self, job_id: str, group: str, purpose: str) -> None:
        answer = await answered(self.app.post(f"/api/jobs/{job_id}/llm-call", json=_call(group, purpose)))
        took = answer["metadata"]
        console.print(f"\n[bold]{group}[/] ({purpose}), answered by [bold]{took['model']}[/]:")
        console.print(f"  {answer['response']['content'][:160]}…", style="green")
        console.print(f"  {took['tokens_used']} tokens, ${took['cost_usd']:.6f}, {took['latency_ms']} ms", style="dim")

    async def streamed(self, job_id: str, group: str, purpose: str) -> None:
        console.print(f"\n[bold]{group}[/] ({purpose}), streamed:")
        body = _call(group, purpose)
        async with self.app.stream("POST", f"/api/jobs/{job_id}/llm-call-stream", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                chunk: dict[str, Any] = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    raise GuestFailed(chunk["error"]["message"])
                console.print(chunk["choices"][0]["delta"].get("content", ""), end="", style="green")
                if "usage" in chunk:
                    console.print(f"\n  {chunk['usage']['total_tokens']} tokens", style="dim")


def _show_bill(bill: dict[str, Any]) -> None:
    costs, calls = bill["costs"], bill["calls"]
    charged = costs["credits_charged"]
    title = (
        f"The bill of job {bill['job_id']}: {count(charged, 'credit')}, ${costs['total_cost_usd']:.6f} at the providers"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("call", "model group", "tokens", "time (ms)"):
        table.add_column(heading, justify="left" if heading in {"call", "model group"} else "right")
    for call in calls:
        table.add_row(call["purpose"], call["model_group"], str(call["tokens"]), str(call["latency_ms"]))
    table.add_section()
    table.add_row("together", "", str(costs["total_tokens"]), str(sum(call["latency_ms"] for call in calls)))
    console.print()
    console.print(table)


def _show_ledger(entries: list[dict[str, Any]]) -> None:
    table = Table(title="The ledger, newest first", title_justify="left")
    for heading in ("#", "movement", "available", "held", "available after"):
        table.add_column(heading, justify="left" if heading == "movement" else "right")
    for entry in entries:
        changes = (entry["available_delta"], entry["held_delta"])
        table.add_row(
            str(entry["number"]), entry["kind"], *(f"{change:+d}" for change in changes), str(entry["available_after"])
        )
    console.print(table)


def _show_curl(url: str, key: str) -> None:
    body = json.dumps(
        {"job_type": "hello", "model_group": "ChatAgent", "messages": [{"role": "user", "content": "Hello!"}]}
    )
    console.print("\n[bold]Your turn[/], in another terminal (the key is good for a day):\n")
    print(  # noqa: T201 - rich would break the lines
        f"curl -N {url}/api/jobs/create-and-call-stream \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
    console.print(f"\nAll routes: {url}/docs    Stop with Ctrl-C.")


def _call(group: str, purpose: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Please {purpose}."}]
    return {"model_group": group, "purpose": purpose, "messages": messages}
