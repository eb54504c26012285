"""The durable writer of the call path, on both databases: one bad item harms nobody, and nothing is lost in an outage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from control_plane.calls.in_flight import InFlight, InFlightCall, Outcome
from control_plane.calls.write_items import Withdrawal
from control_plane.calls.writer import CallWriter
from control_plane.chat import ChatRequest, ProviderCall, SpendReport
from control_plane.completion.usage import Usage
from control_plane.errors import DatabaseUnavailable, JobNotFound
from control_plane.gateway.deployments import RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.ids import CallId, JobId, new_id
from control_plane.jobs.closing import JobClosing
from control_plane.jobs.rules import CallStatus, Intent, JobStatus, Record
from control_plane.jobs.values import Closing, NewJob
from control_plane.limits.service import LimitService
from control_plane.model_groups.catalog import Target
from control_plane.reconciliation.spend_logs import SpendService
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.traces import NO_TRACES
from control_plane.units import NanoUsd
from tests.support.databases import Postgres
from tests.support.outage import outage
from tests.support.patience import PATIENCE_S
from tests.support.services import ACME, DomainServices

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def writing(db: Database) -> AsyncIterator[CallWriter]:
    writer = CallWriter(db, new_id(), clock=lambda: NOW)
    tasks = [asyncio.create_task(writer.run()), asyncio.create_task(writer.retry_unwritten())]
    try:
        yield writer
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), "with such a task the server falls"


@pytest_asyncio.fixture
async def writer(db: Database) -> AsyncIterator[CallWriter]:
    async with writing(db) as running:
        yield running


@dataclass
class Customer:
    services: DomainServices
    principal: Principal

    async def intent(self, job_id: JobId | None = None) -> Intent:
        """A call about to be made in that job, or in a new one."""
        if job_id is None:
            job_id = JobId((await self.services.jobs.create(self.principal, NewJob("test"))).id)
        return Intent(CallId(new_id()), job_id, ACME, "ChatAgent", True, None, {}, NOW)

    async def bill(self, job_id: JobId) -> tuple[int, int]:
        """What the completed job has: calls, and their cost."""
        done = await self.services.jobs.complete(self.principal, job_id, Closing(JobStatus.COMPLETED))
        return done.job.calls_total, done.job.cost_nano_usd


@pytest_asyncio.fixture
async def customer(db: Database) -> Customer:
    services = DomainServices.on(db)
    return Customer(services, await services.principal(await services.team()))


def record(intent: Intent, cost: int = 7) -> Record:
    return Record(intent, CallStatus.SUCCEEDED, Usage(1, 2), NanoUsd(cost), 5, NOW)


def report(intent: Intent, request_id: str = "chatcmpl-1") -> SpendReport:
    return SpendReport(
        call_id=intent.call_id,
        request_id=request_id,
        status="success",
        model="gpt-4",
        model_group="gpt-4",
        deployment_id="gpt-4-1",
        provider="openai",
        cost=NanoUsd(7),
        usage=Usage(1, 2),
        started_at=NOW,
        ended_at=NOW,
        is_cached=False,
        error_class=None,
    )


async def test_a_call_for_a_job_that_is_none_is_refused_alone(writer: CallWriter, customer: Customer) -> None:
    good, stray = await customer.intent(), await customer.intent(JobId(new_id()))
    written, refusal = await asyncio.gather(writer.open(good), writer.open(stray), return_exceptions=True)
    assert isinstance(refusal, JobNotFound)
    assert not isinstance(written, BaseException)
    await writer.finish(record(good))
    assert await customer.bill(good.job_id) == (1, 7)


async def test_what_the_database_refuses_does_not_fail_its_neighbours(
    writer: CallWriter, customer: Customer, db: Database
) -> None:
    """A provider's answer with a NUL in its id, which Postgres takes for no text, arrives with other calls' writes."""
    intents = [await customer.intent() for _ in range(3)]
    writer.report(report(intents[0], "chatcmpl-\x00"))
    writer.report(report(intents[1]))
    await asyncio.gather(*(writer.open(intent) for intent in intents))
    await asyncio.gather(*(writer.finish(record(intent)) for intent in intents))
    await writer.drain()
    assert [await customer.bill(intent.job_id) for intent in intents] == [(1, 7)] * 3
    job = await customer.services.jobs.get(customer.principal, intents[1].job_id)
    assert len((await SpendService(db).logs_of(job))[intents[1].call_id]) == 1


async def test_a_job_ends_with_its_call_and_stays_open_while_another_runs(
    writer: CallWriter, customer: Customer
) -> None:
    last = await customer.intent()
    other = replace(await customer.intent(last.job_id), call_id=CallId(new_id()))
    await asyncio.gather(writer.open(last), writer.open(other))
    closing = JobClosing(ACME, last.job_id, Closing(JobStatus.COMPLETED), "test")
    assert (await writer.finish(record(last), closing)).closed is None, "a call still runs"
    closed = (await writer.finish(record(other), closing)).closed
    assert closed is not None
    assert (closed.job.status, closed.job.calls_succeeded, closed.job.credits_charged) == ("completed", 2, 1)


async def test_a_call_is_finished_once_whoever_repeats_it(writer: CallWriter, customer: Customer) -> None:
    intent = await customer.intent()
    await writer.open(intent)
    written = await asyncio.gather(*(writer.finish(record(intent)) for _ in range(5)))
    assert sum(each.is_first for each in written) == 1
    assert await customer.bill(intent.job_id) == (1, 7)


async def test_absurd_numbers_of_a_provider_do_not_keep_the_job_open(writer: CallWriter, customer: Customer) -> None:
    """No column holds them; the call fails, and the job can be completed all the same."""
    intent = await customer.intent()
    written = await writer.open(intent)
    permit = await LimitService().admit_call(customer.principal, Target("ChatAgent", ("gpt-4",)), 1)
    gateway = await open_gateway(RouterConfig(deployments=()), writer.report)
    call = InFlightCall(
        intent,
        ProviderCall(intent.call_id, intent.job_id, ACME, ("gpt-4",), ChatRequest((), {})),
        gateway=gateway,
        permit=permit,
        credits_remaining=written.credits_remaining,
        writer=writer,
        clock=lambda: NOW,
        traces=NO_TRACES,
        in_flight=InFlight(),
    )
    with pytest.raises(Exception, match=r"(?i)integer|int too large"):
        await call.finish(Outcome(CallStatus.SUCCEEDED, usage=Usage(2**70, 1), cost=NanoUsd(1)))
    await gateway.aclose()
    assert await customer.bill(intent.job_id) == (1, 0)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_records_kept_in_an_outage_are_written_once_also_when_the_server_stops_then(
    writer: CallWriter, customer: Customer, postgres: Postgres, postgres_url: str
) -> None:
    """The retry and the stop both write what is left, at the same time."""
    intents = [await customer.intent() for _ in range(20)]
    await asyncio.gather(*(writer.open(intent) for intent in intents))
    async with outage(postgres, postgres_url):
        refused = await asyncio.gather(*(writer.finish(record(intent)) for intent in intents), return_exceptions=True)
        assert {type(error) for error in refused} == {DatabaseUnavailable}
    await asyncio.gather(writer.drain(), writer.drain())
    assert [await customer.bill(intent.job_id) for intent in intents] == [(1, 7)] * 20


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_one_record_that_will_never_be_written_does_not_stop_the_others(
    db: Database, customer: Customer, postgres: Postgres, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with writing(db) as writer:
        good, bad = await customer.intent(), await customer.intent()
        await asyncio.gather(writer.open(good), writer.open(bad))
        async with outage(postgres, postgres_url):
            absurd = replace(record(bad), usage=Usage(2**40, 1))
            await asyncio.gather(writer.finish(absurd), writer.finish(record(good)), return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            while "record_unwritten" not in caplog.text:  # noqa: ASYNC110 - the log is where it is told
                await asyncio.sleep(0.05)
        assert await customer.bill(good.job_id) == (1, 7)


async def test_a_call_that_was_not_made_is_withdrawn_whether_its_intent_was_written_or_not(
    db: Database, customer: Customer
) -> None:
    """The acknowledgement of a commit can get lost: the call would stay open, and its job could never be completed."""
    async with writing(db) as writer:
        written = await customer.intent()
        unwritten = await customer.intent(written.job_id)
        await writer.open(written)
        for withdrawn in ([written, unwritten], [written]):
            await writer._write([Withdrawal(intent) for intent in withdrawn])
        assert await customer.bill(written.job_id) == (1, 0)
