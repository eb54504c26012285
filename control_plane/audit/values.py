"""Values of the audit log: who did what to what."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Means(StrEnum):
    """What a change was made through."""

    MASTER_KEY = "master_key"
    TEAM_KEY = "team_key"
    TOKEN = "token"  # noqa: S105 - a word
    SESSION = "session"
    COMMAND = "command"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted. `id`: of the user, token or key, where there is one; `name`: as people read it."""

    means: Means
    name: str
    id: str | None = None


SYSTEM = Actor(Means.SYSTEM, "system")
COMMAND = Actor(Means.COMMAND, "command line")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: its address, and its id in the log."""

    address: str | None = None
    request_id: str | None = None


NOWHERE = Origin()
"""Of what no request caused."""

origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)
"""Of the request that is being served."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `action`: `thing.verb`; `target`: the thing's id. `before` and `after`: the fields that differ, without
    secrets; None: the thing did not exist. `team_id` and `organization_id`: whose it is, for those who may read only that.
    """

    action: str
    target: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    team_id: str | None = None
    organization_id: str | None = None
    reason: str | None = None


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The fields that differ, before and after."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before.get(name) for name in changed}, {name: after.get(name) for name in changed}
