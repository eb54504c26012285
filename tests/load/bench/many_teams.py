"""Thousands of teams, each with a key and an open job, of which each call is the next one's.

Nothing about a team is remembered from its call before, so what a call costs more than one of a single team is what
looking up a key, its grants and its job costs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from control_plane import clock
from control_plane.administration.service import AdministrationService
from control_plane.administration.values import NewTeam
from control_plane.ids import TeamId
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database
from control_plane.storage.tx import Tx
from control_plane.tenants.principal import Principal
from control_plane.tenants.service import KeyService
from tests.load.bench.api import CREDITS, MASTER_KEY, PLENTY, call, check_bill, completion, creation, job_id
from tests.load.bench.load import Step, check_answer
from tests.load.bench.process import Server
from tests.load.bench.scenarios import GROUP
from tests.load.bench.wire import Connection, Reply

AT_ONCE = 100
"""Teams in one transaction."""
CONNECTIONS = 16
ADMINISTRATOR = Principal(team_id=None)


class _Joined(Database):
    """What would commit team by team does it in one transaction, which its owner commits."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    @asynccontextmanager
    async def transaction(self, *, is_long: bool = False) -> AsyncIterator[Tx]:
        yield self._tx


async def create_teams(url: str, config: Path, count: int) -> list[str]:
    """So many teams, in a migrated database that nobody serves yet, by what the API calls. Returns a key of each."""
    db = Database(url)
    catalog = load_catalog(config, {})
    keys = []
    try:
        for first in range(0, count, AT_ONCE):
            async with db.transaction(is_long=True) as tx:
                joined = _Joined(tx)
                service = AdministrationService(
                    joined,
                    KeyService(joined, master_key=MASTER_KEY, clock=clock.now),
                    ModelGroupService(joined, catalog),
                    clock=clock.now,
                )
                for number in range(first, min(first + AT_ONCE, count)):
                    team = NewTeam(
                        TeamId(f"team-{number}"),
                        model_groups=[GROUP],
                        credits_allocated=CREDITS,
                        rpm=PLENTY,
                        tpm=PLENTY,
                        jobs_per_minute=PLENTY,
                    )
                    keys.append((await service.create_team(ADMINISTRATOR, team)).issued.secret)
    finally:
        await db.aclose()
    return keys


@dataclass(slots=True)
class _Customer:
    """A key and its job, with the calls that were answered."""

    key: str
    job: str
    calls: int = 0


class ManyTeams:
    """All of them, at one server. `keys`: one of each team."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._customers: list[_Customer] = []
        self._turns: Iterator[_Customer] = iter(())

    async def steps(self, server: Server, connections: int) -> list[Step]:
        """Every step is a call of the customer whose turn it is."""
        if not self._customers:
            await self._create_jobs(server)
            self._turns = cycle(self._customers)
        return [self._call] * connections

    async def finish(self, server: Server) -> None:
        """Completes the jobs with calls. Raises: CallFailedError for one that is billed for other calls than were answered."""
        waiting = iter([each for each in self._customers if each.calls])

        async def work() -> None:
            connection = await Connection.open(server.port)
            for each in waiting:
                check_bill(await connection.call(completion(each.job, each.key)), calls=each.calls)
            connection.close()

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        self._customers = []

    async def _create_jobs(self, server: Server) -> None:
        waiting = iter(self._keys)

        async def work() -> None:
            connection = await Connection.open(server.port)
            for key in waiting:
                self._customers.append(_Customer(key, job_id(await connection.call(creation(key)))))
            connection.close()

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def _call(self, connection: Connection) -> Reply:
        customer = next(self._turns)
        reply = check_answer(await connection.call(call(customer.job, customer.key)), is_stream=False)
        customer.calls += 1
        return reply
