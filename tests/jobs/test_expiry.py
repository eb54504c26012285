"""A job that nobody closes is closed by time: it costs nothing and gives back what it held."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from control_plane.ids import JobId, TeamId
from control_plane.jobs.models import Job
from control_plane.jobs.service import DUE_PAGE
from control_plane.jobs.values import NewJob
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from tests.support.patience import PATIENCE_S
from tests.support.server import Team
from tests.support.services import ACME, DomainServices

TTL = timedelta(hours=1)


async def test_an_overdue_job_expires_and_gives_back_its_hold(db: Database) -> None:
    services = DomainServices.on(db)
    await services.team(ACME)
    principal = Principal(team_id=TeamId(ACME))
    job = await services.jobs.create(principal, NewJob("test", ttl=TTL))
    services.clock.move(TTL - timedelta(seconds=1))
    assert await services.jobs.expire_due() == 0
    services.clock.move(timedelta(seconds=1))
    # when two servers look at once, one of them expires it
    assert sum(await asyncio.gather(services.jobs.expire_due(), services.jobs.expire_due())) == 1
    expired = await services.jobs.get(principal, JobId(job.id))
    assert (expired.status, expired.credits_charged) == ("expired", 0)
    balance = await services.credits.balance(principal, TeamId(ACME))
    assert (balance.available, balance.held, balance.used) == (100, 0, 0)


async def test_any_number_of_jobs_expires_and_one_that_cannot_keeps_no_other_from_it(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    services = DomainServices.on(db)
    await services.team(ACME, credits_allocated=300)
    principal = Principal(team_id=TeamId(ACME))
    jobs = [await services.jobs.create(principal, NewJob("test", ttl=TTL)) for _ in range(DUE_PAGE + 5)]
    async with db.transaction() as tx:
        await tx.execute(update(Job).where(col(Job.id) == jobs[0].id).values(plan={"budget_mode": "unknown"}))
    services.clock.move(TTL)
    assert await services.jobs.expire_due() == len(jobs) - 1
    assert "job_not_expired" in caplog.text
    assert (await services.credits.balance(principal, TeamId(ACME))).held == 1


async def test_a_job_whose_time_is_over_takes_no_calls(team: Team) -> None:
    job_id = await team.create_job(ttl_seconds=1)
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await team.call(job_id)).is_success:  # noqa: ASYNC110 - what is waited for is time
            await asyncio.sleep(0.1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_closed")
    assert "expired" in answer.json()["detail"]
