"""The wire of the model groups: what there is, who may use it and why."""

from collections.abc import Sequence

from control_plane.schemas.base import Answer, Json


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


class ModelGroupList(Answer):
    """Model groups in the order of the YAML."""

    model_groups: Sequence[ModelGroupAnswer]


class ResolvedGroup(Answer):
    """What a call of the team to this group runs on. Without access no model is named."""

    group_name: str
    primary_model: str | None
    fallback_models: Sequence[str]
    team_has_access: bool
