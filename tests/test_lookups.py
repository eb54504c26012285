"""What is remembered of the database: one look for all who ask at once, renewed ahead, never older than promised."""

import asyncio
from dataclasses import dataclass, field

import pytest

from control_plane.lookups import Lookups


@dataclass
class Source:
    """A database of numbers: each look waits until it is let go, and finds what was there when it began."""

    value: int = 1
    now: float = 0.0
    looks: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def look(self, _key: str) -> int:
        self.looks += 1
        self.began.set()
        found = self.value
        await self.may_answer.wait()
        if self.fails:
            raise ConnectionError
        return found

    async def has_begun(self, looks: int) -> None:
        while self.looks < looks:
            self.began.clear()
            await self.began.wait()

    def lookups(self, kept: int = 100) -> Lookups[str, int]:
        return Lookups(self.look, ttl_s=4, kept=kept, clock=lambda: self.now)


async def settled() -> None:
    """A look that may answer has answered, and what it found is kept."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_thousand_who_ask_at_once_are_one_look() -> None:
    source = Source()
    known = source.lookups()
    assert await asyncio.gather(*(known.get("a") for _ in range(1000))) == [1] * 1000
    assert source.looks == 1


async def test_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    source = Source()
    known = source.lookups()
    source.may_answer.clear()
    first, second = asyncio.create_task(known.get("a")), asyncio.create_task(known.get("a"))
    await source.has_begun(1)
    first.cancel()
    source.may_answer.set()
    assert await second == 1
    assert source.looks == 1


async def test_an_answer_in_use_is_renewed_before_it_is_too_old_and_nobody_waits() -> None:
    source = Source()
    known = source.lookups()
    await known.get("a")
    source.value, source.now = 2, 3.5
    source.may_answer.clear()
    assert [await known.get("a"), await known.get("a")] == [1, 1], "the old answer serves meanwhile"
    await source.has_begun(2)
    source.may_answer.set()
    await settled()
    source.now = 4.5
    assert await known.get("a") == 2
    assert source.looks == 2


async def test_no_answer_is_older_than_promised_however_slow_the_look_was() -> None:
    source = Source()
    known = source.lookups()
    source.may_answer.clear()
    asking = asyncio.create_task(known.get("a"))
    await source.has_begun(1)
    source.value, source.now = 2, 3.0
    source.may_answer.set()
    assert await asking == 1
    source.now = 4.0
    assert await known.get("a") == 2, "its time began with the look"


async def test_who_asks_late_does_not_join_a_look_that_began_long_ago() -> None:
    source = Source()
    known = source.lookups()
    source.may_answer.clear()
    early = asyncio.create_task(known.get("a"))
    await source.has_begun(1)
    source.value, source.now = 2, 4.0
    late = asyncio.create_task(known.get("a"))
    await source.has_begun(2)
    source.may_answer.set()
    assert (await early, await late) == (1, 2)
    assert await known.get("a") == 2


async def test_what_was_being_looked_up_when_it_changed_is_not_kept() -> None:
    source = Source()
    known = source.lookups()
    source.may_answer.clear()
    asking = asyncio.create_task(known.get("a"))
    await source.has_begun(1)
    source.value = 2
    known.forget_all()
    after = asyncio.create_task(known.get("a"))
    await source.has_begun(2)
    source.may_answer.set()
    assert (await asking, await after) == (1, 2)
    assert await known.get("a") == 2


async def test_a_failed_look_is_told_to_all_who_wait_and_not_kept() -> None:
    source = Source(fails=True)
    known = source.lookups()
    results = await asyncio.gather(*(known.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 3
    source.fails = False
    assert await known.get("a") == 1


async def test_a_failed_look_ahead_leaves_the_old_answer_until_its_time_is_over() -> None:
    source = Source()
    known = source.lookups()
    await known.get("a")
    source.fails, source.now = True, 3.5
    assert await known.get("a") == 1
    await source.has_begun(2)
    await settled()
    assert await known.get("a") == 1
    source.now = 4.0
    with pytest.raises(ConnectionError):
        await known.get("a")


async def test_as_many_keys_are_kept_as_was_chosen() -> None:
    source = Source()
    known = source.lookups(kept=2)
    for key in ("a", "b", "c", "c", "b", "a"):
        await known.get(key)
    assert source.looks == 4
