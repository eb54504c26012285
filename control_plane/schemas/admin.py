"""The administrator's wire: organizations, teams, virtual keys."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.names import NAME_RULE, is_name
from control_plane.schemas.base import Answer, Body, GivenMoment, Json, Moment, Text, Usd
from control_plane.schemas.credits import (
    MAX_CREDITS,
    BudgetModeName,
    ChargeRuleName,
    CreditsAnswer,
    JobTypePrices,
    Markup,
    Rate,
)
from control_plane.schemas.jobs import TypeUsage, UsageSummary
from control_plane.schemas.metadata import Metadata
from control_plane.schemas.origins import MAX_ORIGINS, origin_of

YEAR_S = 365 * 86_400


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"must be {NAME_RULE}")
    return text


Name = Annotated[str, AfterValidator(_name), Field(description=NAME_RULE)]
Label = Annotated[Text, Field(min_length=1, max_length=200)]
GroupNames = Annotated[Sequence[Text], Field(max_length=1000)]
Limit = Annotated[int, Field(strict=True, gt=0, le=10**9, description="per minute")]
Places = Annotated[int, Field(strict=True, gt=0, le=10**9, description="calls at once; null: as many as it likes")]


class CreateOrganization(Body):
    """Adds an organization."""

    organization_id: Name
    name: Label
    metadata: Metadata = Field(default_factory=dict)


class OrganizationAnswer(Answer):
    """An organization."""

    organization_id: str
    name: str
    metadata: Json
    created_at: Moment


class OrganizationList(Answer):
    """Organizations by id. `next_cursor` leads to the next page; null on the last."""

    organizations: Sequence[OrganizationAnswer]
    limit: int
    offset: int
    has_more: bool
    next_cursor: str | None


class OrganizationUsage(Answer):
    """What the jobs of all teams of an organization used in a month."""

    organization_id: str
    period: str
    summary: UsageSummary
    job_types: dict[str, TypeUsage]


class CreateTeam(Body):
    """Adds a team with its credits, model groups and first key; rates and limits have defaults."""

    team_id: Name
    organization_id: Text | None = None
    team_alias: Label | None = None
    model_groups: GroupNames = Field(default=(), description="granted beside what the YAML's patterns allow")
    default_model_group: Text | None = None
    credits_allocated: Annotated[int, Field(strict=True, ge=0, le=MAX_CREDITS)] = 0
    budget_mode: BudgetModeName = "job_based"
    credits_per_dollar: Rate = 10
    tokens_per_credit: Rate = 10_000
    charge_rule: ChargeRuleName = "any_call_succeeded"
    markup_bps: Markup = 0
    job_type_prices: JobTypePrices = Field(default_factory=dict)
    at_risk_limit_usd: Usd | None = Field(default=None, description="null: the default of the house")
    rpm: Limit | None = None
    tpm: Limit | None = None
    max_parallel_calls: Places | None = None
    jobs_per_minute: Limit | None = None
    metadata: Metadata = Field(default_factory=dict)
    key_name: Label | None = None


class ChangeTeam(Body):
    """Sets what is given and leaves the rest. null empties the alias and the default group and puts the limits back to
    their defaults.
    """

    team_alias: Label | None = None
    default_model_group: Text | None = None
    rpm: Limit | None = None
    tpm: Limit | None = None
    max_parallel_calls: Places | None = None
    jobs_per_minute: Limit | None = None
    budget_mode: BudgetModeName | None = None
    credits_per_dollar: Rate | None = None
    tokens_per_credit: Rate | None = None
    charge_rule: ChargeRuleName | None = None
    markup_bps: Markup | None = None
    job_type_prices: JobTypePrices | None = Field(default=None, description="replaces all of them")
    at_risk_limit_usd: Usd | None = None
    metadata: Metadata | None = Field(default=None, description="replaces all of it; at most 10 KB")

    @model_validator(mode="after")
    def _says_how_to_bill(self) -> Self:
        for field in (
            *("budget_mode", "credits_per_dollar", "tokens_per_credit", "charge_rule"),
            *("markup_bps", "job_type_prices", "metadata"),
        ):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} must not be null; leave it out to keep it")
        return self


class SetModelGroups(Body):
    """Grants exactly these model groups, beside what the YAML's patterns allow."""

    model_groups: GroupNames


