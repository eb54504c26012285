"""`demo`: starts the product, is its first customer, shows the bill, and goes on serving."""

import json
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control_plane.cli import server
from control_plane.cli.answers import ApiCallFailed, Bill, Call, Chunk, Entry, Job, Ledger
from control_plane.cli.api_client import key_of, stream
from control_plane.cli.findings import count
from control_plane.cli.output import visible
from control_plane.cli.requests import client, request
from control_plane.logs import configure_logging
from control_plane.master_key import find_master_key
from control_plane.settings import Settings

TEAM = "acme-corp"
KEY_LIFE_S = 86_400

console = Console(highlight=False, emoji=False)


def demo(settings: Settings) -> None:
    """Runs until Ctrl-C. Raises: ApiCallFailed, and what `serve` raises, with what to do."""
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
            raise ApiCallFailed(f"The demo's job failed: {error}") from error


async def _tour(url: str, master_key: str) -> None:
    async with client(url, master_key) as admin:
        key = (await key_of(admin, TEAM, lives_s=KEY_LIFE_S)).virtual_key
    async with client(url, key) as app:
        tour = _Tour(app)
        console.print(f"\n[bold]Team {TEAM} opens a job[/] and makes three calls in it.")
        wanted = {"team_id": TEAM, "job_type": "resume_analysis"}
        job_id = (await request(app, "POST", "/api/jobs/create", json=wanted)).read(Job).job_id
        await tour.buffered(job_id, "ResumeAgent", "parse the résumé")
        await tour.streamed(job_id, "ChatAgent", "chat about it")
        await tour.buffered(job_id, "FallbackDemo", "a primary that fails")
        bill = await request(app, "POST", f"/api/jobs/{job_id}/complete", json={"status": "completed"})
        ledger = await request(app, "GET", f"/api/teams/{TEAM}/credits/transactions", params={"limit": 3})
    _show_bill(bill.read(Bill))
    _show_ledger(ledger.read(Ledger).transactions)
    _show_curl(url, key)


@dataclass(frozen=True, slots=True)
class _Tour:
    """The calls of the demo."""

    app: httpx.AsyncClient

    async def buffered(self, job_id: str, group: str, purpose: str) -> None:
        called = await request(self.app, "POST", f"/api/jobs/{job_id}/llm-call", json=_call(group, purpose))
        answer = called.read(Call)
        took = answer.metadata
        console.print(f"\n[bold]{group}[/] ({purpose}), answered by [bold]{_safe(took.model)}[/]:")
        console.print(f"  {_safe((answer.response.content or '')[:160])}…", style="green")
        console.print(f"  {took.tokens_used} tokens, ${took.cost_usd:.6f}, {took.latency_ms} ms", style="dim")

    async def streamed(self, job_id: str, group: str, purpose: str) -> None:
        console.print(f"\n[bold]{group}[/] ({purpose}), streamed:")
        await stream(self.app, f"/api/jobs/{job_id}/llm-call-stream", _call(group, purpose), _show_chunk)


def _show_chunk(chunk: Chunk) -> None:
    for choice in chunk.choices[:1]:
        console.print(_safe(choice.delta.content or ""), end="", style="green")
    if chunk.usage is not None:
        console.print(f"\n  {chunk.usage.total_tokens} tokens", style="dim")


def _safe(text: str) -> str:
    """What a model or a server wrote, between markup of ours."""
    return escape(visible(text, keep="\n"))


def _show_bill(bill: Bill) -> None:
    costs = bill.costs
    charged = count(costs.credits_charged, "credit")
    title = f"The bill of job {_safe(bill.job_id)}: {charged}, ${costs.total_cost_usd:.6f} at the providers"
    table = Table(title=title, title_justify="left")
    for heading in ("call", "model group", "tokens", "time (ms)"):
        table.add_column(heading, justify="left" if heading in {"call", "model group"} else "right")
    for call in bill.calls:
        table.add_row(_safe(call.purpose or "-"), _safe(call.model_group), str(call.tokens), str(call.latency_ms))
    table.add_section()
    table.add_row("together", "", str(costs.total_tokens), str(sum(call.latency_ms for call in bill.calls)))
    console.print()
    console.print(table)


def _show_ledger(entries: list[Entry]) -> None:
    table = Table(title="The ledger, newest first", title_justify="left")
    for heading in ("#", "movement", "available", "held", "available after"):
        table.add_column(heading, justify="left" if heading == "movement" else "right")
    for entry in entries:
        changes = (entry.available_delta, entry.held_delta)
        table.add_row(
            str(entry.number), _safe(entry.kind), *(f"{change:+d}" for change in changes), str(entry.available_after)
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


def _call(group: str, purpose: str) -> dict[str, object]:
    messages = [{"role": "user", "content": f"Please {purpose}."}]
    return {"model_group": group, "purpose": purpose, "messages": messages}
