"""Server responses as commands parse them. Those of another service are rejected with a sentence.

Each shape has only the fields that a command needs, so that a server of another version is still understood.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from control_plane.cli.output import Json, visible
from control_plane.errors import ControlPlaneError

MOST_DEPTH = 300
"""Levels of JSON in a response; our servers never write deeper."""
LONGEST_REASON = 4000

S = TypeVar("S", bound="Shape")


class ApiCallFailed(ControlPlaneError):
    """The server did not do what a customer would expect."""


class Shape(BaseModel):
    """A JSON object with these values, and others."""

    model_config = ConfigDict(strict=True, frozen=True)


class Ready(Shape):  # noqa: D101 - as the routes of these names answer
    status: str


class Organization(Shape):  # noqa: D101
    organization_id: str


class Team(Shape):  # noqa: D101
    team_id: str


class Credits(Team):  # noqa: D101
    credits_available: int


class Key(Shape):  # noqa: D101
    key_id: str
    kind: str


class NewKey(Shape):  # noqa: D101
    key_id: str
    virtual_key: str


class Token(Shape):  # noqa: D101
    token_id: str


class NewToken(Token):  # noqa: D101
    access_token: str


class AuditEntry(Shape):  # noqa: D101
    number: int
    action: str
    target: str


class NewTeam(Team, NewKey):  # noqa: D101
    pass


class Transaction(Shape):  # noqa: D101
    number: int


class Grant(Shape):  # noqa: D101
    grant_id: str


class Event(Shape):  # noqa: D101
    event_id: str


class Job(Shape):  # noqa: D101
    job_id: str


class Costs(Job):  # noqa: D101
    costs: dict[str, Any]


class OrganizationUsage(Shape):  # noqa: D101
    period: str
    summary: dict[str, Any]
    job_types: dict[str, dict[str, Any]]


class TeamUsage(OrganizationUsage):  # noqa: D101
    model_groups: dict[str, dict[str, Any]]
    days: dict[str, dict[str, Any]]


class Group(Shape):  # noqa: D101
    group_name: str
    team_patterns: list[str]
    granted_teams: list[str]


class Groups(Shape):  # noqa: D101
    model_groups: list[Group]


class Replica(Shape):  # noqa: D101
    name: str | None
    generation: str | None


class Configuration(Shape):  # noqa: D101
    replicas: list[Replica]


class AdminGroups(Groups):
    """Model groups as the master key sees them."""

    configuration: Configuration


class Reloaded(Shape):  # noqa: D101
    generation: str


class Message(Shape):  # noqa: D101
    content: str | None


class CallFacts(Shape):  # noqa: D101
    model: str
    latency_ms: int
    tokens_used: int
    cost_usd: float
    cached: bool


class Call(Shape):  # noqa: D101
    response: Message
    metadata: CallFacts


class Delta(Shape):  # noqa: D101
    content: str | None = None


class ChunkChoice(Shape):  # noqa: D101
    delta: Delta


class ChunkUsage(Shape):  # noqa: D101
    total_tokens: int


class Chunk(Shape):
    """A piece of a stream; the last one has the usage."""

    choices: list[ChunkChoice]
    usage: ChunkUsage | None = None
    cached: bool = False


class JobCosts(Shape):  # noqa: D101
    total_calls: int
    total_tokens: int
    total_cost_usd: float
    credits_charged: int


class BilledCall(Shape):  # noqa: D101
    purpose: str | None
    model_group: str
    tokens: int
    latency_ms: int


class Bill(Job):  # noqa: D101
    costs: JobCosts
    calls: list[BilledCall]


class Entry(Transaction):  # noqa: D101
    kind: str
    available_delta: int
    held_delta: int
    available_after: int


class Ledger(Shape):  # noqa: D101
    transactions: list[Entry]


class Page(Shape):
    """One of a list; `next_cursor` leads to the next."""

    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response, and the requested path."""

    path: str
    status: int
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the server did it."""
        return HTTPStatus(200) <= self.status < HTTPStatus(300)

    @property
    def reason(self) -> str:
        """The server's own sentence, whichever of its APIs answers; its status where there is none."""
        return reason_in(self._body()) or f"status {self.status}"

    def json(self, shape: type[Shape]) -> Json:
        """The object that the server answers, as it came. Raises: ApiCallFailed for a refusal, or another service."""
        return self._checked(shape)[0]

    def read(self, shape: type[S]) -> S:
        """The same, as its shape."""
        return self._checked(shape)[1]

    def rows(self, name: str, shape: type[Shape]) -> Sequence[Json]:
        """The list of that name, each of that shape. Raises: ApiCallFailed."""
        rows = self.json(Page).get(name)
        if not isinstance(rows, list):
            raise self._strange()
        for row in rows:
            self._read(row, shape)
        return rows

    def _checked(self, shape: type[S]) -> tuple[Json, S]:
        body = self._body()
        if body is not None and not self.is_success:
            raise ApiCallFailed(f"{self.path} answered {self.status}: {self.reason}")
        if not isinstance(body, dict):
            raise self._strange()
        return body, self._read(body, shape)

    def _read(self, value: object, shape: type[S]) -> S:
        try:
            return shape.model_validate(value)
        except ValidationError:
            raise self._strange() from None

    def _strange(self) -> ApiCallFailed:
        return ApiCallFailed(f"{self.path} answered {self.status}, and not as the control plane does.")

    def _body(self) -> Any:
        """None for what is no JSON, or nested too deep to be handled."""
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            return None
        return body if _is_flat(body) else None


def reason_in(body: object) -> str | None:
    """The sentence in a refusal, whichever API it is of."""
    error = body.get("detail", body.get("error")) if isinstance(body, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    if not said or not _is_flat(said):
        return None
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return visible(text[:LONGEST_REASON], keep="\n")


def _is_flat(value: object) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False
