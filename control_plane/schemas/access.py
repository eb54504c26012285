"""Request and response models of access tokens and of the audit log."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from control_plane.names import NAME_RULE
from control_plane.schemas.admin import Label, Name
from control_plane.schemas.base import Answer, Body, GivenMoment, Moment

RoleName = Literal["owner", "admin", "finance", "developer", "viewer"]

ROLE = (
    "`owner`: everything; `admin`: teams, keys, limits, model groups, tokens; `finance`: credits, refunds, prices; "
    "`developer`: keys and jobs; `viewer`: reads"
)
ORGANIZATION = "the role is for this organization and its teams"
TEAM = "the role is for this team; neither a team nor an organization: for the platform"


class CreateToken(Body):
    """A new access token: one role at one place."""

    name: Label = Field(description="what the token is for, as the audit log shows it")
    role: RoleName = Field(description=ROLE)
    organization_id: Name | None = Field(default=None, description=f"{ORGANIZATION}; {NAME_RULE}")
    team_id: Name | None = Field(default=None, description=f"{TEAM}; {NAME_RULE}")
    expires_at: GivenMoment | None = Field(
        default=None, description="from then on it is rejected (RFC 3339 with an offset); null: it never expires"
    )

    @model_validator(mode="after")
    def _one_place(self) -> "CreateToken":
        if self.organization_id is not None and self.team_id is not None:
            raise ValueError("give organization_id or team_id, not both")
        return self


class TokenAnswer(Answer):
    """An access token, without its secret."""

    token_id: str = Field(description="id of the token; not the token itself")
    name: str = Field(description="what the token is for")
    prefix: str = Field(description="beginning of the token, to recognize it")
    role: RoleName = Field(description=ROLE)
    organization_id: str | None = Field(description="the role is for this organization; null: it is not")
    team_id: str | None = Field(description="the role is for this team; null: it is not")
    status: Literal["active", "expired", "revoked"] = Field(description="whether it works")
    created_at: Moment = Field(description="when it was created (RFC 3339, UTC)")
    created_by: str = Field(description="who created it, as in the audit log")
    expires_at: Moment | None = Field(description="when it expires (RFC 3339, UTC); null: never")
    revoked_at: Moment | None = Field(description="when it was revoked (RFC 3339, UTC); null: it was not")
    last_used_at: Moment | None = Field(description="when it was last used (RFC 3339, UTC), to the minute; null: never")


class TokenCreated(TokenAnswer):
    """A new access token. `access_token` is shown only once."""

    access_token: str = Field(description="the token itself (`adm-…`): shown only once, keep it safe")


class TokenList(Answer):
    """Access tokens, oldest first, those that ended too."""

    tokens: Sequence[TokenAnswer] = Field(description="the tokens, oldest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class RoleView(Answer):
    """A role at a place."""

    role: RoleName = Field(description=ROLE)
    organization_id: str | None = Field(description="for this organization; null: not for one alone")
    team_id: str | None = Field(description="for this team; null: not for one alone")


class Permissions(Answer):
    """What the sent key or token may do."""

    name: str = Field(description="who it is, as in the audit log")
    roles: Sequence[RoleView] = Field(description="roles of the master key or token; a team's key has none")
    team_id: str | None = Field(description="the team of a team's key; null: it is none")
    permissions: Sequence[str] = Field(description="every permission that it has somewhere, as `thing:action`")


class AuditEntryAnswer(Answer):
    """One change: who, through what, from where, what, before and after."""

    number: int = Field(description="position in the log, counted without gaps")
    entry_id: str = Field(description="id of the entry")
    created_at: Moment = Field(description="when it happened (RFC 3339, UTC)")
    means: Literal["master_key", "team_key", "token", "session", "command", "system"] = Field(
        description="through what: a key, a token, a session, the command line, or the server itself"
    )
    actor: str = Field(description="who it was, for people")
    actor_id: str | None = Field(description="id of the token or key; null: the master key or the server")
    address: str | None = Field(description="network address of the request; null: there was none")
    request_id: str | None = Field(description="`X-Request-Id` of the request; null: there was none")
    action: str = Field(description="what was done, as `thing.verb`")
    target: str = Field(description="id of what was changed")
    team_id: str | None = Field(description="whose it is; null: no single team's")
    organization_id: str | None = Field(description="whose it is; null: no organization's")
    reason: str | None = Field(description="the reason that was given; null: none")
    before: Annotated[dict[str, Any] | None, Field(description="changed fields before; null: it did not exist")]
    after: Annotated[dict[str, Any] | None, Field(description="changed fields after; null: it no longer exists")]
    hash: str = Field(description="SHA-256 over the entry and the hash before it")


class AuditList(Answer):
    """Audit entries, newest first."""

    entries: Sequence[AuditEntryAnswer] = Field(description="the entries, newest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")
