"""`doctor`: checks whether a server could run here with these settings, and reports each fault with its remedy."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import requires, version
from pathlib import Path
from typing import Literal

import httpx

from control_plane import failpoints
from control_plane.cli.trial import inspect_and_build
from control_plane.errors import DatabaseUnavailable, InvalidConfig
from control_plane.limits.shared import SharedLimits
from control_plane.master_key import find_master_key
from control_plane.model_groups.problems import did_you_mean
from control_plane.replicas.heartbeat import MOST_SKEW, least_skew
from control_plane.settings import PREFIX, Settings
from control_plane.storage.database import Database, parse_database_url
from control_plane.storage.migrate import newer_schema, pending
from control_plane.storage.partitions import list_warnings
from control_plane.storage.redis import RedisUnavailable

Level = Literal["ok", "warning", "wrong"]

NOTED_SKEW_S = 1.0  # between two clocks: leases and limits bear it
LEAST_FREE_BYTES = 1_000_000_000
OTHERS = {f"{PREFIX}URL", failpoints.VARIABLE}
"""Our variables that are not server settings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A checked subject and the result. `wrong`: the server would not run, or not as intended."""

    level: Level
    about: str
    says: str


async def examine(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Everything, in an order in which the first fault is the one to mend. Changes nothing."""
    for finding in _variables(environ):
        yield finding
    yield _library()
    yield _master_key(settings)
    async for finding in _model_groups(settings, environ):
        yield finding
    async for finding in _database(settings):
        yield finding
    yield await _redis(settings)
    yield await _address(settings)


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known = settings | OTHERS
    for name in sorted(environ):
        capitals = name.upper()
        if not capitals.startswith(PREFIX) or name in known or name.removesuffix("_FILE") in known:
            continue
        if capitals not in settings:
            yield Finding(
                "wrong", "settings", f"{name} is no setting and does nothing{did_you_mean(name, _written(known))}"
            )
        elif capitals in environ:
            yield Finding("wrong", "settings", f"{name} and {capitals} are both set; leave the first one out")
        else:
            yield Finding(
                "warning", "settings", f"{name} is read as {capitals}; write it in capitals, as everything else"
            )


def _written(known: set[str]) -> list[str]:
    """The names, with those of the files that may hold their values."""
    return sorted(known | {f"{name}_FILE" for name in known})


def _library() -> Finding:
    have = version("litellm")
    wanted = next(line for line in requires("control-plane") or () if line.startswith("litellm"))
    if f"litellm=={have}" != wanted:
        return Finding("wrong", "litellm", f"{have} is installed instead of {wanted}; install deploy/requirements.lock")
    return Finding("ok", "litellm", have)


def _master_key(settings: Settings) -> Finding:
    file = settings.var / "master_key"
    if settings.master_key is None and settings.env == "development" and not file.exists():
        return Finding("ok", "master key", f"there is none yet; the first start makes one in {file}")
    try:
        find_master_key(settings)
    except (InvalidConfig, OSError) as error:
        return Finding("wrong", "master key", error.message if isinstance(error, InvalidConfig) else str(error))
    if settings.master_key is None and file.stat().st_mode & 0o077:
        return Finding("warning", "master key", f"others may read {file}: chmod 600 {file}")
    return Finding("ok", "master key", "given" if settings.master_key else f"in {file}")


