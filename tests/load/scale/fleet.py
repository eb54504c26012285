"""Three servers behind a load balancer, and what must be true of them together."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from control_plane.storage.database import Database
from tests.load.bench.process import rss_kb
from tests.load.chaos.checks import find_inconsistencies
from tests.load.chaos.server import ChaosServer
from tests.support.redis_server import free_port
from tests.support.server import MASTER_KEY, TLS, UNLIMITED

SERVERS = 3
LIMIT = 100
CREDITS = 1000
GROWTH = 1.1  # of a server's memory over all reloads

BALANCER = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch
frontend customers
  bind 127.0.0.1:{port}
  default_backend servers
backend servers
  balance roundrobin
  option httpchk GET /health/ready
{servers}
"""


@dataclass
class Fleet:
    """The servers, and how customers reach them."""

    folder: Path
    config: Path
    settings: Mapping[str, object]
    servers: list[ChaosServer] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    balancer: str = "a client that takes turns"

    def __post_init__(self) -> None:
        for number in range(SERVERS):
            (folder := self.folder / f"server-{number}").mkdir()
            known = {**self.settings, "config": self.config, "master_key": MASTER_KEY, "port": free_port()}
            self.servers.append(ChaosServer(folder, known))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for server in self.servers:
                await server.start()
                stack.push_async_callback(server.kill)
            self.urls = [server.url for server in self.servers]
            if shutil.which("haproxy"):
                self.urls = [await stack.enter_async_context(self._haproxy())]
                self.balancer = "haproxy"
            self._turns = cycle(self.urls)
            yield

    def client(self, key: str) -> httpx.AsyncClient:
        """Of one customer: to whoever's turn it is, when there is no balancer."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=next(self._turns), headers=headers, timeout=60, verify=TLS, limits=limits)

    async def team(self, name: str, **more: object) -> str:
        """A new team's key."""
        body = {"team_id": name, "credits_allocated": 10**9, "model_groups": ["Good"], **UNLIMITED, **more}
        async with self.client(MASTER_KEY) as admin:
            made = await admin.post("/api/teams/create", json=body)
            assert made.status_code == 200, made.text
            key: str = made.json()["virtual_key"]
            return key

    async def credits(self, team: str) -> dict[str, int]:
        async with self.client(MASTER_KEY) as admin:
            found: dict[str, int] = (await admin.get(f"/api/teams/{team}/credits")).json()
            return found

    @asynccontextmanager
    async def _haproxy(self) -> AsyncIterator[str]:
        port = free_port()
        servers = "\n".join(
            f"  server s{number} {server.url.removeprefix('http://')} check inter 200ms fall 1 rise 1"
            for number, server in enumerate(self.servers)
        )
        file = self.folder / "haproxy.cfg"
        file.write_text(BALANCER.format(port=port, servers=servers))
        process = await asyncio.create_subprocess_exec(
            *("haproxy", "-f", str(file), "-db"), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            async with asyncio.timeout(20), httpx.AsyncClient(base_url=url, verify=TLS) as client:
                while True:
                    if await _is_ready(client):
                        break
                    await asyncio.sleep(0.1)
            yield url
        finally:
            process.terminate()
            await process.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.HTTPError:
        return False


def body(token: str = "token-0") -> dict[str, Any]:
    return {"job_type": "scale", "model_group": "Good", "messages": [{"role": "user", "content": f"About {token}"}]}


async def at_once(count: int, ask: Callable[[], Awaitable[int]], *, together: int = 60) -> list[int]:
    """The statuses of so many requests, so many of them at a time."""
    gate = asyncio.Semaphore(together)

    async def one() -> int:
        async with gate:
            return await ask()

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def prove(fleet: Fleet, console: Console, *, reloads: int) -> list[str]:
    """What is wrong; prints what was seen."""
    table = Table("what", "seen", title=f"{SERVERS} servers behind {fleet.balancer}")
    faults = []
    proofs: dict[str, Callable[[Fleet], Awaitable[tuple[str, bool]]]] = {
        f"a limit of {LIMIT} requests a minute, asked {3 * LIMIT} times at once": limits_are_exact,
        f"a team of {CREDITS} credits, asked for {CREDITS * 3 // 2} jobs": nobody_overspends,
        "every server restarted in turn, under load": restarts_lose_nothing,
        f"{reloads} reloads while calls run": lambda fleet: reloads_leave_nothing(fleet, reloads),
    }
    for name, proof in proofs.items():
        seen, is_right = await proof(fleet)
        table.add_row(name, seen)
        faults += [] if is_right else [f"{name}: {seen}"]
    db = Database(str(fleet.settings["database_url"]))
    found = await find_inconsistencies(db)
    await db.aclose()
    table.add_row("calls, bills, balances and ledgers", "fit together" if not found else "; ".join(found))
    console.print(table)
    return [*faults, *found]


async def limits_are_exact(fleet: Fleet) -> tuple[str, bool]:
    key = await fleet.team("limited", rpm=LIMIT)
    async with fleet.client(key) as http:

        async def ask() -> int:
            return (await http.post("/api/jobs/create-and-call", json=body())).status_code

        statuses = await at_once(3 * LIMIT, ask, together=3 * LIMIT)
    let_in = statuses.count(200)
    return f"{let_in} let in, {statuses.count(429)} told to wait", abs(let_in - LIMIT) <= 1


async def nobody_overspends(fleet: Fleet) -> tuple[str, bool]:
    key = await fleet.team("poor", credits_allocated=CREDITS)
    async with fleet.client(key) as http:

        async def ask() -> int:
            return (await http.post("/api/jobs/create-and-call", json=body())).status_code

        statuses = await at_once(CREDITS * 3 // 2, ask)
    stands = await fleet.credits("poor")
    seen = f"{statuses.count(200)} done, {stands['credits_used']} credits used, {stands['credits_available']} left"
    return seen, statuses.count(200) == stands["credits_used"] == CREDITS


async def restarts_lose_nothing(fleet: Fleet) -> tuple[str, bool]:
    key = await fleet.team("rolling")
    is_over = asyncio.Event()
    ended, failed = 0, list[str]()

    async def customer() -> None:
        nonlocal ended
        async with fleet.client(key) as http:
            while not is_over.is_set():
                async with http.stream("POST", "/api/jobs/create-and-call-stream", json=body()) as stream:
                    lines = [line async for line in stream.aiter_lines() if line]
                if stream.status_code != 200 or lines[-1] != "data: [DONE]":
                    failed.append(f"{stream.status_code} {lines[-1:]}")
                ended += 1

    async def restart_all() -> None:
        for server in fleet.servers:
            await server.stop()
            await server.start()
            await asyncio.sleep(1)  # the balancer has to see it
        is_over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(restart_all())
        for _ in range(16):
            group.create_task(customer())
    used = (await fleet.credits("rolling"))["credits_used"]
    lost = ": ".join([f"{len(failed)} lost", *failed[:1]])
    return f"{ended} streams, {lost}, {used} credits used", not failed and used == ended


async def reloads_leave_nothing(fleet: Fleet, count: int) -> tuple[str, bool]:
    """One server reloads; the others follow when they hear of it."""
    key = await fleet.team("reloading")
    server = fleet.servers[0]
    is_over = asyncio.Event()
    statuses = list[int]()

    async def customer() -> None:
        async with fleet.client(key) as http:
            while not is_over.is_set():
                statuses.append((await http.post("/api/jobs/create-and-call", json=body())).status_code)

    async def reload(http: httpx.AsyncClient, number: int) -> None:
        content = yaml.safe_load(fleet.config.read_text())
        content["model_groups"]["Good"]["description"] = f"version {number}"
        (next_file := fleet.config.with_suffix(".next")).write_text(yaml.safe_dump(content))
        next_file.replace(fleet.config)
        answer = await http.post(f"{server.url}/api/model-groups/reload")
        assert answer.status_code == 200, answer.text

    async with server.client(MASTER_KEY) as http:
        working = [asyncio.create_task(customer()) for _ in range(2)]
        for number in range(20):
            await reload(http, number)
        before = _held(server)
        for number in range(count):
            await reload(http, 20 + number)
        after = _held(server)
        is_over.set()
        await asyncio.gather(*working)
    good = statuses.count(200) == len(statuses) and after[0] <= before[0] * GROWTH and after[1] <= before[1] + 10
    seen = f"{len(statuses)} calls, {len(statuses) - statuses.count(200)} failed; "
    return seen + f"{before[0] / 1024:.0f} → {after[0] / 1024:.0f} MB, {before[1]} → {after[1]} files", good


def _held(server: ChaosServer) -> tuple[int, int]:
    """Memory in KB and open files."""
    return rss_kb(server.pid), len([*Path(f"/proc/{server.pid}/fd").iterdir()])
