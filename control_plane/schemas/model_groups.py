"""The wire of the model groups: what there is, who may use it and why."""

from collections.abc import Sequence

from control_plane.schemas.base import Answer, Json, Moment


class ModelGroupAnswer(Answer):
    """A model group, and where permission to use it comes from: the YAML's patterns and grants made through the API.

    A team's own key sees the patterns that match it and its own grant, nothing of others.
    """

    group_name: str
    description: str
    models: Sequence[str]
    primary_model: str
    fallback_models: Sequence[str]
    defaults: Json
    team_patterns: Sequence[str]
    granted_teams: Sequence[str]


class ReplicaAnswer(Answer):
    """A server process and the version of the YAML in force there; null where it has not said so."""

    name: str | None
    generation: str | None
    started_at: Moment


class ConfigurationAnswer(Answer):
    """Which version of the YAML is in force. `problems`: why the file as it stands is not, where this was answered."""

    generation: str
    is_same_everywhere: bool
    problems: Sequence[str]
    replicas: Sequence[ReplicaAnswer]


class ModelGroupList(Answer):
    """Model groups in the order of the YAML. `configuration` is for the master key; null for a team's."""

    model_groups: Sequence[ModelGroupAnswer]
    configuration: ConfigurationAnswer | None


class ReloadAnswer(Answer):
    """What a reload has changed, in sentences; both versions are the same when the file was in force already."""

    generation: str
    generation_before: str
    changes: Sequence[str]


class ResolvedGroup(Answer):
    """What a call of the team to this group runs on. Without access no model is named."""

    group_name: str
    primary_model: str | None
    fallback_models: Sequence[str]
    team_has_access: bool
