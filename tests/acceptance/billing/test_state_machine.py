"""Jobs, calls, credits and refunds in any order, against a model of a few lines: the ledger is always exact."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from control_plane.administration.values import NewTeam
from control_plane.calls.write_items import Withdrawal
from control_plane.calls.writer import CallWriter
from control_plane.chat import Rate, UsageEstimate
from control_plane.completion.usage import Usage
from control_plane.credits.reservations import Caps
from control_plane.credits.rules import BudgetMode, Plan
from control_plane.errors import Conflict, ControlPlaneError, InsufficientCredits, JobCapReached, JobClosed
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs.admission import Admitted
from control_plane.jobs.rules import CallStatus, Intent, JobStatus, Record
from control_plane.jobs.values import Closing, NewJob
from control_plane.storage.database import Database
from control_plane.tenants.principal import Principal
from control_plane.units import NanoUsd
from tests.load.chaos.checks import find_inconsistencies
from tests.support.databases import make_migrated
from tests.support.services import ADMIN, DomainServices

RATE = Rate(input=1_000_000_000, output=2_000_000_000)  # 1,000 and 2,000 nano-USD a token
PLANS = {
    "jobs": Plan(BudgetMode.JOB_BASED),
    "dollars": Plan(BudgetMode.CONSUMPTION_USD, credits_per_dollar=20_000, markup_bps=2500),
    "tokens": Plan(BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=7),
}
TEMPLATE = Path(tempfile.mkdtemp(prefix="cp-model-")) / "template.db"


@dataclass
class ModelJob:
    """What a job has delivered and used, as a bookkeeper would note it."""

    team: str
    delivered: int = 0
    tokens: int = 0
    price: int = 0
    charged: int | None = None

    def bill(self) -> int:
        if not self.delivered:
            return 0
        if self.team == "jobs":
            return 1
        if self.team == "dollars":
            return -(-self.price * 20_000 // 10**9)
        return -(-self.tokens // 7)


class AnyHistory(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    calls = Bundle("calls")

    @initialize()
    def open_everything(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="cp-history-"))
        if not TEMPLATE.exists():
            self.runner.run(make_migrated(f"sqlite:///{TEMPLATE}"))
        shutil.copy(TEMPLATE, self.folder / "history.db")
        self.db = Database(f"sqlite:///{self.folder}/history.db")
        self.services = DomainServices.on(self.db)
        self.writer = CallWriter(self.db, new_id(), clock=self.services.clock)
        self.model: dict[JobId, ModelJob] = {}
        self.refunded: dict[str, int] = dict.fromkeys(PLANS, 0)
        for team, plan in PLANS.items():
            new = NewTeam(TeamId(team), credits_allocated=60, plan=plan)
            self.do(self.services.administration.create_team(ADMIN, new))

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    def expect(self, is_true: object) -> None:
        assert is_true, "credits were refused that are there"

    @rule(target=jobs, team=st.sampled_from(list(PLANS)), cap=st.none() | st.integers(1, 20), clamps=st.booleans())
    def create(self, team: str, cap: int | None, *, clamps: bool) -> Any:
        new = NewJob("any", caps=Caps(max_credits=cap, is_clamped=clamps))
        try:
            job = self.do(self.services.jobs.create(Principal(TeamId(team)), new))
        except InsufficientCredits as refusal:
            self.expect(refusal.available < 1)
            return multiple()
        job_id = JobId(job.id)
        self.model[job_id] = ModelJob(team)
        return job_id

    @rule(target=calls, job_id=jobs, prompt=st.integers(1, 40), answer=st.integers(1, 40))
    def open_call(self, job_id: JobId, prompt: int, answer: int) -> Any:
        team = TeamId(self.model[job_id].team)
        demand = UsageEstimate(prompt, prompt // 2, answer, RATE)
        intent = Intent(
            CallId(new_id()), job_id, team, "ChatAgent", True, None, {}, self.services.clock(), demand=demand
        )
        (written,) = self.do(self.writer._write([intent]))
        if isinstance(written, ControlPlaneError):
            expected = (JobClosed, JobCapReached, InsufficientCredits)
            assert isinstance(written, expected), written
            is_due = self.do(self.services.jobs.get(ADMIN, job_id)).expires_at <= self.services.clock()
            assert isinstance(written, JobClosed) == (is_due or self.model[job_id].charged is not None)
            return multiple()
        assert isinstance(written.opened, Admitted)
        assert self.model[job_id].charged is None, "a closed job let a call in"
        return written.opened.intent

    @rule(
        intent=calls,
        status=st.sampled_from([CallStatus.SUCCEEDED, CallStatus.FAILED, CallStatus.CANCELLED, CallStatus.LOST]),
        begun=st.booleans(),
        share=st.integers(0, 4),
    )
    def end_call(self, intent: Intent, status: CallStatus, share: int, *, begun: bool) -> None:
        """Uses at most what it asked for; the second end of the same call counts nothing."""
        usage = Usage(intent.demand.prompt_tokens, intent.demand.max_tokens * share // 4)
        cost = NanoUsd(usage.prompt_tokens * 1000 + usage.completion_tokens * 2000)
        first_chunk = 1 if begun or status is CallStatus.SUCCEEDED else None
        record = Record(intent, status, usage, cost, 5, self.services.clock(), first_chunk_ms=first_chunk)
        (written,) = self.do(self.writer._write([record, record]))[:1]
        if not written.is_first:
            return
        job = self.model[intent.job_id]
        is_delivered = status is CallStatus.SUCCEEDED or (status is CallStatus.CANCELLED and begun)
        job.delivered += is_delivered
        if is_delivered or status is CallStatus.LOST:
            job.tokens += usage.total_tokens
            job.price += -(-cost * (10_000 + intent.markup) // 10_000)

    @rule(intent=calls)
    def withdraw_call(self, intent: Intent) -> None:
        self.do(self.writer._write([Withdrawal(intent)]))

    @rule(job_id=jobs, status=st.sampled_from([JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED]))
    def close(self, job_id: JobId, status: JobStatus) -> None:
        job = self.model[job_id]
        open_calls = self.do(self.services.jobs.get(ADMIN, job_id)).calls_open
        if open_calls:
            return  # completing waits for them
        try:
            done = self.do(self.services.jobs.complete(Principal(TeamId(job.team)), job_id, Closing(status)))
        except JobClosed:
            assert job.charged is not None
            return
        if job.charged is None:
            job.charged = job.bill() if status is JobStatus.COMPLETED else 0
        assert done.job.credits_charged == job.charged

    @rule()
    def let_a_day_pass(self) -> None:
        self.services.clock.move(timedelta(hours=25))
        self.do(self.services.jobs.expire_due())
        for job_id, job in self.model.items():
            if self.do(self.services.jobs.get(ADMIN, job_id)).status == JobStatus.EXPIRED:
                job.charged = 0

    @rule(team=st.sampled_from(list(PLANS)), amount=st.integers(-30, 30).filter(bool))
    def give_or_take(self, team: str, amount: int) -> None:
        try:
            self.do(self.services.credits.adjust(ADMIN, TeamId(team), amount, reason="any"))
        except InsufficientCredits as refusal:
            self.expect(refusal.available < -amount)

    @rule(job_id=jobs, amount=st.integers(1, 10))
    def refund(self, job_id: JobId, amount: int) -> None:
        job = self.model[job_id]
        try:
            self.do(
                self.services.administration.refunds.refund(
                    ADMIN, TeamId(job.team), job_id, amount, reason="any", force=True
                )
            )
        except Conflict:
            return
        self.refunded[job.team] += amount

    @invariant()
    def the_ledger_is_exact(self) -> None:
        if not hasattr(self, "db"):
            return
        assert self.do(find_inconsistencies(self.db)) == []
        for team in PLANS:
            balance = self.do(self.services.credits.balance(ADMIN, TeamId(team)))
            charged = sum(job.charged or 0 for job in self.model.values() if job.team == team)
            assert balance.used == charged - self.refunded[team]
            assert balance.available >= 0, "a team spent what it did not have"

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.do(self.db.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)


class TestAnyHistory(AnyHistory.TestCase):  # type: ignore[misc,valid-type]  # made by Hypothesis
    settings = settings(
        max_examples=20,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),  # explaining would trace every line
    )