async def _model_groups(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    try:
        inspection = await asyncio.to_thread(inspect_and_build, settings.config, environ)
    except InvalidConfig as mistakes:
        yield Finding("wrong", "model groups", mistakes.message)
        return
    if inspection.catalog is None:
        yield Finding("wrong", "model groups", "\n".join(finding.sentence for finding in inspection.errors))
    for finding in inspection.warnings:
        yield Finding("warning", "model groups", finding.sentence)
    if inspection.catalog is not None:
        groups, deployments = inspection.catalog.groups, inspection.catalog.router.deployments
        built = f"{len(groups)} with {len(deployments)} deployments, in {settings.config}; LiteLLM takes them"
        yield Finding("ok", "model groups", built)


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    try:
        url = parse_database_url(settings.database_url)
    except InvalidConfig as mistakes:
        yield Finding("wrong", "database", mistakes.message)
        return
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and _is_missing(url.database):  # connecting would make it
        yield Finding("warning", "database", f"{shown} is not there yet: control-plane migrate")
        return
    db = Database(settings.database_url)
    try:
        skew = await _skew(db.clock)
        missing, newer = await pending(db), await newer_schema(db)
        partitions = [] if missing else await list_warnings(db)
    except DatabaseUnavailable as unavailable:
        yield Finding("wrong", "database", f"{shown} cannot be reached: {unavailable.__cause__}".splitlines()[0])
        return
    finally:
        await db.aclose()
    if newer is not None:
        yield Finding("warning", "database", f"{shown} has schema {newer}, of a newer release; use that release")
    elif missing:
        yield Finding("warning", "database", f"{shown} lacks {len(missing)} migrations: control-plane migrate")
    else:
        yield Finding("ok", "database", shown)
    for each in partitions:
        yield Finding("warning", "database", f"{each}; deploy/README.md, Months")
    yield _clock("database", skew)
    if db.is_sqlite:
        yield _disk(Path(db.url.database or "."))


def _is_missing(file: str | None) -> bool:
    return not Path(file or "").exists()


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding("ok", "redis", "none: each process counts limits alone")
    try:
        limits = SharedLimits(settings.redis_url.get_secret_value())
    except ValueError:  # what the settings' own check lets pass
        return Finding("wrong", "redis", "CONTROL_PLANE_REDIS_URL: it is no address, such as redis://host:6379/0")
    try:
        await limits.check()
        skew = await _skew(limits.clock)
    except (RedisUnavailable, ValueError):
        return Finding("wrong", "redis", "CONTROL_PLANE_REDIS_URL: Redis does not respond, or rejects commands")
    finally:
        await limits.aclose()
    return Finding("ok", "redis", "answers") if abs(skew) <= NOTED_SKEW_S else _clock("redis", skew)


async def _address(settings: Settings) -> Finding:
    address = f"{settings.host}:{settings.port}"
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            return await _taken(settings, address, error.strerror or str(error))
    return Finding("ok", "address", f"{address} is free")


async def _taken(settings: Settings, address: str, why: str) -> Finding:
    """An address where this service already runs is fine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            answer = await http.get(f"http://{host}:{settings.port}/health/live")
            if answer.json() == {"status": "ok"}:
                return Finding("ok", "address", f"{address} is where this service runs")
    except (httpx.HTTPError, ValueError):
        pass
    return Finding("wrong", "address", f"{address}: {why}; set CONTROL_PLANE_PORT or CONTROL_PLANE_HOST")


async def _skew(clock: Callable[[], Awaitable[datetime]]) -> float:
    """The least number of seconds by which another host's clock is ahead of ours."""
    before = datetime.now(UTC)
    there = await clock()
    return least_skew(before, there, datetime.now(UTC)).total_seconds()


def _clock(whose: str, skew_s: float) -> Finding:
    if abs(skew_s) <= NOTED_SKEW_S:
        return Finding("ok", "clock", f"that of the {whose} is the same")
    way = "ahead of" if skew_s > 0 else "behind"
    says = f"that of the {whose} is {abs(skew_s):.0f} s {way} this host's; synchronize both with NTP"
    if abs(skew_s) <= MOST_SKEW.total_seconds():
        return Finding("warning", "clock", says)
    return Finding("wrong", "clock", f"{says}. A server here would do no periodic tasks")


def _disk(file: Path) -> Finding:
    free = shutil.disk_usage(file.parent).free
    level: Level = "ok" if free >= LEAST_FREE_BYTES else "warning"
    return Finding(level, "disk", f"{free / 1e9:.1f} GB are free beside {file}")
