"""`python -m tests.load.chaos [--kills 26]`: kills a server on SQLite and one on Postgres, that often each, and checks the ledger.

Between kills 16 clients work. At the end every request that a provider was asked must be a recorded call, every
completed job charged once, every balance the sum of its ledger. About five minutes.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from control_plane.failpoints import Name
from control_plane.storage.database import Database
from control_plane.storage.migrate import migrate
from tests.load.bench.postgres import postgres
from tests.load.chaos.checks import find_inconsistencies, rows
from tests.load.chaos.clients import Client
from tests.load.chaos.provider import ChaosProvider
from tests.load.chaos.server import ChaosServer
from tests.support.server import MASTER_KEY, UNLIMITED

CLIENTS = 16
FAILPOINTS: tuple[str, ...] = get_args(Name)
SETTLE_S = 90  # on Postgres a dead server's calls are lost after its lease
MODES = ("job_based", "consumption_usd", "consumption_tokens")


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=26, help="kills of each server (default: 26)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats the random decisions")
    options = parser.parse_args()
    random.seed(options.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "sqlite").mkdir()
        (base / "postgres").mkdir()
        async with postgres(base) as running:
            urls = {"SQLite": f"sqlite:///{base}/sqlite/chaos.db", "Postgres": running.url}
            for url in urls.values():  # one after the other: Alembic knows one migration at a time
                await migrated(url)
            reports = await asyncio.gather(
                *(chaos(name, base / name.lower(), url, options.kills) for name, url in urls.items())
            )
    show(reports, seed=options.seed, seconds=round(time.monotonic() - started))
    if any(report["wrong"] for report in reports):
        sys.exit(1)


async def migrated(database_url: str) -> None:
    db = Database(database_url)
    try:
        await migrate(db)
    finally:
        await db.aclose()


async def chaos(name: str, folder: Path, database_url: str, kills: int) -> dict[str, object]:
    """Kills, then counts."""
    db = Database(database_url)
    try:
        async with ChaosProvider.start() as provider:
            settings = {
                "database_url": database_url,
                "config": write_config(folder, provider),
                "master_key": MASTER_KEY,
            }
            server = ChaosServer(folder, settings)
            await server.start()
            keys = [await new_team(server, mode) for mode in MODES]
            clients = [Client(server, keys[number % len(keys)]) for number in range(CLIENTS)]
            deaths = await kill_often(server, clients, kills)
            await settle(server, db, keys)
            return await count(name, server, db, provider, clients, deaths)
    finally:
        await db.aclose()


async def kill_often(server: ChaosServer, clients: list[Client], kills: int) -> Counter[str]:
    """Every failpoint in turn, and kills at random moments in between."""
    stop = asyncio.Event()
    working = [asyncio.create_task(client.run(stop)) for client in clients]
    deaths: Counter[str] = Counter()
    failpoint = ""
    for number in range(kills):
        if failpoint and await server.died():
            deaths[failpoint] += 1
        elif failpoint:
            deaths["random"] += 1  # it did not come by there in time, and was killed
        else:
            await asyncio.sleep(random.uniform(0.2, 2))
            await server.kill()
            deaths["random"] += 1
        failpoint = "" if number % 2 else FAILPOINTS[number // 2 % len(FAILPOINTS)]
        await server.start(f"{failpoint}:{random.randint(1, 10)}" if failpoint else "")
    stop.set()
    await asyncio.gather(*working)
    return deaths


async def settle(server: ChaosServer, db: Database, keys: list[str]) -> None:
    """Starts afresh, waits until lost calls are found, and closes whatever is open."""
    await server.kill()
    await server.start()
    async with asyncio.timeout(SETTLE_S):
        while await rows(db, "SELECT id FROM open_calls"):  # noqa: ASYNC110 - another process sweeps
            await asyncio.sleep(0.5)
    for key in keys:
        async with server.client(key) as http:
            team = await own_team(http, server)
            for status in ("pending", "in_progress"):
                while jobs := (await listed(http, server, team, status)):
                    for job_id in jobs:
                        path = f"{server.url}/api/jobs/{job_id}/complete"
                        answer = await http.post(path, json={"status": random.choice(["completed", "failed"])})
                        assert answer.status_code == 200, answer.text


async def own_team(http: httpx.AsyncClient, server: ChaosServer) -> str:
    job = await http.post(f"{server.url}/api/jobs/create", json={"job_type": "last"})
    team: str = job.json()["team_id"]
    return team


async def listed(http: httpx.AsyncClient, server: ChaosServer, team: str, status: str) -> list[str]:
    answer = await http.get(f"{server.url}/api/teams/{team}/jobs", params={"status": status, "limit": 1000})
    return [job["job_id"] for job in answer.json()["jobs"]]


async def count(
    name: str, server: ChaosServer, db: Database, provider: ChaosProvider, clients: list[Client], deaths: Counter[str]
) -> dict[str, object]:
    """What is there, and what is wrong with it."""
    recorded = Counter(row[0] for row in await rows(db, "SELECT purpose FROM calls WHERE purpose IS NOT NULL"))
    statuses = {row[0]: row[1] for row in await rows(db, "SELECT status, count(*) FROM calls GROUP BY status")}
    jobs = {row[0]: row[1] for row in await rows(db, "SELECT status, count(*) FROM jobs GROUP BY status")}
    missing = provider.unrecorded(recorded)
    problems = [f"the provider served {missing} requests that were never recorded"] if missing else []
    problems += await find_inconsistencies(db)
    assert await server.stop() == 0
    for command in (("ledger", "verify"), ("spend", "reconcile", "--since", "1h")):
        ran = await server.command(*command)
        if ran.code:
            problems.append(f"`control-plane {' '.join(command)}` exits with {ran.code}:\n{ran.output}")
    listed = len(json.loads((await server.command("spend", "lost", "--json")).output))
    if listed != statuses.get("lost", 0):
        problems.append(f"{statuses.get('lost', 0)} calls were lost, and {listed} are listed")
    return {
        "name": name,
        "kills": dict(deaths),
        "jobs": jobs,
        "calls": statuses,
        "requests served": sum(provider.served.values()),
        "of them missing": missing,
        "lost calls listed": listed,
        "answers": dict(sum((client.statuses for client in clients), Counter())),
        "wrong": problems,
    }


async def new_team(server: ChaosServer, mode: str, *groups: str, credits_allocated: int = 400) -> str:
    async with server.client(MASTER_KEY) as admin:
        body = {"team_id": mode, "credits_allocated": credits_allocated, "budget_mode": mode, "tokens_per_credit": 50}
        body |= {
            "credits_per_dollar": 20_000,
            "model_groups": ["Good", "Falling", "Bad", *groups],
            "markup_bps": 1500,
            **UNLIMITED,
        }
        answer = await admin.post(f"{server.url}/api/teams/create", json=body)
        assert answer.status_code == 200, answer.text
        key: str = answer.json()["virtual_key"]
        return key


def write_config(folder: Path, provider: ChaosProvider, **more: str) -> Path:
    """`more`: further groups, with the behaviour of their provider; LiteLLM's lane takes those that end in `Through`."""
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "max_output_tokens": 20}
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {"model": "openai/m", "api_base": provider.url(name), "api_key": "sk-x"},
                "model_info": {"id": f"{name}-1", **prices},
            }
            for name in ("good", "bad")
        ]
        + [
            {
                "model_name": group.lower(),
                "litellm_params": {"model": "openai/m", "api_base": provider.url(behaviour), "api_key": "sk-x"},
                "model_info": {
                    "id": f"{group}-1",
                    "lane": "litellm" if group.endswith("Through") else "auto",
                    **prices,
                },
            }
            for group, behaviour in more.items()
        ],
        "model_groups": {
            "Good": {"models": ["good"]},
            "Falling": {"models": ["bad", "good"]},
            "Bad": {"models": ["bad"]},
            **{group: {"models": [group.lower()]} for group in more},
        },
        "router_settings": {"num_retries": 0, "timeout": 10, "disable_cooldowns": True},
        "litellm_settings": {"cache": False},  # every call is to reach the provider
    }
    file = folder / "litellm_config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def show(reports: Sequence[dict[str, object]], *, seed: int, seconds: int) -> None:
    console = Console()
    table = Table("", *(str(report["name"]) for report in reports))
    for fact in ("kills", "jobs", "calls", "requests served", "of them missing", "lost calls listed", "answers"):
        table.add_row(fact, *(str(report[fact]) for report in reports))
    console.print(table)
    for report in reports:
        problems = report["wrong"]
        assert isinstance(problems, list), "count() made it"
        for problem in problems:
            console.print(f"{report['name']}: {problem}", style="red", soft_wrap=True)
    is_good = not any(report["wrong"] for report in reports)
    console.print(f"{'Nothing is wrong.' if is_good else 'WRONG.'} {seconds} s, seed {seed}")


if __name__ == "__main__":
    asyncio.run(main())
