"""What the services are built on: connections, metrics, traces, the fetcher of files, the cache, gateways."""

from dataclasses import dataclass
from uuid import UUID

from control_plane.cache.service import AnswerCache
from control_plane.calls.writer import CallWriter
from control_plane.clock import Clock
from control_plane.configuration.service import OpenGateway
from control_plane.fetching.addresses import PrivateHosts
from control_plane.fetching.fetcher import Fetcher, Resolve
from control_plane.garbage import GarbageByBytes
from control_plane.gateway.bounds import AnswerBounds
from control_plane.gateway.deployments import RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.relay.eligibility import LanePolicy
from control_plane.gateway.router import Gateway
from control_plane.ids import new_id
from control_plane.metrics import Metrics
from control_plane.replicas.heartbeat import HEARTBEATS
from control_plane.settings import Settings
from control_plane.storage.connections import Connections
from control_plane.traces import Traces, traces_to


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What the services are built on, and what is closed after them."""

    settings: Settings
    clock: Clock
    worker_id: UUID
    connections: Connections
    metrics: Metrics
    traces: Traces
    garbage: GarbageByBytes
    redis_url: str | None
    fetcher: Fetcher
    cache: AnswerCache

    async def aclose(self) -> None:
        """Closes what the services used, but the connections to the database."""
        await self.cache.aclose()
        await self.traces.aclose()


def build_infrastructure(
    settings: Settings, connections: Connections, *, clock: Clock, resolve: Resolve
) -> Infrastructure:
    """Raises: InvalidConfig."""
    worker_id = new_id()
    metrics = Metrics()
    garbage = GarbageByBytes()
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return Infrastructure(
        settings=settings,
        clock=clock,
        worker_id=worker_id,
        connections=connections,
        metrics=metrics,
        traces=traces_to(settings.otlp_endpoint, worker_id=worker_id),
        garbage=garbage,
        redis_url=redis_url,
        fetcher=Fetcher(
            private_hosts=PrivateHosts.listed(settings.private_file_hosts or ""),
            max_bytes=settings.max_file_bytes,
            timeout_s=settings.file_timeout_s,
            resolve=resolve,
            handled=garbage.handled,
        ),
        cache=AnswerCache(redis_url=redis_url, metrics=metrics),
    )


def gateway_opener(infrastructure: Infrastructure, writer: CallWriter) -> OpenGateway:
    """Opens gateways with the settings that no version of the YAML changes."""
    settings = infrastructure.settings

    async def opened(config: RouterConfig, before: Gateway | None) -> Gateway:
        return await open_gateway(
            config,
            writer.report,
            lanes=LanePolicy(settings.lane, check_share=settings.relay_check_share),
            bounds=AnswerBounds(settings.call_timeout_s, settings.stall_timeout_s, settings.max_answer_bytes),
            redis_url=infrastructure.redis_url,
            before=before,
        )

    return opened


def open_connections(settings: Settings) -> Connections:
    """Connections to the database: of customers, of background work, of the heartbeat."""
    return Connections.open(
        settings.database_url,
        pool_size=settings.database_pool_size,
        answer_timeout_s=settings.database_timeout_s,
        heartbeat_timeout_s=settings.lease_s / HEARTBEATS,
    )
