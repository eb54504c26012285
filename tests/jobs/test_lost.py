"""Calls whose process died: found, listed, and settled by the operator's policy."""

from datetime import timedelta

import pytest

from control_plane.administration.values import NewTeam
from control_plane.calls.writer import CallWriter
from control_plane.chat import Rate, UsageEstimate
from control_plane.clock import now
from control_plane.credits.rules import BudgetMode, Plan
from control_plane.ids import CallId, JobId, new_id
from control_plane.jobs.lost import LostCallPolicy
from control_plane.jobs.rules import Intent, JobStatus
from control_plane.jobs.values import Closing, NewJob
from control_plane.reconciliation.service import ReconciliationService
from control_plane.replicas.lease import Lease
from control_plane.storage.database import Database
from tests.support.services import ACME, ADMIN, DomainServices

RATE = Rate(input=1_000_000_000, output=2_000_000_000)
DEMAND = UsageEstimate(prompt_tokens=40, expected_prompt_tokens=20, max_tokens=30, rate=RATE)
TOKENS = Plan(BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=1)


@pytest.mark.parametrize(
    ("policy", "tokens", "cost"), [(LostCallPolicy.ESTIMATE, 20, 20_000), (LostCallPolicy.VOID, 0, 0)]
)
async def test_a_lost_call_counts_as_the_policy_says_and_frees_its_hold(
    db: Database, policy: LostCallPolicy, tokens: int, cost: int
) -> None:
    services = DomainServices.on(db)
    services.clock.now = now()  # as at the database, or the clocks would differ
    principal = await services.principal(
        await services.administration.create_team(ADMIN, NewTeam(ACME, credits_allocated=100, plan=TOKENS))
    )
    job_id = JobId((await services.jobs.create(principal, NewJob("any"))).id)
    dead = CallWriter(db, new_id(), clock=services.clock)
    call_id = CallId(new_id())
    intent = Intent(call_id, job_id, ACME, "ChatAgent", True, None, {}, services.clock(), demand=DEMAND)
    await dead._write([intent])
    assert (await services.credits.balance(ADMIN, ACME)).held == 70

    living = Lease(db, new_id(), clock=services.clock, policy=policy)
    await living.check()
    await living.give_up_dead()

    job = await services.jobs.get(ADMIN, job_id)
    assert (job.calls_open, job.calls_failed, job.calls_delivered) == (0, 1, 0)
    assert (job.prompt_tokens, job.cost_nano_usd, job.reserved_tokens) == (tokens, cost, 0)
    assert (await services.credits.balance(ADMIN, ACME)).held == max(1, tokens)
    service = ReconciliationService(db, clock=services.clock)
    listed = await service.lost(ADMIN, services.clock() - timedelta(days=1), before=None, limit=10)
    assert [(call.id, call.cost_nano_usd, call.is_estimated) for call in listed] == [(call_id, cost, tokens > 0)]
    done = await services.jobs.complete(principal, job_id, Closing(JobStatus.COMPLETED))
    assert done.job.credits_charged == 0, "nothing was delivered"
    await living.end()
