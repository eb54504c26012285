"""Items of the call path's writer, the order of their turns, and a batch sorted by kind."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

from control_plane.chat import SpendReport
from control_plane.ids import CallId, JobId, TeamId
from control_plane.jobs.admission import Admitted
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.creating import Creation
from control_plane.jobs.models import Job
from control_plane.jobs.rules import Intent, Record
from control_plane.jobs.values import ClosedJob
from control_plane.storage.batching import Place
from control_plane.storage.database import Tx


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A call that was not made, whose intent may have been written."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Opening:
    """A job of one call, made together with its call's intent."""

    creation: Creation
    intent: Intent


@dataclass(frozen=True, slots=True)
class Written:
    """A caller's result for its item. `opened` is set for intents; `is_first` for records: whether this record ended
    the call (False: it had ended before, as when it was declared lost). `job`: the created one. `closed`: the closed
    one; None when it could not be closed. `result`: of a grouped write.
    """

    opened: Admitted | None = None
    is_first: bool = True
    job: Job | None = None
    closed: ClosedJob | None = None
    result: object = None


class Turn(IntEnum):
    """In which order what waits to be written has its turn: what ends before what begins, what was begun before what is new."""

    END_OF_CALL = 0
    END_OF_JOB = 1
    CALL = 2
    JOB = 3


@dataclass(frozen=True, slots=True, eq=False)
class GroupedWrite:
    """A small write to rows that no other item of a batch writes. `order`: sorts the grouped writes of a batch, and names the
    row. `work` runs in the batch's transaction; its result, or the ControlPlaneError it raises, belongs to this item alone.
    """

    turn: Turn
    team_id: str | None
    order: tuple[str, ...]
    work: Callable[[Tx], Awaitable[object]]


Item = Intent | Withdrawal | Record | SpendReport | Creation | Opening | JobClosing | GroupedWrite


@dataclass(frozen=True, slots=True)
class Batch:
    """Items by what is done with them. A call ends once, also within one batch."""

    intents: list[Intent]
    withdrawn: list[Intent]
    records: dict[CallId, Record]
    reports: list[SpendReport]
    closings: list[JobClosing]
    creations: list[Creation]
    openings: list[Opening]
    grouped_writes: list[GroupedWrite]

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Batch":
        """Items in the order they arrived."""
        batch = cls([], [], {}, [], [], [], [], [])
        for item in items:
            match item:
                case Intent():
                    batch.intents.append(item)
                case Withdrawal():
                    batch.withdrawn.append(item.intent)
                case Record():
                    batch.records.setdefault(item.intent.call_id, item)
                case SpendReport():
                    batch.reports.append(item)
                case JobClosing():
                    batch.closings.append(item)
                case Creation():
                    batch.creations.append(item)
                case Opening():
                    batch.openings.append(item)
                case GroupedWrite():
                    batch.grouped_writes.append(item)
                case _:
                    assert_never(item)
        return batch

    @property
    def is_repeated(self) -> bool:
        """Whether something in it may have been written before, by a transaction that is not over yet."""
        return bool(self.withdrawn) or any(record.may_be_written for record in self.records.values())

    @property
    def jobs(self) -> set[JobId]:
        """The existing jobs whose rows are written."""
        return {each.job_id for each in self._calls} | {each.job_id for each in self.closings}

    @property
    def teams(self) -> set[TeamId]:
        """The teams whose balances are written."""
        made = [*self.creations, *(each.creation for each in self.openings)]
        jobs: Sequence[JobClosing | Creation] = [*self.closings, *made]
        return {each.team_id for each in self._calls} | {each.team_id for each in jobs}

    @property
    def _calls(self) -> Sequence[Intent]:
        return [*self.intents, *self.withdrawn, *(record.intent for record in self.records.values())]


def place_of(item: Item) -> Place:
    """Its place in the queue. An end of a call is never rejected."""
    match item:
        case Record() | Withdrawal() | SpendReport():
            return Place(Turn.END_OF_CALL, team_of(item))
        case JobClosing():
            return Place(Turn.END_OF_JOB, item.team_id, may_be_refused=True)
        case Intent():
            return Place(Turn.CALL, item.team_id, may_be_refused=True)
        case GroupedWrite():
            return Place(item.turn, item.team_id, may_be_refused=item.turn is not Turn.END_OF_CALL)
        case Creation() | Opening():
            return Place(Turn.JOB, team_of(item), may_be_refused=True)
        case _:
            assert_never(item)


def team_of(item: Item) -> str | None:
    """The team whose rows an item's transaction locks; None for a report."""
    match item:
        case Intent() | JobClosing() | Creation() | GroupedWrite():
            return item.team_id
        case Withdrawal(intent) | Record(intent=intent) | Opening(intent=intent):
            return intent.team_id
        case SpendReport():
            return None
        case _:
            assert_never(item)


def lock_group(item: Item) -> tuple[str | None, ...]:
    """Whose locks an item's transaction waits for: its team's rows, or, for a grouped write, its own row."""
    return ("grouped_write", *item.order) if isinstance(item, GroupedWrite) else ("team", team_of(item))


def named(item: Withdrawal | Record | SpendReport) -> dict[str, object]:
    """An item's fields for logs: ids and amounts, nothing a customer wrote."""
    match item:
        case Withdrawal(intent):
            return {"call_id": str(intent.call_id), "status": "withdrawn"}
        case Record(intent=intent):
            amounts = {"tokens": item.usage.total_tokens, "cost_nano_usd": item.cost}
            return {"call_id": str(intent.call_id), "status": item.status.value, **amounts}
        case SpendReport():
            return {"call_id": str(item.call_id), "status": f"report of {item.status}", "cost_nano_usd": item.cost}
        case _:
            assert_never(item)
