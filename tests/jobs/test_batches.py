"""Jobs of many teams, made and closed in one transaction: each as if it had been alone, in the order of arrival."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.administration.values import NewTeam
from control_plane.calls.write_items import GroupedWrite, Item, Opening, Turn, Written
from control_plane.calls.writer import CallWriter
from control_plane.credits.reservations import Caps
from control_plane.errors import (
    AlreadyExists,
    AtRiskLimit,
    DatabaseBusy,
    IdempotencyInFlight,
    InsufficientCredits,
    JobCapReached,
    TeamNotFound,
)
from control_plane.idempotency.service import Claim, IdempotencyService, StoredResponse
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs.closing import FEW_CALLS, JobClosing
from control_plane.jobs.creating import Creation
from control_plane.jobs.models import Job
from control_plane.jobs.rules import CallStatus, Intent, JobStatus
from control_plane.jobs.values import Closing, NewJob
from control_plane.replicas.lease import Lease
from control_plane.storage.database import Database, Tx
from tests.calls.test_writer import NOW, record
from tests.credits.ledgers import audit
from tests.support.databases import make_migrated
from tests.support.services import ACME, ADMIN, DomainServices

PRICES = {"free": 0, "one": 1, "three": 3, "seven": 7}
TEAMS = (ACME, TeamId("globex"))


@dataclass
class Bench:
    """Two teams of ten credits, and a writer whose batches the test makes."""

    services: DomainServices
    writer: CallWriter

    @classmethod
    async def on(cls, db: Database) -> "Bench":
        services = DomainServices.on(db)
        for team in TEAMS:
            new = NewTeam(team, credits_allocated=10, job_type_prices=PRICES)
            await services.administration.create_team(ADMIN, new)
        return cls(services, CallWriter(db, new_id(), clock=services.clock))

    async def write(self, *items: Item) -> Sequence[Written | Exception]:
        return await self.writer._write(items)

    async def available(self, team: TeamId = ACME) -> int:
        return (await self.services.credits.balance(ADMIN, team)).available

    async def check(self) -> None:
        assert (await audit(self.services)).discrepancies == []


def creation(
    job_type: str = "one", team: TeamId = ACME, job_id: JobId | None = None, caps: Caps | None = None
) -> Creation:
    return Creation(team, job_id or JobId(new_id()), NewJob(job_type, caps=caps or Caps()), "test")


def closing(job_id: JobId, status: JobStatus = JobStatus.COMPLETED, team: TeamId = ACME) -> JobClosing:
    return JobClosing(team, job_id, Closing(status), "test")


def intent(job_id: JobId, team: TeamId = ACME) -> Intent:
    return Intent(CallId(new_id()), job_id, team, "ChatAgent", False, None, {}, NOW)


def kinds(results: Sequence[Written | Exception]) -> list[type]:
    return [type(each) if isinstance(each, Exception) else Job if job_of(each) else type(None) for each in results]


def job_of(written: Written) -> Job | None:
    """The job that was made or closed."""
    return written.closed.job if written.closed else written.job


async def test_the_eleventh_job_on_ten_credits_is_refused(db: Database) -> None:
    bench = await Bench.on(db)
    made = await bench.write(*(creation() for _ in range(11)), creation(team=TEAMS[1]))
    assert kinds(made) == [Job] * 10 + [InsufficientCredits, Job]
    assert (await bench.available(), await bench.available(TEAMS[1])) == (0, 9)
    await bench.check()


async def test_what_is_too_dear_leaves_its_credits_to_those_behind_it(db: Database) -> None:
    bench = await Bench.on(db)
    made = await bench.write(creation("seven"), creation("seven"), creation("three"), creation("free"))
    assert kinds(made) == [Job, InsufficientCredits, Job, Job]
    await bench.check()


async def test_a_job_that_cannot_be_made_fails_no_other(db: Database) -> None:
    bench = await Bench.on(db)
    taken, capped = creation(), creation("three", caps=Caps(max_credits=2))
    await bench.write(taken)
    stray = creation(team=TeamId("nobody"))
    made = await bench.write(creation(), creation(job_id=taken.job_id), stray, capped, creation())
    assert kinds(made) == [Job, AlreadyExists, TeamNotFound, JobCapReached, Job]
    assert await bench.available() == 10 - 3
    await bench.check()


async def test_jobs_of_all_teams_are_billed_together_and_each_once(db: Database) -> None:
    bench = await Bench.on(db)
    jobs = [creation("three"), creation("one"), creation("free"), creation("seven", TEAMS[1])]
    await bench.write(*jobs)
    intents = [intent(job.job_id, job.team_id) for job in jobs]
    await bench.write(*intents)
    ends, repeated = ([closing(job.job_id, team=job.team_id) for job in jobs] for _ in range(2))
    results = await bench.write(*ends, *(record(each) for each in intents), *repeated)
    first = [each.closed for each in results[:4] if isinstance(each, Written) and each.closed is not None]
    assert [each.job.credits_charged for each in first] == [3, 1, 0, 7]
    assert [each.job.calls_succeeded for each in first] == [1] * 4, "a call that ended with its job is in the bill"
    assert [[call.id for call in each.calls or ()] for each in first] == [[each.call_id] for each in intents]
    assert kinds(results[8:]) == [type(None)] * 4
    assert (await bench.available(), await bench.available(TEAMS[1])) == (6, 3)
    assert [(await bench.services.jobs.get(ADMIN, job.job_id)).credits_charged for job in jobs] == [3, 1, 0, 7]
    usage = await bench.services.jobs.usage(ADMIN, TEAMS, NOW.replace(hour=0), NOW.replace(day=2, hour=0))
    assert {each.job_type: (each.jobs, each.completed, each.credits) for each in usage} == {
        job_type: (1, 1, price) for job_type, price in PRICES.items()
    }
    await bench.check()


async def test_a_job_with_a_running_call_or_of_another_team_is_not_closed(db: Database) -> None:
    bench = await Bench.on(db)
    running, idle = creation(), creation()
    await bench.write(running, idle)
    await bench.write(intent(running.job_id))
    results = await bench.write(closing(running.job_id), closing(idle.job_id, team=TEAMS[1]), closing(JobId(new_id())))
    assert kinds(results) == [type(None)] * 3
    assert (await bench.services.jobs.get(ADMIN, idle.job_id)).completed_at is None


async def test_the_calls_of_a_long_job_are_read_when_nothing_waits_for_its_bill(db: Database) -> None:
    bench = await Bench.on(db)
    short, long = creation(), creation()
    await bench.write(short, long)
    calls = [intent(each.job_id) for each in (short, *[long] * (FEW_CALLS + 1))]
    await bench.write(*calls)
    await bench.write(*(record(each) for each in calls))
    results = await bench.write(closing(long.job_id), closing(short.job_id))
    closed = [each.closed for each in results if isinstance(each, Written) and each.closed is not None]
    assert [each.calls is None for each in closed] == [True, False]
    assert len((await bench.services.jobs.bill_of(closed[0])).calls) == FEW_CALLS + 1


async def test_the_calls_of_many_short_jobs_are_read_up_to_so_many(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.jobs.closing.MOST_CALLS", 3)
    bench = await Bench.on(db)
    jobs = [creation() for _ in range(4)]
    await bench.write(*jobs)
    calls = [intent(job.job_id) for job, times in zip(jobs, (2, 2, 1, 0), strict=True) for _ in range(times)]
    await bench.write(*calls)
    await bench.write(*(record(each) for each in calls))
    results = await bench.write(*(closing(job.job_id) for job in jobs))
    closed = [each.closed for each in results if isinstance(each, Written) and each.closed is not None]
    assert [each.calls is None for each in closed] == [False, True, False, False]
    assert [len((await bench.services.jobs.bill_of(each)).calls) for each in closed] == [2, 2, 1, 0]


async def test_what_a_closed_job_gives_back_is_there_for_a_new_one_of_the_same_batch(db: Database) -> None:
    bench = await Bench.on(db)
    dear, small = creation("seven"), creation("three")
    await bench.write(dear, small)
    made = await bench.write(creation("seven"), closing(dear.job_id, JobStatus.CANCELLED), creation())
    assert kinds(made) == [Job, Job, InsufficientCredits]
    await bench.check()


async def test_a_job_of_one_call_is_made_with_its_call(db: Database) -> None:
    bench = await Bench.on(db)
    openings = [Opening(new, intent(new.job_id)) for new in (creation("seven"), creation("seven"), creation("three"))]
    first, refused, last = await bench.write(*openings)
    assert isinstance(first, Written)
    assert isinstance(last, Written)
    assert first.opened is not None
    assert last.opened is not None
    assert isinstance(refused, InsufficientCredits)
    assert await bench.services.jobs.find(openings[1].creation.job_id) is None
    made = [openings[0], openings[2]]
    await bench.write(*(closing(each.creation.job_id) for each in made), *(record(each.intent) for each in made))
    bills = [await bench.services.jobs.get(ADMIN, each.creation.job_id) for each in made]
    assert [(job.status, job.credits_charged, job.calls_succeeded) for job in bills] == [
        ("completed", 7, 1),
        ("completed", 3, 1),
    ]
    await bench.check()


async def test_keys_of_requests_ride_along_and_each_is_had_once(db: Database) -> None:
    bench = await Bench.on(db)
    worker = new_id()
    await Lease(db, worker, clock=bench.services.clock).start()
    keys = IdempotencyService(db, worker, clock=bench.services.clock, writer=bench.writer)
    writing = asyncio.create_task(bench.writer.run())
    asked = [keys.claim("team:acme:1", key, "f", ACME) for key in ("a", "b", "a")]
    news = [creation(), creation("seven"), creation("seven")]
    found = await asyncio.gather(*asked, *(bench.writer.create(new) for new in news), return_exceptions=True)
    assert [type(each) for each in found] == [Claim, Claim, IdempotencyInFlight, Job, Job, InsufficientCredits]
    first = found[0]
    assert isinstance(first, Claim)
    await asyncio.gather(
        keys.settle(first, StoredResponse(200, {}, b"made")), bench.writer.close(closing(news[0].job_id))
    )
    assert await keys.claim("team:acme:1", "a", "f", ACME) == StoredResponse(200, {}, b"made")
    writing.cancel()
    await bench.check()


async def test_a_key_that_is_locked_elsewhere_fails_nothing_else_of_its_team(db: Database) -> None:
    async def locked(_tx: Tx) -> None:
        raise DatabaseBusy

    bench = await Bench.on(db)
    grouped_writes = [
        GroupedWrite(Turn.CALL, ACME, ("team:acme:1", key), work) for key, work in (("a", locked), ("b", nothing))
    ]
    results = await bench.write(*grouped_writes, creation(), creation(team=TEAMS[1]))
    assert kinds(results) == [DatabaseBusy, type(None), Job, Job]
    await bench.check()


async def nothing(_tx: Tx) -> None:
    """A grouped write without a trace."""


async def test_a_job_is_not_closed_with_a_call_that_had_ended_otherwise(db: Database) -> None:
    """It was declared lost while its provider answered: its client hears that, and no bill."""
    bench = await Bench.on(db)
    new = creation()
    call = intent(new.job_id)
    await bench.write(Opening(new, call))
    await bench.write(replace(record(call), status=CallStatus.LOST))
    late, closed = await bench.write(record(call), replace(closing(new.job_id), after=call.call_id))
    assert isinstance(late, Written)
    assert not late.is_first
    assert kinds([closed]) == [type(None)]
    assert kinds(await bench.write(closing(new.job_id, JobStatus.FAILED))) == [Job]
    await bench.check()


async def test_a_job_whose_call_is_refused_is_there_to_be_closed(db: Database) -> None:
    bench = await Bench.on(db)
    await bench.services.administration.change_team(ADMIN, ACME, {"at_risk_limit_nano_usd": 0})
    new = creation()
    (refused,) = await bench.write(Opening(new, intent(new.job_id)))
    assert isinstance(refused, AtRiskLimit)
    results = await bench.write(closing(new.job_id, JobStatus.FAILED))
    assert kinds(results) == [Job]
    assert await bench.available() == 10
    await bench.check()


@dataclass
class Model:
    """What the two teams should have, by arithmetic."""

    available: Counter[TeamId] = field(default_factory=lambda: Counter(dict.fromkeys(TEAMS, 10)))
    open: dict[JobId, tuple[TeamId, int]] = field(default_factory=dict)

    def close(self, job: JobId) -> bool:
        if job not in self.open:
            return False
        team, held = self.open.pop(job)
        self.available[team] += held  # without a call it costs nothing
        return True

    def create(self, new: Creation) -> bool:
        price = PRICES[new.new.job_type]
        if price > self.available[new.team_id]:
            return False
        self.available[new.team_id] -= price
        self.open[new.job_id] = (new.team_id, price)
        return True


STEPS = st.lists(
    st.tuples(st.sampled_from(TEAMS), st.sampled_from(list(PRICES))) | st.integers(0, 30), min_size=1, max_size=12
)
TEMPLATE = Path(tempfile.mkdtemp(prefix="cp-batches-")) / "template.db"


async def run_history(folder: Path, batches: Sequence[Sequence[tuple[TeamId, str] | int]]) -> None:
    if not TEMPLATE.exists():
        await make_migrated(f"sqlite:///{TEMPLATE}")
    await asyncio.to_thread(shutil.copy, TEMPLATE, folder / "jobs.db")
    db = Database(f"sqlite:///{folder}/jobs.db")
    bench, model = await Bench.on(db), Model()
    known: list[Creation] = []
    for batch in batches:
        made = [creation(step[1], step[0]) for step in batch if not isinstance(step, int)]
        ended = [known[step % len(known)] for step in batch if isinstance(step, int) and known]
        closings = [closing(job.job_id, JobStatus.FAILED, job.team_id) for job in ended]
        results = await bench.write(*made, *closings)
        closed = [Job if model.close(job.job_id) else type(None) for job in ended]
        opened = [Job if model.create(new) else InsufficientCredits for new in made]
        assert kinds(results) == [*opened, *closed]
        known += made
    assert {team: await bench.available(team) for team in TEAMS} == dict(model.available)
    await bench.check()
    await db.aclose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_any_history_of_batches_is_as_counted_by_hand(batches: list[list[tuple[TeamId, str] | int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        runner.run(run_history(Path(folder), batches))


async def test_a_call_that_another_server_has_made_meanwhile_is_not_made_again(db: Database) -> None:
    bench = await Bench.on(db)
    job = creation("three")
    first = replace(intent(job.job_id), is_resumed=True)
    await bench.write(job)
    await bench.write(first)
    await bench.write(record(first))
    again, other = await bench.write(first, replace(first, call_id=CallId(new_id())))
    assert isinstance(again, AlreadyExists)
    assert isinstance(other, Written)
    assert other.opened is not None
    early = await bench.write(closing(job.job_id))
    await bench.write(record(other.opened.intent))
    late = await bench.write(closing(job.job_id))
    assert [each.closed is not None for each in (*early, *late) if isinstance(each, Written)] == [False, True]
    await bench.check()
