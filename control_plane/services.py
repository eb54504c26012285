"""The services that entry points may call. `runtime.py` builds them."""

from dataclasses import dataclass

from control_plane.administration.service import AdministrationService
from control_plane.audit.service import AuditLog
from control_plane.calls.job_closer import JobCloser
from control_plane.calls.runner import CallRunner
from control_plane.calls.service import CallService
from control_plane.calls.tool_call_cache import ToolCallCache
from control_plane.calls.writer import CallWriter
from control_plane.clock import Clock
from control_plane.configuration.service import Configuration
from control_plane.credits.service import CreditService
from control_plane.documents.service import DocumentService
from control_plane.garbage import GarbageByBytes
from control_plane.idempotency.service import IdempotencyService
from control_plane.identity.tokens import AccessTokens
from control_plane.jobs.service import JobService
from control_plane.jobs.tokens import JobTokenService
from control_plane.limits.service import LimitService
from control_plane.metrics import Metrics
from control_plane.model_groups.service import ModelGroupService
from control_plane.reconciliation.metrics_refresh import MetricsRefresh
from control_plane.reconciliation.service import ReconciliationService
from control_plane.reconciliation.spend_logs import SpendService
from control_plane.replicas.lease import Lease
from control_plane.settings import Settings
from control_plane.storage.connections import Connections
from control_plane.storage.database import Database
from control_plane.tenants.service import KeyService
from control_plane.traces import Traces


@dataclass(frozen=True, slots=True)
class Services:
    """One running product."""

    settings: Settings
    metrics: Metrics
    traces: Traces
    clock: Clock
    garbage: GarbageByBytes
    db: Database
    connections: Connections
    lease: Lease
    audit: AuditLog
    keys: KeyService
    access_tokens: AccessTokens
    groups: ModelGroupService
    credits: CreditService
    jobs: JobService
    job_tokens: JobTokenService
    limits: LimitService
    administration: AdministrationService
    spend: SpendService
    metrics_refresh: MetricsRefresh
    reconciliation: ReconciliationService
    writer: CallWriter
    calls: CallService
    configuration: Configuration
    idempotency: IdempotencyService
    job_closer: JobCloser
    call_runner: CallRunner
    documents: DocumentService
    recent_tools: ToolCallCache
