"""The composition root: builds infrastructure and domain packages once, in order; runs their background tasks; closes
in reverse.

The app, the CLI and the tests all open the services here.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from control_plane import clock as system_clock
from control_plane.administration.service import AdministrationService
from control_plane.audit.service import AuditLog
from control_plane.audit.values import SYSTEM, Change
from control_plane.calls.implicit_jobs import ImplicitJobs
from control_plane.calls.job_closer import JobCloser
from control_plane.calls.remote_files import RemoteFiles
from control_plane.calls.runner import CallRunner
from control_plane.calls.service import CallService
from control_plane.calls.tool_call_cache import ToolCallCache
from control_plane.calls.writer import CallWriter
from control_plane.clock import Clock
from control_plane.configuration.service import Configuration
from control_plane.credits.service import CreditService
from control_plane.documents.service import DocumentService
from control_plane.errors import InvalidConfig
from control_plane.fetching.fetcher import Resolve, look_up
from control_plane.idempotency.service import IdempotencyService
from control_plane.identity.tokens import AccessTokens
from control_plane.infrastructure import Infrastructure, build_infrastructure, gateway_opener, open_connections
from control_plane.jobs.admission import RiskPolicy
from control_plane.jobs.lost import LostCallPolicy
from control_plane.jobs.service import JobService
from control_plane.jobs.tokens import JobTokenService
from control_plane.limits.service import LimitService
from control_plane.logs import lines_dropped
from control_plane.master_key import find_master_key
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.service import ModelGroupService
from control_plane.pdf.reader import PdfReader
from control_plane.periodic_tasks import background_tasks
from control_plane.reconciliation.metrics_refresh import MetricsRefresh
from control_plane.reconciliation.proxies import Proxy
from control_plane.reconciliation.service import ReconciliationService
from control_plane.reconciliation.spend_logs import SpendService
from control_plane.replicas.lease import Lease
from control_plane.services import Services
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.storage.migrate import newer_schema, pending
from control_plane.storage.sqlite_lock import only_process
from control_plane.tenants.service import KeyService
from control_plane.units import nano_usd

log = logging.getLogger(__name__)

PROXIED = "litellm_proxy/"
"""The prefix of models of LiteLLM proxies."""

BYTES_PER_CHAR = 4
"""Of UTF-8, at most."""

LANDING_S = 10.0  # calls still running when the services close have this long to be recorded, each time that one was
MOST_LANDING_S = 15.0  # and this long together; deploy/ kills no process before that


@asynccontextmanager
async def open_services(
    settings: Settings, *, clock: Clock = system_clock.now, resolve: Resolve = look_up
) -> AsyncIterator[Services]:
    """All services, without an entry point. Raises: InvalidConfig, DatabaseUnavailable; then nothing stays open.

    `resolve`: resolves the addresses of hosts that clients name.

    If a background task dies, the services stop: loudly, instead of running without it.
    """
    key, _ = find_master_key(settings)
    environ = dict(os.environ)
    catalog = load_catalog(settings.config, environ)
    connections = open_connections(settings)
    try:
        with only_process(connections.customers):
            await _check_schema(connections.customers)
            infrastructure = build_infrastructure(settings, connections, clock=clock, resolve=resolve)
            os.environ.update(catalog.environment)
            services = await _build_services(infrastructure, catalog, master_key=key, environ=environ)
            await services.lease.start(catalog.generation)
            await services.audit.try_record_once(SYSTEM, Change("settings.seen", "settings", None, settings.shown()))
            # The writer outlives the others: when one of them dies, the calls still running are recorded all the same.
            async with _running(writer=services.writer.run()), _running(**background_tasks(services)):
                try:
                    yield services
                finally:
                    await _close(services, infrastructure)
            await services.lease.end()
    finally:
        await connections.aclose()


async def _build_services(
    infrastructure: Infrastructure, catalog: Catalog, *, master_key: str, environ: Mapping[str, str]
) -> Services:
    """The domain packages, in order. Raises: InvalidConfig."""
    settings, clock, worker_id = infrastructure.settings, infrastructure.clock, infrastructure.worker_id
    connections, metrics, traces = infrastructure.connections, infrastructure.metrics, infrastructure.traces
    db, background = connections.customers, connections.background
    lease_time = timedelta(seconds=settings.lease_s)
    risk = _risk_policy(settings)
    writer = CallWriter(
        db,
        worker_id,
        clock=clock,
        background=background,
        metrics=metrics,
        risk=risk,
        keeps_provider_text=settings.keep_provider_error_text,
    )
    lease = Lease(
        connections.heartbeat,
        worker_id,
        clock=clock,
        background=background,
        metrics=metrics,
        policy=LostCallPolicy(settings.lost_calls),
        lease=lease_time,
    )
    limits = LimitService(redis_url=infrastructure.redis_url, processes=lambda: lease.processes, metrics=metrics)
    open_next = gateway_opener(infrastructure, writer)
    audit = AuditLog(db, clock=clock)
    groups = ModelGroupService(db, catalog)
    jobs = JobService(
        db, groups, clock=clock, metrics=metrics, writer=writer, completion_wait_s=settings.completion_wait_s
    )
    calls = CallService(
        await open_next(catalog.router, None),
        groups,
        jobs,
        limits,
        writer,
        RemoteFiles(infrastructure.fetcher, groups),
        infrastructure.cache,
        traces=traces,
        clock=clock,
        refuses_unpriced=settings.refuse_unpriced,
        max_text_bytes=BYTES_PER_CHAR * settings.max_json_chars,
    )
    configuration = Configuration(
        settings.config, groups, calls, lease, open_next, audit, environ, is_watched=settings.watch_config
    )
    metrics.watch(
        running=lambda: len(calls.in_flight.calls),
        waiting=lambda: writer.waiting,
        lines_dropped=lines_dropped,
        is_config_refused=lambda: configuration.is_refused,
    )
    keys = KeyService(db, master_key=master_key, clock=clock)
    closer = JobCloser(jobs, background=JobService(background, groups, clock=clock, metrics=metrics))
    return Services(
        settings=settings,
        metrics=metrics,
        traces=traces,
        clock=clock,
        garbage=infrastructure.garbage,
        db=db,
        connections=connections,
        audit=audit,
        access_tokens=AccessTokens(db, clock=clock),
        lease=lease,
        keys=keys,
        groups=groups,
        credits=CreditService(db, clock=clock),
        jobs=jobs,
        job_tokens=JobTokenService(db, keys, jobs, clock=clock, background=background),
        limits=limits,
        administration=AdministrationService(db, keys, groups, clock=clock, risk=risk),
        spend=SpendService(db),
        metrics_refresh=MetricsRefresh(db, metrics),
        reconciliation=ReconciliationService(
            background,
            clock=clock,
            kept_for=settings.spend_logs_kept_for,
            price=calls.price,
            proxy=lambda: proxy_of(settings, groups.catalog),
        ),
        writer=writer,
        calls=calls,
        configuration=configuration,
        idempotency=IdempotencyService(
            db, worker_id, clock=clock, writer=writer, background=background, lease=lease_time
        ),
        job_closer=closer,
        call_runner=CallRunner(calls, ImplicitJobs(jobs, calls, closer), closer),
        recent_tools=ToolCallCache(),
        documents=DocumentService(
            calls,
            groups,
            infrastructure.fetcher,
            PdfReader(max_pages=settings.max_pdf_pages, timeout_s=settings.file_timeout_s),
            max_bytes=settings.max_file_bytes,
            max_chars=settings.max_prompt_chars,
        ),
    )


async def _close(services: Services, infrastructure: Infrastructure) -> None:
    """In order: calls end, what follows from them is written, then everything else closes."""
    await services.calls.wait_until_idle(LANDING_S, most_s=MOST_LANDING_S)
    await services.configuration.aclose()
    await infrastructure.fetcher.aclose()
    await services.writer.drain()
    await services.job_closer.drain()
    await services.limits.aclose()
    await infrastructure.aclose()


def _risk_policy(settings: Settings) -> RiskPolicy:
    limit = None if settings.at_risk_limit_usd is None else nano_usd(settings.at_risk_limit_usd)
    return RiskPolicy(limit, timedelta(hours=settings.at_risk_window_h))


def proxy_of(settings: Settings, catalog: Catalog) -> Proxy | None:
    """The log source of LiteLLM proxies, if configured, and the deployments that are such proxies."""
    deployments = [each.id for each in catalog.router.deployments if str(each.params["model"]).startswith(PROXIED)]
    if settings.proxy_database_url is not None:
        return Proxy(deployments, settings.proxy_database_url.get_secret_value())
    if settings.proxy_url is not None and settings.proxy_key is not None:
        return Proxy(deployments, url=settings.proxy_url, key=settings.proxy_key.get_secret_value())
    return None


@asynccontextmanager
async def _running(**coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs them beside the block. One that dies cancels the block; what the block itself raises comes out unwrapped."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, outside the group, which would wrap it
            failure = error
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure


async def _check_schema(db: Database) -> None:
    """Raises: InvalidConfig. A schema of a newer release will do: migrations run beside the release before them (D42)."""
    if (newer := await newer_schema(db)) is not None:
        log.warning("schema_newer", extra={"schema": newer})
    missing = await pending(db)
    if missing:
        raise InvalidConfig([f"The database lacks {len(missing)} migration(s); run `control-plane migrate` first."])
