"""Request and response models of administration: organizations, teams, virtual keys."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.names import NAME_RULE, is_valid_slug
from control_plane.schemas.base import Answer, Body, GivenMoment, GroupName, Json, Moment, Text, Usd
from control_plane.schemas.credits import (
    BUDGET_MODE,
    CHARGE_RULE,
    CREDITS_PER_DOLLAR,
    JOB_TYPE_PRICES,
    MARKUP,
    MAX_CREDITS,
    TOKENS_PER_CREDIT,
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
    if not is_valid_slug(text):
        raise ValueError(f"must be {NAME_RULE}")
    return text


Name = Annotated[str, AfterValidator(_name), Field(description=NAME_RULE)]
Label = Annotated[Text, Field(min_length=1, max_length=200)]
GroupNames = Annotated[Sequence[GroupName], Field(max_length=1000)]
Limit = Annotated[int, Field(strict=True, gt=0, le=10**9, description="per minute")]
TeamLimiter = Annotated[int, Field(strict=True, gt=0, le=10**9, description="calls at once; null: no limit")]


class CreateOrganization(Body):
    """Creates an organization."""

    organization_id: Name = Field(
        description="chosen id of the organization: 1 to 128 of the characters A-Z a-z 0-9 . _ : @ -"
    )
    name: Label = Field(description="name of the organization for people")
    metadata: Metadata = Field(default_factory=dict)


class OrganizationAnswer(Answer):
    """An organization."""

    organization_id: str = Field(description="id of the organization")
    name: str = Field(description="name of the organization for people")
    metadata: Json = Field(description="the app's JSON object, returned unchanged; at most 10 KB")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")


class OrganizationList(Answer):
    """Organizations by id. `next_cursor` leads to the next page; null on the last."""

    organizations: Sequence[OrganizationAnswer] = Field(description="the organizations, by id")
    limit: int = Field(description="entries per page at most")
    offset: int = Field(description="entries that were skipped")
    has_more: bool = Field(description="whether there are more entries after this page")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class OrganizationUsage(Answer):
    """An organization's usage in a month, of all its teams' jobs."""

    organization_id: str = Field(description="id of the organization")
    period: str = Field(description="the month, in UTC (YYYY-MM)")
    summary: UsageSummary = Field(description="usage of all teams together")
    job_types: dict[str, TypeUsage] = Field(description="usage by job type")


class CreateTeam(Body):
    """Creates a team with its credits, model groups and first key; rates and limits have defaults."""

    team_id: Name = Field(description="chosen id of the team: 1 to 128 of the characters A-Z a-z 0-9 . _ : @ -")
    organization_id: Text | None = Field(
        default=None, description="the organization that the team belongs to; it must exist"
    )
    team_alias: Label | None = Field(default=None, description="name of the team for people; at most 200 characters")
    model_groups: GroupNames = Field(default=(), description="granted beside what the YAML's patterns allow")
    default_model_group: GroupName | None = Field(default=None, description="default model group of its calls")
    credits_allocated: Annotated[int, Field(strict=True, ge=0, le=MAX_CREDITS)] = Field(
        default=0, description="credits the team begins with, in whole credits"
    )
    budget_mode: BudgetModeName = Field(
        default="job_based",
        description=BUDGET_MODE,
    )
    credits_per_dollar: Rate = Field(default=10, description=CREDITS_PER_DOLLAR)
    tokens_per_credit: Rate = Field(default=10_000, description=TOKENS_PER_CREDIT)
    charge_rule: ChargeRuleName = Field(
        default="any_call_succeeded",
        description=CHARGE_RULE,
    )
    markup_bps: Markup = Field(default=0, description=MARKUP)
    job_type_prices: JobTypePrices = Field(
        default_factory=dict,
        description=JOB_TYPE_PRICES,
    )
    at_risk_limit_usd: Usd | None = Field(default=None, description="null: the server's default")
    rpm: Limit | None = Field(default=None, description="requests a minute; default 60")
    tpm: Limit | None = Field(default=None, description="tokens a minute; default 60,000")
    max_parallel_calls: TeamLimiter | None = Field(default=None, description="calls at once; null: no limit")
    jobs_per_minute: Limit | None = Field(default=None, description="new jobs a minute; default 100")
    metadata: Metadata = Field(default_factory=dict)
    key_name: Label | None = Field(default=None, description="name of the team's first key, for people")


class ChangeTeam(Body):
    """Sets the given fields only. null removes the alias and the default group, and resets limits to their defaults."""

    team_alias: Label | None = Field(default=None, description="name of the team for people; null removes it")
    default_model_group: GroupName | None = Field(
        default=None, description="default model group of its calls; null removes it"
    )
    rpm: Limit | None = Field(default=None, description="requests a minute; null: the default, 60")
    tpm: Limit | None = Field(default=None, description="tokens a minute; null: the default, 60,000")
    max_parallel_calls: TeamLimiter | None = Field(default=None, description="calls at once; null: no limit")
    jobs_per_minute: Limit | None = Field(default=None, description="new jobs a minute; null: the default, 100")
    budget_mode: BudgetModeName | None = Field(
        default=None,
        description=BUDGET_MODE,
    )
    credits_per_dollar: Rate | None = Field(default=None, description=CREDITS_PER_DOLLAR)
    tokens_per_credit: Rate | None = Field(default=None, description=TOKENS_PER_CREDIT)
    charge_rule: ChargeRuleName | None = Field(default=None, description=CHARGE_RULE)
    markup_bps: Markup | None = Field(default=None, description=MARKUP)
    job_type_prices: JobTypePrices | None = Field(default=None, description="replaces all of them")
    at_risk_limit_usd: Usd | None = Field(
        default=None,
        description="the most provider cost that may be open or uncharged, in US dollars; null: the server's default",
    )
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
    """Grants exactly these model groups, in addition to the YAML's patterns."""

    model_groups: GroupNames = Field(description="names of the model groups to grant; an empty list revokes all grants")


