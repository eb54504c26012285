"""The servers of a run: the provider, and every target that is asked, each on a database of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.load.bench.api import create_team
from tests.load.bench.many_teams import ManyTeams, create_teams
from tests.load.bench.postgres import Postgres, postgres
from tests.load.bench.process import free_port, running
from tests.load.bench.scenarios import config
from tests.load.bench.targets import (
    BareRouter,
    ControlPlane,
    Proxy,
    Target,
    control_plane,
    litellms_proxy,
    plain_server,
)

BARE, PASS, SQLITE, POSTGRES = "bare router", "pass-through", "ours, SQLite", "ours, Postgres"
LITELLM = "ours, LiteLLM's lane"
PROXY = "LiteLLM's proxy"
NAMES = (BARE, PASS, LITELLM, SQLITE, POSTGRES)
PEERS = (PROXY, SQLITE)
RELAYED = (SQLITE, POSTGRES)


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[Path]:
    """The provider, running. Yields: the `litellm_config.yaml` that names it."""
    port = free_port()
    file = folder / "litellm_config.yaml"
    file.write_text(config(port))
    arguments = ["-m", "tests.load.bench.provider", "--port", str(port)]
    async with running(arguments, port=port, log=folder / "provider.log"):
        yield file


@asynccontextmanager
async def database(folder: Path, console: Console) -> AsyncIterator[Postgres | None]:
    """Postgres, running; None where it cannot, which is printed."""
    async with AsyncExitStack() as stack:
        found = None
        try:
            found = await stack.enter_async_context(postgres(folder))
        except Exception as reason:  # noqa: BLE001  # the wheel names no error of its own
            console.print(f"no Postgres here, its rows are missing: {reason!r}")
        yield found


@asynccontextmanager
async def all_targets(
    folder: Path,
    names: Sequence[str],
    console: Console,
    proxy: Path | None = None,
    *,
    teams: int = 0,
) -> AsyncIterator[list[Target]]:
    """The provider and every server asked for, running. `teams`: so many more that each of our servers knows."""
    async with AsyncExitStack() as stack:
        config_file = await stack.enter_async_context(provider(folder))
        targets: list[Target] = []
        if BARE in names:
            targets.append(BareRouter(BARE, await stack.enter_async_context(plain_server(folder, config_file, "bare"))))
        if PROXY in names and proxy is not None:
            targets.append(Proxy(PROXY, await stack.enter_async_context(litellms_proxy(folder, config_file, proxy))))
        if PASS in names:
            passthrough = await stack.enter_async_context(plain_server(folder, config_file, "passthrough"))
            targets.append(BareRouter(PASS, passthrough))
        for name, lane in ((SQLITE, "auto"), (LITELLM, "litellm")):
            if name in names:
                url = f"sqlite:///{folder / lane}.db"
                count = teams if name in RELAYED else 0
                targets.append(await stack.enter_async_context(ours(folder, config_file, name, url, lane, count)))
        found = await stack.enter_async_context(database(folder, console)) if POSTGRES in names else None
        if found is not None:
            server = ours(folder, config_file, POSTGRES, found.url, "auto", teams)
            targets.append(replace(await stack.enter_async_context(server), database_pid=found.pid))
        yield targets


@asynccontextmanager
async def ours(folder: Path, config: Path, name: str, url: str, lane: str, teams: int) -> AsyncIterator[ControlPlane]:
    """Our server, with a team that has plenty, and `teams` more."""
    keys: list[str] = []

    async def prepare() -> None:
        keys.extend(await create_teams(url, config, teams))

    async with await control_plane(folder, config, name, url, lane=lane, prepare=prepare) as server:
        yield ControlPlane(name, server, await create_team(server), many_teams=ManyTeams(keys) if keys else None)
