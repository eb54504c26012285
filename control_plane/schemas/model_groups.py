"""Response models of the model groups, with the teams that may use each and why."""

from collections.abc import Sequence

from pydantic import Field

from control_plane.schemas.base import Answer, Json, Moment


class ModelGroupAnswer(Answer):
    """A model group, and the sources of permission to use it: the YAML's patterns and grants made through the API.

    A team's key sees only the patterns that match the team and the team's own grant.
    """

    group_name: str = Field(description="name of the model group")
    description: str = Field(description="purpose of the group")
    models: Sequence[str] = Field(description="the models of the group, in the order in which they are tried")
    primary_model: str = Field(description="the model that is tried first")
    fallback_models: Sequence[str] = Field(
        description="the models that are tried when those before them fail, in this order"
    )
    defaults: Json = Field(description="parameters of calls that do not set them")
    team_patterns: Sequence[str] = Field(description="patterns of team ids that may use the group, from the YAML")
    granted_teams: Sequence[str] = Field(description="ids of the teams that were granted the group through the API")


class ReplicaAnswer(Answer):
    """A server process and its version of the YAML; null: not reported yet."""

    name: str | None = Field(description="name of the process")
    generation: str | None = Field(description="version of the YAML: a hash of its content")
    started_at: Moment = Field(description="when the process started (RFC 3339, UTC)")


class ConfigurationAnswer(Answer):
    """The version of the YAML in force. `problems`: why the current file is not, on the server that responds."""

    generation: str = Field(description="version of the YAML: a hash of its content")
    is_same_everywhere: bool = Field(description="whether every process has the same version in force")
    problems: Sequence[str] = Field(description="mistakes of the current file, by line; empty: it is in force")
    replicas: Sequence[ReplicaAnswer] = Field(description="the running processes")


class ModelGroupList(Answer):
    """Model groups in the order of the YAML. `configuration` is for the master key; null for a team's."""

    model_groups: Sequence[ModelGroupAnswer] = Field(description="the model groups, in the order of the YAML")
    configuration: ConfigurationAnswer | None = Field(description="version of the YAML in force; null for a team's key")


class ReloadAnswer(Answer):
    """The changes of a reload, in sentences; both versions are equal when the file was already in force."""

    generation: str = Field(description="version of the YAML: a hash of its content")
    generation_before: str = Field(description="the version that was in force before")
    changes: Sequence[str] = Field(description="what changed, in sentences")


class ResolvedGroup(Answer):
    """The models for a call of the team to this group. Without access no model is named."""

    group_name: str = Field(description="name of the model group")
    primary_model: str | None = Field(description="the model that is tried first; null: the team has no access")
    fallback_models: Sequence[str] = Field(
        description="the models that are tried when those before them fail, in this order"
    )
    team_has_access: bool = Field(description="whether the team has access")