class GroupAccess(Answer):
    """Why a team may use a model group: patterns of the YAML that match it, a grant made through the API, or both.

    `configured` is false for a grant whose group is no longer in the YAML: it has no effect.
    """

    group_name: str = Field(description="name of the model group")
    patterns: Sequence[str] = Field(description="patterns of the YAML that match the team's id")
    granted: bool = Field(description="whether the group was granted through the API")
    configured: bool = Field(description="whether the YAML has the group")


class TeamAnswer(CreditsAnswer):
    """A team. `model_groups` are those it may use now, `access` has the reasons.

    `at_risk_usd` is the provider cost of its open jobs and of those that recently ended without a charge.
    """

    organization_id: str | None = Field(description="the organization that the team belongs to; null: none")
    team_alias: str | None = Field(description="name of the team for people")
    status: Literal["active", "suspended"] = Field(description="`active`, or `suspended`: no new jobs and calls")
    model_groups: Sequence[str] = Field(description="names of the model groups that the team may use now")
    access: Sequence[GroupAccess] = Field(description="why the team may use each model group")
    default_model_group: str | None = Field(description="default model group of its calls; null: none")
    budget_mode: BudgetModeName = Field(description=BUDGET_MODE)
    credits_per_dollar: int = Field(description=CREDITS_PER_DOLLAR)
    tokens_per_credit: int = Field(description=TOKENS_PER_CREDIT)
    charge_rule: ChargeRuleName = Field(description=CHARGE_RULE)
    markup_bps: int = Field(description=MARKUP)
    job_type_prices: dict[str, int] = Field(description=JOB_TYPE_PRICES)
    at_risk_usd: float = Field(
        description="provider cost of open jobs and of those that recently ended without a charge, in US dollars"
    )
    at_risk_limit_usd: float = Field(
        description="the most provider cost that may be open or uncharged before new calls are refused, in US dollars"
    )
    rpm: int = Field(description="requests a minute")
    tpm: int = Field(description="tokens a minute")
    max_parallel_calls: int | None = Field(description="calls at once; null: no limit")
    jobs_per_minute: int = Field(description="new jobs a minute")
    metadata: Json = Field(description="the administrator's JSON object")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")
    suspended_at: Moment | None = Field(description="when the team was suspended (RFC 3339, UTC); null: it is active")


class TeamCreated(TeamAnswer):
    """A new team. `virtual_key` is shown only once."""

    virtual_key: str = Field(description="the key itself (`sk-…` or `pk-…`): shown only once, keep it safe")
    key_id: str = Field(description="id of the team's first key")


class TeamList(Answer):
    """Teams by id. `next_cursor` leads to the next page; null on the last."""

    teams: Sequence[TeamAnswer] = Field(description="the teams, by id")
    limit: int = Field(description="entries per page at most")
    offset: int = Field(description="entries that were skipped")
    has_more: bool = Field(description="whether there are more entries after this page")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class TeamDeleted(Answer):
    """The team was deleted."""

    team_id: str = Field(description="id of the team")
    deleted: bool = Field(description="true")


KeyKindName = Literal["secret", "publishable"]
Origins = Annotated[
    Sequence[Annotated[str, AfterValidator(origin_of)]],
    Field(max_length=MAX_ORIGINS, description="web origins whose pages may use the key: `https://app.example.com`"),
]


