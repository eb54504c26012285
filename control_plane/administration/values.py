"""Values of administration: changes of teams and keys, and views of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from control_plane.credits.rules import BudgetMode, ChargeRule, Plan
from control_plane.credits.values import Balance
from control_plane.ids import OrganizationId, TeamId
from control_plane.model_groups.access import Origins, access_origins
from control_plane.model_groups.catalog import Catalog, ModelGroup
from control_plane.rate_limits import UNLIMITED, RateLimits
from control_plane.tenants.keys import KeyKind
from control_plane.tenants.models import Team, VirtualKey
from control_plane.units import NanoUsd

DEFAULT_RPM = 60
DEFAULT_TPM = 60_000
DEFAULT_JOBS_PER_MINUTE = 100


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """The terms of a new key. `expires_at`: from then on it is rejected; None: it never expires.

    `origins`: the web pages that may use it, as `origin_of` writes them. `model_groups` and `rate_limits` narrow those of
    the team. `job_type`: of the jobs of a publishable key.
    """

    name: str | None = None
    default_model_group: str | None = None
    expires_at: datetime | None = None
    kind: KeyKind = KeyKind.SECRET
    origins: Sequence[str] = ()
    model_groups: Sequence[str] | None = None
    rate_limits: RateLimits = UNLIMITED
    job_type: str | None = None


@dataclass(frozen=True, slots=True)
class NewTeam:
    """The fields of a new team. `model_groups` are granted in addition to the YAML's patterns; limits per minute.

    `job_type_prices`: credits for a job of a type; `at_risk_limit` in nano-USD, None for the server's default.
    """

    team_id: TeamId
    organization_id: OrganizationId | None = None
    alias: str | None = None
    model_groups: Sequence[str] = ()
    default_model_group: str | None = None
    credits_allocated: int = 0
    plan: Plan = field(default_factory=Plan)
    job_type_prices: Mapping[str, int] = field(default_factory=dict)
    at_risk_limit: NanoUsd | None = None
    rpm: int = DEFAULT_RPM
    tpm: int = DEFAULT_TPM
    max_parallel_calls: int | None = None
    jobs_per_minute: int = DEFAULT_JOBS_PER_MINUTE
    metadata: Mapping[str, Any] = field(default_factory=dict)
    key: KeyTerms = field(default_factory=KeyTerms)


class TeamChanges(TypedDict, total=False):
    """Columns of a team to set; what is absent stays."""

    alias: str | None
    default_model_group: str | None
    budget_mode: BudgetMode
    credits_per_dollar: int
    tokens_per_credit: int
    charge_rule: ChargeRule
    markup_bps: int
    job_type_prices: Mapping[str, int]
    at_risk_limit_nano_usd: int | None
    rpm: int
    tpm: int
    max_parallel_calls: int | None
    jobs_per_minute: int
    metadata_: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Risk:
    """The provider cost of a team's open and unbilled jobs, and where its calls are refused; nano-USD."""

    cost: int
    limit: int


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team, its credits, and why it may use which model group.

    `access` follows the file's order; a grant for a group the file has lost comes last and allows nothing.
    """

    team: Team
    balance: Balance
    access: Mapping[str, Origins]
    usable: Sequence[str]
    risk: Risk


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made; the only time its secret is seen."""

    key: VirtualKey
    secret: str
    origins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key, and the origins whose pages may use it."""

    key: VirtualKey
    origins: Sequence[str]


@dataclass(frozen=True, slots=True)
class NewTeamView:
    """A team just made, and its first key."""

    view: TeamView
    issued: IssuedKey


@dataclass(frozen=True, slots=True)
class GroupView:
    """A model group with its access: patterns of the YAML, and teams it was granted to through the API.

    For a team's key, both contain that team only.
    """

    group: ModelGroup
    patterns: Sequence[str]
    granted_teams: Sequence[TeamId]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The models behind a group's name for a team. Without access they stay hidden."""

    group_name: str
    team_has_access: bool
    models: Sequence[str]


def view_of(catalog: Catalog, team: Team, balance: Balance, grants: frozenset[str], risk: Risk) -> TeamView:
    """A view of a team with this catalog and these grants."""
    origins = {name: access_origins(group, TeamId(team.id), grants) for name, group in catalog.groups.items()}
    usable = {name: origin for name, origin in origins.items() if origin.is_allowed}
    lost = {name: Origins(patterns=(), is_granted=True) for name in sorted(grants - catalog.groups.keys())}
    return TeamView(team, balance, usable | lost, list(usable), risk)
