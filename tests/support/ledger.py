"""A team's ledger and jobs, read through the API as its owner would: what was written, held and charged."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.support.patience import PATIENCE_S
from tests.support.server import Team

Json = dict[str, Any]


@dataclass(frozen=True)
class Books:
    """Everything a team can see of itself. Two readings are equal when nothing happened between them.

    LiteLLM's reports are left out: they arrive when they like.
    """

    credits: dict[str, int]
    ledger: list[Json]
    jobs: list[Json]
    calls: list[Json]
    grants: list[Json]

    @classmethod
    async def of(cls, team: Team) -> "Books":
        jobs = await _pages(team, "jobs", "jobs")
        calls = [
            {name: call[name] for name in call if name != "spend_logs"}
            for job in jobs
            if job["model_groups_used"]
            for call in (await team.costs(job["job_id"]))["breakdown"]
        ]
        ledger = await _pages(team, "credits/transactions", "transactions")
        grants = await team.http.get(f"/api/teams/{team.id}/credits/grants", params={"limit": 1000})
        return cls(await team.credits(), ledger[::-1], jobs, calls, grants.json()["grants"])

    @classmethod
    async def of_closed_jobs(cls, team: Team, *, timeout_s: float = PATIENCE_S) -> "Books":
        """The reading once no job is open any more and nothing is being written. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            before = await cls.of(team)
            while True:
                await asyncio.sleep(0.02)
                books = await cls.of(team)
                if books == before and all(job["completed_at"] for job in books.jobs):
                    return books
                before = books

    def check(self) -> None:
        """What must hold after any history."""
        available = held = 0
        for number, entry in enumerate(self.ledger, start=1):
            available += entry["available_delta"]
            held += entry["held_delta"]
            assert entry["number"] == number, "the ledger has a gap"
            assert (entry["available_after"], entry["held_after"]) == (available, held), entry
        now = self.credits
        assert (now["credits_available"], now["credits_held"]) == (available, held)
        assert now["credits_remaining"] == now["credits_allocated"] - now["credits_used"] == available + held
        charged = sum(job["credits_charged"] for job in self.jobs)
        assert now["credits_used"] == charged - self.sum_of("refund")
        assert now["credits_allocated"] == self.sum_of("grant", "refill", "adjustment", "expiry")
        assert sum(grant["credits_left"] for grant in self.grants) == max(0, available + held)
        if all(job["completed_at"] for job in self.jobs):
            assert held == 0, "credits are held for nothing"
            assert not [call for call in self.calls if call["status"] == "open"]

    def sum_of(self, *kinds: str) -> int:
        """What movements of these kinds changed in all."""
        return sum(entry["available_delta"] + entry["held_delta"] for entry in self.ledger if entry["kind"] in kinds)

    def of_kind(self, kind: str) -> list[Json]:
        return [entry for entry in self.ledger if entry["kind"] == kind]


async def _pages(team: Team, path: str, name: str) -> list[Json]:
    found: list[Json] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = await team.http.get(f"/api/teams/{team.id}/{path}", params={"limit": 1000, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page[name]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