class CreateKey(Body):
    """Creates a key that never expires, or at `expires_at`, or after `ttl_seconds`.

    A `publishable` key (`pk-…`) may stand in web pages: it works from its `origins` only, and only to respond. Headers
    for a job, its type, a user or idempotency are ignored with it and listed in `X-Ignored-Fields`. A key's limits and
    model groups narrow those of its team; by default only the team's count.
    """

    name: Label | None = Field(default=None, description="name of the key for people")
    kind: KeyKindName = Field(
        default="secret", description="`secret` (`sk-…`) for servers, `publishable` (`pk-…`) for web pages"
    )
    origins: Origins = ()
    default_model_group: GroupName | None = Field(default=None, description="default model group of its calls")
    job_type: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="of a publishable key: job type of its calls' jobs, which decides their price; default: `respond`",
    )
    model_groups: Annotated[GroupNames, Field(min_length=1)] | None = Field(
        default=None, description="the only model groups it may use"
    )
    rpm: Limit | None = Field(
        default=None, description="requests a minute of this key; null: only the team's limit counts"
    )
    tpm: Limit | None = Field(
        default=None, description="tokens a minute of this key; null: only the team's limit counts"
    )
    max_parallel_calls: TeamLimiter | None = Field(
        default=None, description="calls at once of this key; null: only the team's limit counts"
    )
    jobs_per_minute: Limit | None = Field(
        default=None, description="new jobs a minute of this key; null: only the team's limit counts"
    )
    expires_at: GivenMoment | None = Field(
        default=None, description="when the key expires (RFC 3339, with a time zone); null: never"
    )
    ttl_seconds: Annotated[int, Field(strict=True, gt=0, le=10 * YEAR_S)] | None = Field(
        default=None, description="seconds after which the key expires, instead of `expires_at`; at most 10 years"
    )

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("give expires_at or ttl_seconds, not both")
        return self


class RotateKey(Body):
    """Creates a key with the same terms; the old one works for another `grace_seconds`."""

    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=30 * 86_400)] = Field(
        default=0, description="seconds for which the old key still works; at most 30 days"
    )


class SetOrigins(Body):
    """Sets the origins whose pages may use the key."""

    origins: Origins


class KeyAnswer(Answer):
    """A virtual key, without its secret. `revoked_at` may lie ahead: then the key is being rotated."""

    key_id: str = Field(description="id of the key; not the key itself")
    team_id: str = Field(description="id of the team")
    name: str | None = Field(description="name of the key for people")
    prefix: str = Field(description="beginning of the key, to recognize it")
    status: Literal["active", "rotating", "expired", "revoked"] = Field(
        description="`active`; `rotating`: replaced, and in its grace period; `expired`; `revoked`"
    )
    kind: KeyKindName = Field(description="`secret` (`sk-…`) for servers, `publishable` (`pk-…`) for web pages")
    origins: Sequence[str] = Field(description="web origins whose pages may use a publishable key")
    default_model_group: str | None = Field(description="default model group of its calls; null: the team's")
    job_type: str | None = Field(description="of a publishable key: the job type of its calls; null: `respond`")
    model_groups: Sequence[str] | None = Field(
        description="the only model groups the key may use; null: all of its team"
    )
    rpm: int | None = Field(description="requests a minute of this key; null: only the team's limit counts")
    tpm: int | None = Field(description="tokens a minute of this key; null: only the team's limit counts")
    max_parallel_calls: int | None = Field(description="calls at once of this key; null: only the team's limit counts")
    jobs_per_minute: int | None = Field(description="new jobs a minute of this key; null: only the team's limit counts")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")
    expires_at: Moment | None = Field(description="when it expires (RFC 3339, UTC); null: never")
    revoked_at: Moment | None = Field(
        description="when the key stops, or stopped, working (RFC 3339, UTC); null: it was not revoked"
    )
    created_by: str | None = Field(description="who created it, as in the audit log; null: not recorded at that time")
    last_used_at: Moment | None = Field(description="when it was last used (RFC 3339, UTC), to the minute; null: never")


class KeyCreated(KeyAnswer):
    """A new key. `virtual_key` is shown only once."""

    virtual_key: str = Field(description="the key itself (`sk-…` or `pk-…`): shown only once, keep it safe")


class KeyList(Answer):
    """A team's keys, oldest first, those that ended too. `next_cursor` leads to the next page; null on the last."""

    team_id: str = Field(description="id of the team")
    keys: Sequence[KeyAnswer] = Field(description="the keys, oldest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")
