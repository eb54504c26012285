"""What waits to be written: what was begun first, teams in turn, and nobody kept waiting for what would come too late."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane import waiting
from control_plane.errors import Overloaded
from control_plane.storage.batching import Batcher, Place
from control_plane.storage.fair_queue import FairQueue
from control_plane.storage.pace import Pace
from tests.storage.test_batching import running

PUTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), max_size=40)


def filled(puts: Sequence[tuple[int, str]]) -> FairQueue[tuple[int, str, int]]:
    queue: FairQueue[tuple[int, str, int]] = FairQueue(3)
    for number, (rank, owner) in enumerate(puts):
        queue.put((rank, owner, number), rank, owner)
    return queue


def test_a_team_with_many_items_keeps_none_of_the_others_waiting() -> None:
    queue = filled([(0, "hot")] * 5 + [(0, "small"), (0, "other")])
    assert [owner for _, owner, _ in queue.take(7)] == ["hot", "small", "other", "hot", "hot", "hot", "hot"]


def test_what_was_begun_goes_before_what_is_new() -> None:
    queue = filled([(2, "a"), (1, "a"), (0, "b"), (2, "b"), (0, "a")])
    assert [rank for rank, _, _ in queue.take(9)] == [0, 0, 1, 2, 2]


@given(PUTS, st.integers(1, 5))
def test_every_item_is_taken_once_and_those_of_an_owner_in_order(puts: list[tuple[int, str]], most: int) -> None:
    queue = filled(puts)
    taken: list[tuple[int, str, int]] = []
    while part := queue.take(most):
        assert len(part) <= most
        taken += part
    assert sorted(number for _, _, number in taken) == list(range(len(puts)))
    assert [rank for rank, _, _ in taken] == sorted(rank for rank, _, _ in taken)
    for rank, owner in set(puts):
        own = [number for r, o, number in taken if (r, o) == (rank, owner)]
        assert own == sorted(own)
    assert len(queue) == 0


@given(PUTS, st.integers(0, 2), st.sampled_from("abcd"))
def test_as_many_are_served_before_an_item_as_was_estimated(puts: list[tuple[int, str]], rank: int, owner: str) -> None:
    queue = filled(puts)
    ahead = queue.ahead_of(rank, owner)
    queue.put((rank, owner, -1), rank, owner)
    taken = queue.take(len(puts) + 1)
    before = [number for _, _, number in taken].index(-1)
    others = len({o for r, o in puts if r == rank and o != owner})
    assert before <= ahead <= before + others, "each other owner may have its turn just before, or just after"


def test_a_pace_learns_what_a_batch_and_an_item_cost() -> None:
    pace = Pace()
    for _ in range(40):
        pace.end(pace.begin(0.0), 0.010, 1)
        pace.end(pace.begin(0.0), 0.110, 100)
    assert pace.wait_s(0, 0.0) == 0.0, "an idle writer has its turn at once"
    assert pace.wait_s(1000, 0.0) == pytest.approx(1.01, rel=0.05)


def test_what_waits_for_a_writer_that_stands_still_waits_at_least_as_long_again() -> None:
    pace = Pace()
    pace.begin(0.0)
    assert pace.wait_s(0, 7.0) >= 7.0


@dataclass
class Sink:
    """Writes when it is let: items are `(rank, owner)`."""

    written: list[tuple[int, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    refused: list[Place] = field(default_factory=list)

    async def write(self, items: Sequence[tuple[int, str]]) -> Sequence[str | Exception]:
        self.begun.set()
        await self.gate.wait()
        self.written += items
        return ["written"] * len(items)

    def batcher(self) -> Batcher[tuple[int, str], str]:
        return Batcher(
            self.write,
            place=lambda item: Place(*item, may_be_refused=item[0] > 0),
            classes=2,
            refused=self.refused.append,
        )


async def asking(batcher: Batcher[tuple[int, str], str], item: tuple[int, str], within_s: float | None) -> str:
    if within_s is not None:
        waiting.wait_at_most(within_s)
    return await batcher.put(item)


async def test_who_would_wait_too_long_is_refused_at_once_and_what_was_begun_never() -> None:
    sink = Sink()
    batcher = sink.batcher()
    async with running(batcher):
        first = asyncio.create_task(asking(batcher, (1, "a"), 60))
        await sink.begun.wait()
        with pytest.raises(Overloaded) as refusal:
            await asyncio.create_task(asking(batcher, (1, "a"), 0.0001))
        assert refusal.value.retry_after_s is not None
        assert refusal.value.retry_after_s >= 1
        record = asyncio.create_task(asking(batcher, (0, "a"), 0.0001))
        unbounded = asyncio.create_task(asking(batcher, (1, "b"), None))
        sink.gate.set()
        assert [await first, await record, await unbounded] == ["written"] * 3
    assert sink.written == [(1, "a"), (0, "a"), (1, "b")]
    assert [(place.rank, place.owner) for place in sink.refused] == [(1, "a")]


async def test_what_waited_longer_than_was_estimated_is_refused_when_its_turn_comes() -> None:
    sink = Sink()
    batcher = sink.batcher()
    async with running(batcher):
        first = asyncio.create_task(asking(batcher, (1, "a"), 60))
        await sink.begun.wait()
        late = asyncio.create_task(asking(batcher, (1, "b"), 0.1))
        in_time = asyncio.create_task(asking(batcher, (1, "c"), 60))
        await asyncio.sleep(0.2)  # time itself is what is tried here
        sink.gate.set()
        with pytest.raises(Overloaded):
            await late
        assert [await first, await in_time] == ["written"] * 2
    assert sink.written == [(1, "a"), (1, "c")]
    assert [(place.rank, place.owner) for place in sink.refused] == [(1, "b")]