class GroupAccess(Answer):
    """Why a team may use a model group: patterns of the YAML that match it, a grant made through the API, or both.

    `configured` is false for a grant whose group the YAML has lost: it allows nothing.
    """

    group_name: str
    patterns: Sequence[str]
    granted: bool
    configured: bool


class TeamAnswer(CreditsAnswer):
    """A team. `model_groups` are those it may use now, `access` says why.

    `at_risk_usd` is the provider cost of its open jobs and of those that lately ended without a charge.
    """

    organization_id: str | None
    team_alias: str | None
    status: Literal["active", "suspended"]
    model_groups: Sequence[str]
    access: Sequence[GroupAccess]
    default_model_group: str | None
    budget_mode: BudgetModeName
    credits_per_dollar: int
    tokens_per_credit: int
    charge_rule: ChargeRuleName
    markup_bps: int
    job_type_prices: dict[str, int]
    at_risk_usd: float
    at_risk_limit_usd: float
    rpm: int
    tpm: int
    max_parallel_calls: int | None
    jobs_per_minute: int
    metadata: Json
    created_at: Moment
    suspended_at: Moment | None


class TeamCreated(TeamAnswer):
    """A new team. `virtual_key` is shown this once."""

    virtual_key: str
    key_id: str


class TeamList(Answer):
    """Teams by id. `next_cursor` leads to the next page; null on the last."""

    teams: Sequence[TeamAnswer]
    limit: int
    offset: int
    has_more: bool
    next_cursor: str | None


class TeamDeleted(Answer):
    """The team is gone."""

    team_id: str
    deleted: bool


KeyKindName = Literal["secret", "publishable"]
Origins = Annotated[
    Sequence[Annotated[str, AfterValidator(origin_of)]],
    Field(max_length=MAX_ORIGINS, description="web origins whose pages may use the key: `https://app.example.com`"),
]


class CreateKey(Body):
    """Makes a key that never expires, or at `expires_at`, or after `ttl_seconds`.

    A `publishable` key (`pk-…`) may stand in web pages: it works from its `origins` only, and only to respond. Headers that
    name a job, its type, a user or a repetition are ignored with it and named in `X-Ignored-Fields`.
    Its limits and model groups narrow those of its team; left out, only the team's count.
    """

    name: Label | None = None
    kind: KeyKindName = "secret"
    origins: Origins = ()
    default_model_group: Text | None = Field(default=None, description="what its calls use when they name none")
    job_type: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="of a publishable key: what the jobs of its calls are called, and so what they cost; left out: `respond`",
    )
    model_groups: Annotated[GroupNames, Field(min_length=1)] | None = Field(
        default=None, description="the only ones it may use"
    )
    rpm: Limit | None = None
    tpm: Limit | None = None
    max_parallel_calls: Places | None = None
    jobs_per_minute: Limit | None = None
    expires_at: GivenMoment | None = None
    ttl_seconds: Annotated[int, Field(strict=True, gt=0, le=10 * YEAR_S)] | None = None

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("give expires_at or ttl_seconds, not both")
        return self


class RotateKey(Body):
    """Makes a key like this one; the old one goes on working for `grace_seconds`."""

    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=30 * 86_400)] = 0


class SetOrigins(Body):
    """Makes exactly these the origins whose pages may use the key."""

    origins: Origins


class KeyAnswer(Answer):
    """A virtual key, without its secret. `revoked_at` may lie ahead: then the key is being rotated."""

    key_id: str
    team_id: str
    name: str | None
    prefix: str
    status: Literal["active", "rotating", "expired", "revoked"]
    kind: KeyKindName
    origins: Sequence[str]
    default_model_group: str | None
    job_type: str | None
    model_groups: Sequence[str] | None
    rpm: int | None
    tpm: int | None
    max_parallel_calls: int | None
    jobs_per_minute: int | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None


class KeyCreated(KeyAnswer):
    """A new key. `virtual_key` is shown this once."""

    virtual_key: str


class KeyList(Answer):
    """A team's keys, oldest first, those that ended too. `next_cursor` leads to the next page; null on the last."""

    team_id: str
    keys: Sequence[KeyAnswer]
    next_cursor: str | None
