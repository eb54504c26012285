"""Hot reload of the YAML while calls run.

A new version is read and checked whole, and its gateway is built beside the old one, before anything changes. New calls
begin on the new one, and those in flight end on the old one, which is closed after the last of them.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from control_plane.audit.service import AuditLog
from control_plane.audit.values import SYSTEM, Actor, Change
from control_plane.calls.service import CallService
from control_plane.errors import InvalidConfig, ShuttingDown
from control_plane.gateway.deployments import RouterConfig
from control_plane.gateway.router import Gateway
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.diff import changes
from control_plane.model_groups.service import ModelGroupService
from control_plane.replicas.lease import Lease
from control_plane.replicas.models import Worker
from control_plane.tenants.principal import Principal
from control_plane.tenants.roles import PLATFORM, Permission

log = logging.getLogger(__name__)

LOOK_S = 1.0

State = tuple[int, int, int] | None
"""When a file was written, its inode and size; None: there is none."""

OpenGateway = Callable[[RouterConfig, Gateway | None], Awaitable[Gateway]]
"""Builds the gateway of a new version, beside the one that it will replace; None: the first one."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The result of a reload. `changes` in sentences; both versions are equal when the file was already in force."""

    before: str
    generation: str
    changes: Sequence[str]


class Configuration:
    """Reloads the file when it changes, on request, and when another replica has another version."""

    def __init__(
        self,
        file: Path,
        groups: ModelGroupService,
        calls: CallService,
        lease: Lease,
        open_gateway: OpenGateway,
        audit: AuditLog,
        environ: Mapping[str, str],
        *,
        is_watched: bool = True,
    ) -> None:
        """`environ`: the process' environment without the file's own variables. `is_watched`: whether changes of the
        file are noticed.
        """
        self._file = file
        self._groups = groups
        self._calls = calls
        self._lease = lease
        self._open_gateway = open_gateway
        self._audit = audit
        self._environ = environ
        self._is_watched = is_watched
        self._state = _state_of(file)
        self._followed: frozenset[str] = frozenset()
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], Gateway] = {}
        self.problems: Sequence[str] = ()
        """Why the current file is not in force; empty when it is."""

    @property
    def generation(self) -> str:
        """Which version of the file is in force in this process."""
        return self._groups.catalog.generation

    @property
    def is_refused(self) -> bool:
        """Whether the current file is not in force because of its own mistakes: no server would start with it."""
        return bool(self.problems)

    async def list_replicas(self, principal: Principal) -> Sequence[Worker]:
        """Every living process and its version of the file. Raises: AdminOnly."""
        principal.require(Permission.CONFIGURATION_READ, PLATFORM)
        return await self._lease.list_replicas()

    async def reload(self, principal: Principal) -> Reloaded:
        """Puts the current file in force, here at once and on other replicas within seconds.

        Raises: AdminOnly, InvalidConfig with every mistake; then nothing has changed.
        """
        principal.require(Permission.CONFIGURATION_RELOAD, PLATFORM)
        return await self._reload(principal.audited)

    def ask(self) -> None:
        """Reload soon, as on SIGHUP."""
        self._asked.set()

    async def run(self) -> None:
        """Reloads when it should, until cancelled. A file that cannot be used is logged, with what is wrong in it.

        Whatever else goes wrong is logged with its traceback, and the version in force stays: calls do not need the new.
        """
        _log_warnings(self._groups.catalog)
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                if not await self._is_due():
                    continue
            self._asked.clear()
            try:
                await self._reload(SYSTEM)
            except InvalidConfig as mistakes:
                fields = {"file": str(self._file), "problems": mistakes.facts["problems"]}
                level = logging.WARNING if mistakes.__cause__ is None else logging.ERROR
                log.log(level, "config_refused", extra=fields, exc_info=mistakes.__cause__)
            except ShuttingDown:
                return
            except Exception:
                log.exception("config_not_reloaded", extra={"file": str(self._file)})

    async def aclose(self) -> None:
        """Closes every gateway; calls must have ended before, or are cut off."""
        gateways = [self._calls.gateway, *self._retiring.values()]
        retiring = list(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        await asyncio.gather(*(gateway.aclose() for gateway in gateways))

    async def _reload(self, actor: Actor) -> Reloaded:
        async with self._one_at_a_time:
            before, old = self._groups.catalog, self._calls.gateway
            self._state = await asyncio.to_thread(_state_of, self._file)
            try:
                catalog = await asyncio.to_thread(load_catalog, self._file, self._environ)
                if catalog.generation != before.generation:
                    await self._replace(old, before, catalog)
            except InvalidConfig as mistakes:
                self.problems = mistakes.facts["problems"]
                refused = Change("configuration.refused", str(self._file), None, {"problems": list(self.problems)})
                await self._audit.try_record_once(actor, refused)
                raise
            except ShuttingDown:
                raise
            except Exception as error:
                self.problems = [f"{self._file}: could not be put in force: {type(error).__name__}; see the log"]
                raise
            self.problems = ()
            if catalog.generation == before.generation:
                return Reloaded(before.generation, before.generation, [])
        done = Reloaded(before.generation, catalog.generation, changes(before, catalog))
        _log_warnings(catalog)
        log.info("config_reloaded", extra={"generation": done.generation, "before": done.before})
        await self._lease.announce(done.generation)
        fields = {"generation": done.generation, "changes": list(done.changes)}
        change = Change("configuration.reloaded", done.generation, {"generation": done.before}, fields)
        await self._audit.try_record_once(actor, change)
        return done

    async def _replace(self, old: Gateway, before: Catalog, catalog: Catalog) -> None:
        try:
            self._export(before.environment, catalog.environment)
            new = await self._open_gateway(catalog.router, old)
        except BaseException:
            self._export(catalog.environment, before.environment)
            raise
        if self._calls.is_stopping:
            await new.aclose()
            raise ShuttingDown
        self._groups.catalog, self._calls.gateway = catalog, new
        task = asyncio.create_task(_close_behind_last_call(old), name="retiring gateway")
        self._retiring[task] = old
        task.add_done_callback(self._retiring.pop)

    def _export(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Gives the process the variables of the file, and what it had before for those that are no longer in it."""
        for name in before.keys() - after.keys():
            if name in self._environ:
                os.environ[name] = self._environ[name]
            else:
                os.environ.pop(name, None)
        os.environ.update(after)

    async def _is_due(self) -> bool:
        """Whether the file has changed and settled, or another replica has a version that was not checked here yet."""
        others = self._lease.generations - {self.generation}
        if others - self._followed:
            self._followed = others
            return True
        self._followed = others
        if not self._is_watched:
            return False
        state = await asyncio.to_thread(_state_of, self._file)
        if state == self._state:
            return False
        await asyncio.sleep(LOOK_S / 2)  # its writer may not be finished
        return state == await asyncio.to_thread(_state_of, self._file)


def _log_warnings(catalog: Catalog) -> None:
    """Logs the settings of a version that have no effect here."""
    if catalog.warnings:
        log.warning("config_not_used", extra={"generation": catalog.generation, "warnings": list(catalog.warnings)})


async def _close_behind_last_call(gateway: Gateway) -> None:
    await gateway.unused()
    try:
        await gateway.aclose()
    except Exception:  # its calls have ended well; what it leaves open is all that is lost
        log.exception("gateway_not_closed")


def _state_of(file: Path) -> State:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
