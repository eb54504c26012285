"""One number: whoever is asked what jobs cost says the same, to the nano-dollar, after a random history."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from control_plane.reconciliation.rules import LATE, Finding
from control_plane.reconciliation.service import ReconciliationService
from tests.load.chaos.checks import find_inconsistencies
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.server import MASTER_KEY, Server, Team, call_body, new_team, used

GROUPS = ["ok", "cached", "kinds", "tools", "Falling", "Breaking", "nousage", "e500", "break4", "e400"]
ENDINGS = ["completed", "completed", "completed", "failed", "cancelled"]
TEAMS: list[dict[str, Any]] = [
    {"budget_mode": "job_based", "markup_bps": 1234},
    {"budget_mode": "consumption_usd", "credits_per_dollar": 50_000, "markup_bps": 333},
    {"budget_mode": "consumption_tokens", "tokens_per_credit": 7, "job_type_prices": {"report": 3}},
]


async def history(team: Team, dice: random.Random) -> None:
    """A job of any kind and fate."""
    if dice.random() < 0.2:
        body = {"job_type": "single", **call_body(dice.choice(GROUPS))}
        await team.http.post(f"/api/jobs/create-and-call{dice.choice(['', '-stream'])}", json=body)
        return
    job_id = await team.create_job(job_type=dice.choice(["chat", "report"]))
    for _ in range(dice.randint(0, 4)):
        if dice.random() < 0.6:
            await team.call(job_id, dice.choice(GROUPS))
        else:
            await leave_stream(team, job_id, dice)
    await team.complete(job_id, dice.choice(ENDINGS))


async def leave_stream(team: Team, job_id: str, dice: random.Random) -> None:
    """Reads some of a stream, or all of it."""
    body = call_body(dice.choice(["ok", "break4", "long200"]))
    lines = dice.randint(1, 60)
    async with team.http.stream("POST", f"/api/jobs/{job_id}/llm-call-stream", json=body) as stream:
        async for _ in stream.aiter_lines():
            lines -= 1
            if not lines:
                return


def nano(dollars: float) -> int:
    return round(dollars * 1e9)


def counters(exposed: str) -> Counter[str]:
    """The sum of each counter over its labels."""
    sums: Counter[str] = Counter()
    for name, value in re.findall(r"^control_plane_(\w+?)_total(?:{.*})? (\S+)$", exposed, re.MULTILINE):
        sums[name] += int(float(value))
    return sums


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_surface_says_the_same_number(server: Server, seed: int) -> None:
    dice = random.Random(seed)
    told: Counter[str] = Counter()
    async with server.client(MASTER_KEY) as admin:
        made = await admin.post("/api/organizations/create", json={"organization_id": "org", "name": "Org"})
        assert made.status_code == 200, made.text
        for terms in TEAMS:
            async with new_team(server, organization_id="org", credits_allocated=100_000, **terms) as team:
                await asyncio.gather(*(history(team, dice) for _ in range(12)))
                told += await told_by(team)
        usage = (await admin.get("/api/organizations/org/usage")).json()["summary"]
    assert nano(usage["total_cost_usd"]) == told["cost"]
    assert nano(usage["total_price_usd"]) == told["price"]
    assert usage["total_tokens"] == told["tokens"]
    assert await find_inconsistencies(server.services.db) == []

    async with server.services.db.reader() as reader:
        rows = await reader.execute(
            text(
                "SELECT sum(cost_nano_usd), sum(price_nano_usd), sum(unbilled_nano_usd), sum(credits_charged) FROM jobs"
            )
        )
        in_database = [int(each) for each in rows.one()]
    assert in_database == [told["cost"], told["price"], told["unbilled"], told["charged"]]

    async with server.client() as anyone:
        seen = counters((await anyone.get("/metrics")).text)
    assert seen["cost_nano_usd"] == told["cost"]
    assert seen["price_nano_usd"] == told["price"]
    assert seen["unbilled_nano_usd"] == told["unbilled"]
    assert seen["tokens"] == told["tokens"]
    assert seen["credits_charged"] == told["charged"]
    assert seen["jobs"] == told["jobs"]

    reconciling = ReconciliationService(server.services.db, clock=lambda: datetime.now(UTC) + LATE)
    async with asyncio.timeout(PATIENCE_S):
        while True:  # LiteLLM's reports arrive when they like
            found = await reconciling.reconcile("embedded", datetime.now(UTC) - timedelta(hours=1))
            if not found.unexplained:
                break
            await asyncio.sleep(0.2)
    recorded = sum(each.recorded for each in found.by_finding.values())
    assert recorded == told["cost"] + told["unbilled"]
    assert found.by_finding[Finding.LOG_WITHOUT_CALL].calls == 0


INPUT = ("input_fresh_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


def sum_of(usages: Iterable[dict[str, Any]]) -> dict[str, int]:
    sums = used(0, 0)
    for usage in usages:
        sums = {kind: count + usage[kind] for kind, count in sums.items()}
    return sums


async def told_by(team: Team) -> Counter[str]:
    """What the team's own routes say; each pair of them must agree."""
    books = await Books.of_closed_jobs(team)
    books.check()
    told: Counter[str] = Counter(jobs=len(books.jobs))
    for job in books.jobs:
        costs = await team.costs(job["job_id"])
        bill = (await team.complete(job["job_id"], job["status"])).json()["costs"]
        assert bill["total_cost_usd"] == costs["total_cost_usd"]
        assert bill["credits_charged"] == job["credits_charged"]
        billed = nano(costs["total_cost_usd"]) + nano(costs["unbilled_cost_usd"])
        assert billed == sum(nano(call["cost_usd"]) for call in costs["breakdown"])
        assert bill["usage"] == sum_of(call["usage"] for call in costs["breakdown"] if call["status"] != "failed")
        assert bill["usage"]["output_tokens"] + sum(bill["usage"][kind] for kind in INPUT) == bill["total_tokens"]
        told["cost"] += nano(costs["total_cost_usd"])
        told["price"] += nano(costs["total_price_usd"])
        told["unbilled"] += nano(costs["unbilled_cost_usd"])
        told["tokens"] += bill["total_tokens"]
        told["charged"] += bill["credits_charged"]
    usage = (await team.http.get(f"/api/teams/{team.id}/usage")).json()
    summary, by_type = usage["summary"], usage["job_types"].values()
    assert summary["total_jobs"] == len(books.jobs)
    assert nano(summary["total_cost_usd"]) == told["cost"] == sum(nano(each["cost_usd"]) for each in by_type)
    assert nano(summary["total_price_usd"]) == told["price"]
    assert summary["total_tokens"] == told["tokens"]
    assert sum(each["credits_charged"] for each in by_type) == told["charged"]
    for part in ("model_groups", "days"):
        assert sum(nano(each["cost_usd"]) for each in usage[part].values()) == told["cost"]
        assert sum(nano(each["price_usd"]) for each in usage[part].values()) == told["price"]
        assert sum(each["tokens"] for each in usage[part].values()) == told["tokens"]
    deducted = sum(-entry["available_delta"] - entry["held_delta"] for entry in books.of_kind("deduction"))
    assert deducted == told["charged"] == books.credits["credits_used"]
    return told
