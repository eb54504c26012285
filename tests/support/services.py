"""The domain packages without gateway and entry points, on a bare database: for tests of what is decided and stored."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from control_plane.administration.service import AdministrationService
from control_plane.administration.values import NewTeam, NewTeamView
from control_plane.credits.service import CreditService
from control_plane.gateway.deployments import RouterConfig
from control_plane.ids import TeamId
from control_plane.jobs.service import JobService
from control_plane.model_groups.catalog import Catalog, ModelGroup
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.tenants.service import KeyService

ADMIN = Principal(team_id=None)
ACME = TeamId("acme")

CATALOG = Catalog(
    groups={
        "ChatAgent": ModelGroup("ChatAgent", "Chats", ("gpt-4", "gpt-3.5")),
        "ForAcme": ModelGroup("ForAcme", "Only for acme", ("claude",), teams=("acme*",)),
        "Secret": ModelGroup("Secret", "For nobody yet", ("o1",), teams=("globex-*",)),
    },
    router=RouterConfig(deployments=()),
    generation="1",
)


@dataclass
class Watch:
    """A clock that stands still until it is moved."""

    now: datetime = field(default=datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@dataclass
class DomainServices:
    """The services, without calls."""

    db: Database
    clock: Watch
    keys: KeyService
    groups: ModelGroupService
    credits: CreditService
    jobs: JobService
    administration: AdministrationService

    @classmethod
    def on(cls, db: Database) -> "DomainServices":
        clock = Watch()
        keys = KeyService(db, master_key="sk-master-of-the-services", clock=clock)
        groups = ModelGroupService(db, CATALOG)
        return cls(
            db=db,
            clock=clock,
            keys=keys,
            groups=groups,
            credits=CreditService(db, clock=clock),
            jobs=JobService(db, groups, clock=clock),
            administration=AdministrationService(db, keys, groups, clock=clock),
        )

    async def team(self, team_id: str = ACME, credits_allocated: int = 100) -> NewTeamView:
        return await self.administration.create_team(
            ADMIN, NewTeam(TeamId(team_id), credits_allocated=credits_allocated)
        )

    async def principal(self, made: NewTeamView) -> Principal:
        return await self.keys.authenticate(made.issued.secret)
