"""Every task that runs beside the requests of a server, and the periodic ones among them."""

from collections.abc import Coroutine, Mapping
from typing import Any

from control_plane.credits.service import CreditService
from control_plane.jobs.service import JobService
from control_plane.replicas.heartbeat import HEARTBEATS
from control_plane.services import Services
from control_plane.storage.partitions import PartitionService
from control_plane.sweeper import SWEEP_S, PeriodicWork, Sweeper

USES_S = 60.0
"""How often a process writes when keys and tokens were last used."""


def background_tasks(services: Services) -> Mapping[str, Coroutine[Any, Any, None]]:
    """What runs beside the entry points, by the names of its tasks."""
    sweepers = {f"sweeper_{name}": sweeper.run() for name, sweeper in _sweepers(services).items()}
    return {
        "unwritten_records": services.writer.retry_unwritten(),
        "unclosed_jobs": services.job_closer.run(),
        "lease": services.lease.run(),
        "configuration": services.configuration.run(),
        "limits": services.limits.run(),
        **sweepers,
        "unwritten_responses": services.idempotency.run(),
    }


def _sweepers(services: Services) -> Mapping[str, Sweeper]:
    """The periodic tasks that are due every few seconds, and the slow ones; all over background connections."""
    db, clock = services.connections.background, services.clock
    credits_ = CreditService(db, clock=clock)
    due: dict[str, PeriodicWork] = {
        "lost_calls": services.lease.give_up_dead,
        "expired_jobs": JobService(db, services.groups, clock=clock, metrics=services.metrics).expire_due,
        "refills": credits_.refills.refill_due,
        "expired_credits": credits_.expire_grants,
        "expired_idempotency_keys": services.idempotency.purge,
        "expired_job_tokens": services.job_tokens.purge,
    }
    slow: dict[str, PeriodicWork] = {
        "reconciliation": services.reconciliation.reconcile_hourly,
        "proxy_reconciliation": services.reconciliation.reconcile_proxy_hourly,
        "old_spend_logs": services.reconciliation.drop_old_logs,
        "partitions": PartitionService(db).ensure_hourly,
    }
    own: dict[str, PeriodicWork] = {
        "key_uses": services.keys.note_used,
        "access_token_uses": services.access_tokens.note_used,
    }
    every_s = min(SWEEP_S, services.settings.lease_s / HEARTBEATS)
    tasks = {"due": due, "slow": slow}
    shared = {name: Sweeper(name, each, services.lease.claim, every_s=every_s) for name, each in tasks.items()}
    return {**shared, "own": Sweeper("own", own, _always, every_s=USES_S)}


async def _always(_name: str) -> bool:
    """The claim of tasks that every process has of its own."""
    return True
