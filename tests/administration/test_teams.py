"""Teams are made whole or not at all, changed field by field, and deleted only when nothing ever happened."""

import asyncio

import pytest
from sqlalchemy import update

from control_plane.administration.values import KeyTerms, NewTeam, TeamChanges
from control_plane.credits import posting
from control_plane.credits.rules import BudgetMode, ChargeRule, Plan, settle
from control_plane.credits.values import Balance, EntryContext
from control_plane.errors import (
    AdminOnly,
    AlreadyExists,
    Conflict,
    ControlPlaneError,
    InvalidKey,
    JobNotFound,
    ModelGroupNotAllowed,
    ModelGroupNotFound,
    OrganizationNotFound,
    TeamHasHistory,
    TeamNotFound,
    TeamNotOwned,
    TeamSuspended,
)
from control_plane.ids import JobId, OrganizationId, TeamId, new_id
from control_plane.jobs.models import Job
from control_plane.jobs.plans import plan_of
from control_plane.jobs.values import NewJob
from control_plane.model_groups import store as groups_store
from control_plane.storage.database import Database
from control_plane.tenants.models import Organization
from control_plane.tenants.principal import Principal
from control_plane.units import Credits
from tests.support.services import ACME, ADMIN, DomainServices


async def make_organization(services: DomainServices, organization_id: str = "globex") -> OrganizationId:
    row = Organization(id=organization_id, name="Globex", metadata_={"tier": 1}, created_at=services.clock())
    return OrganizationId((await services.administration.create_organization(ADMIN, row)).id)


async def charged_job(services: DomainServices, principal: Principal, *, charged: int) -> JobId:
    """A job as it stands after it was completed and charged."""
    job = await services.jobs.create(principal, NewJob("test"))
    async with services.db.transaction() as tx:
        for movement in settle(Credits(charged), job.credits_held):
            await posting.post(tx, principal.team(), [movement], EntryContext(str(job.id), services.clock(), "test"))
        await tx.execute(update(Job).values(status="completed", credits_charged=charged, credits_held=0))
    return JobId(job.id)


async def test_a_new_team_has_its_credits_groups_and_key(services: DomainServices) -> None:
    organization = await make_organization(services)
    plan = Plan(BudgetMode.CONSUMPTION_USD, 20, 500, ChargeRule.ALL_CALLS_SUCCEEDED)
    made = await services.administration.create_team(
        ADMIN,
        NewTeam(
            ACME,
            organization_id=organization,
            alias="Acme",
            model_groups=["ChatAgent", "ChatAgent"],
            default_model_group="ChatAgent",
            credits_allocated=100,
            plan=plan,
            rpm=7,
            tpm=9,
            metadata={"a": [1]},
            key=KeyTerms(name="first"),
        ),
    )
    assert made.view.balance == Balance(allocated=100, used=0, available=100, held=0)
    assert list(made.view.usable) == ["ChatAgent", "ForAcme"]
    assert made.view.access["ForAcme"].patterns == ("acme*",)
    assert made.view.access["ChatAgent"].is_granted
    assert plan_of(made.view.team, "report") == plan
    principal = await services.principal(made)
    assert (principal.team_id, principal.team_model_group) == (ACME, "ChatAgent")
    assert made.issued.secret.startswith(made.issued.key.prefix)
    assert await services.administration.get_team(principal, ACME) == made.view


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (NewTeam(ACME, organization_id=OrganizationId("nobody"), credits_allocated=5), OrganizationNotFound),
        (NewTeam(ACME, organization_id=OrganizationId("\x00")), OrganizationNotFound),
        (NewTeam(ACME, model_groups=["ChatAgent", "Unknown"], credits_allocated=5), ModelGroupNotFound),
        (NewTeam(ACME, default_model_group="Secret", credits_allocated=5), ModelGroupNotAllowed),
        (NewTeam(ACME, key=KeyTerms(default_model_group="Unknown")), ModelGroupNotFound),
        (NewTeam(ACME, credits_allocated=10**15 + 1), Conflict),
    ],
)
async def test_a_team_that_cannot_be_made_leaves_nothing(
    services: DomainServices, broken: NewTeam, error: type[ControlPlaneError]
) -> None:
    with pytest.raises(error):
        await services.administration.create_team(ADMIN, broken)
    with pytest.raises(TeamNotFound):
        await services.credits.balance(ADMIN, ACME)
    assert (await services.team(credits_allocated=3)).view.balance.available == 3


async def test_of_ten_equal_teams_made_at_once_one_is_made_and_given_credits_once(services: DomainServices) -> None:
    results = await asyncio.gather(*(services.team(credits_allocated=5) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, AlreadyExists) for result in results) == 9
    assert (await services.credits.balance(ADMIN, ACME)).allocated == 5
    assert len(await services.administration.keys.list(ADMIN, ACME)) == 1


async def test_a_change_sets_what_it_names_and_leaves_the_rest(services: DomainServices) -> None:
    made = await services.administration.create_team(ADMIN, NewTeam(ACME, alias="Acme", metadata={"a": 1}))
    changed = await services.administration.change_team(
        ADMIN, ACME, TeamChanges(alias=None, budget_mode=BudgetMode.CONSUMPTION_TOKENS, metadata_={"b": 2})
    )
    assert (changed.team.alias, changed.team.budget_mode) == (None, "consumption_tokens")
    assert (changed.team.metadata_, changed.team.rpm) == ({"b": 2}, made.view.team.rpm)
    assert await services.administration.change_team(ADMIN, ACME, TeamChanges()) == changed
    with pytest.raises(TeamNotFound):
        await services.administration.change_team(ADMIN, TeamId("nobody"), TeamChanges(rpm=1))


async def test_a_default_must_be_something_the_team_may_use(services: DomainServices) -> None:
    made = await services.team()
    change = services.administration.change_team
    with pytest.raises(ModelGroupNotAllowed):
        await change(ADMIN, ACME, TeamChanges(default_model_group="Secret"))
    with pytest.raises(ModelGroupNotFound):
        await change(ADMIN, ACME, TeamChanges(default_model_group="Unknown"))
    await change(ADMIN, ACME, TeamChanges(default_model_group="ForAcme"))
    assert (await services.principal(made)).team_model_group == "ForAcme"
    await change(ADMIN, ACME, TeamChanges(default_model_group=None))
    assert (await services.principal(made)).team_model_group is None


async def test_jobs_that_exist_keep_the_plan_they_were_created_with(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    job = await services.jobs.create(principal, NewJob("test"))
    await services.administration.change_team(ADMIN, ACME, TeamChanges(budget_mode=BudgetMode.CONSUMPTION_USD))
    assert (await services.jobs.get(principal, JobId(job.id))).plan["budget_mode"] == "job_based"
    assert (await services.jobs.create(principal, NewJob("test"))).plan["budget_mode"] == "consumption_usd"


async def test_a_suspended_team_opens_no_job_until_it_is_resumed(services: DomainServices) -> None:
    made = await services.team()
    first = await services.administration.suspend_team(ADMIN, ACME)
    again = await services.administration.suspend_team(ADMIN, ACME)
    assert first.team.suspended_at == again.team.suspended_at == services.clock()
    with pytest.raises(TeamSuspended):
        await services.jobs.create(await services.principal(made), NewJob("test"))
    assert (await services.credits.balance(await services.principal(made), ACME)).held == 0
    await services.administration.resume_team(ADMIN, ACME)
    await services.jobs.create(await services.principal(made), NewJob("test"))


async def test_grants_are_replaced_and_counted_at_once(services: DomainServices) -> None:
    await services.team()
    assert await services.groups.usable(Principal(ACME)) == ["ForAcme"]
    granted = await services.administration.set_model_groups(ADMIN, ACME, ["Secret", "ChatAgent"])
    assert list(granted.usable) == ["ChatAgent", "ForAcme", "Secret"] == await services.groups.usable(Principal(ACME))
    with pytest.raises(ModelGroupNotFound):
        await services.administration.set_model_groups(ADMIN, ACME, ["Unknown"])
    assert len(await services.groups.usable(Principal(ACME))) == 3
    await services.administration.set_model_groups(ADMIN, ACME, [])
    assert await services.groups.usable(Principal(ACME)) == ["ForAcme"]


async def test_two_replacements_at_once_both_succeed(services: DomainServices) -> None:
    await services.team()
    wishes = [["ChatAgent"], ["ChatAgent", "Secret"]] * 5
    await asyncio.gather(*(services.administration.set_model_groups(ADMIN, ACME, wish) for wish in wishes))


async def test_a_grant_for_a_group_the_file_has_lost_is_shown_and_allows_nothing(
    services: DomainServices, db: Database
) -> None:
    await services.team()
    async with db.transaction() as tx:
        await groups_store.replace_grants(tx, ACME, ["Lost"], services.clock())
    view = await services.administration.get_team(ADMIN, ACME)
    assert list(view.access) == ["ForAcme", "Lost"]
    assert list(view.usable) == ["ForAcme"]


async def test_a_team_without_history_is_deleted_with_its_keys_and_can_be_made_again(services: DomainServices) -> None:
    made = await services.team(credits_allocated=100)
    await services.administration.set_model_groups(ADMIN, ACME, ["ChatAgent"])
    await services.administration.delete_team(ADMIN, ACME)
    with pytest.raises(TeamNotFound):
        await services.credits.balance(ADMIN, ACME)
    with pytest.raises(TeamNotFound):
        await services.credits.add(ADMIN, ACME, 5, reason="too late")
    with pytest.raises(InvalidKey):
        await services.principal(made)
    again = await services.team(credits_allocated=7)
    assert again.view.balance == Balance(allocated=7, used=0, available=7, held=0)
    assert list(again.view.usable) == ["ForAcme"]
    kinds = [entry.kind for entry in await services.credits.transactions(ADMIN, ACME, limit=10, before=None)]
    assert kinds == ["grant", "adjustment", "grant"]  # the ledger forgets nothing, also of the team before
    await services.administration.delete_team(ADMIN, ACME)


async def test_a_team_with_a_job_or_a_movement_is_not_deleted(services: DomainServices) -> None:
    await services.team()
    await services.credits.add(ADMIN, ACME, 5, reason="paid")
    with pytest.raises(TeamHasHistory):
        await services.administration.delete_team(ADMIN, ACME)
    principal = await services.principal(await services.team("other"))
    await services.jobs.create(principal, NewJob("test"))
    with pytest.raises(TeamHasHistory):
        await services.administration.delete_team(ADMIN, TeamId("other"))
    assert (await services.credits.balance(principal, TeamId("other"))).remaining == 100


async def test_a_team_deleted_while_jobs_are_created_is_gone_or_stays_whole(services: DomainServices) -> None:
    for number in range(5):
        made = await services.team(f"team-{number}", credits_allocated=10)
        principal = await services.principal(made)
        team_id = TeamId(made.view.team.id)
        deleted, *created = await asyncio.gather(
            services.administration.delete_team(ADMIN, team_id),
            *(services.jobs.create(principal, NewJob("test")) for _ in range(4)),
            return_exceptions=True,
        )
        jobs = sum(isinstance(result, Job) for result in created)
        assert all(isinstance(result, Job | ControlPlaneError) for result in created)
        if deleted is None:
            assert jobs == 0
        else:
            assert isinstance(deleted, TeamHasHistory)
            assert (await services.credits.balance(ADMIN, team_id)).held == jobs > 0


async def test_a_job_is_refunded_once_and_at_most_what_it_was_charged(services: DomainServices) -> None:
    principal = await services.principal(await services.team(credits_allocated=10))
    await services.team("other")
    job_id = await charged_job(services, principal, charged=4)
    refund = services.administration.refunds.refund
    with pytest.raises(Conflict):
        await refund(ADMIN, ACME, job_id, 5, reason="too much")
    for team_id, unknown in ((TeamId("other"), job_id), (ACME, JobId(new_id()))):
        with pytest.raises(JobNotFound):
            await refund(ADMIN, team_id, unknown, 1, reason="whose")
    with pytest.raises(AdminOnly):
        await refund(principal, ACME, job_id, 1, reason="for me")
    results = await asyncio.gather(
        *(refund(ADMIN, ACME, job_id, 3, reason="sorry") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, AlreadyExists) for result in results) == 4
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=10, used=1, available=9, held=0)
    newest = (await services.credits.transactions(ADMIN, ACME, limit=1, before=None))[0]
    assert (newest.kind, newest.ref) == ("refund", str(job_id))


async def test_forced_refunds_at_once_never_give_back_more_than_the_charge(services: DomainServices) -> None:
    principal = await services.principal(await services.team(credits_allocated=10))
    job_id = await charged_job(services, principal, charged=4)
    refund = services.administration.refunds.refund
    results = await asyncio.gather(
        *(refund(ADMIN, ACME, job_id, 1, reason="sorry", force=True) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Balance) for result in results) == 4
    assert sum(isinstance(result, Conflict) for result in results) == 4
    assert await services.credits.balance(ADMIN, ACME) == Balance(allocated=10, used=0, available=10, held=0)


async def test_a_refund_taken_up_again_happens_once_also_by_force(services: DomainServices) -> None:
    """A forced refund may be repeated, so only its own id says that it has happened: its server died, its client asks again."""
    principal = await services.principal(await services.team(credits_allocated=10))
    job_id = await charged_job(services, principal, charged=4)
    refund = services.administration.refunds.refund
    for ref, used in ((new_id(), 3), (new_id(), 2)):
        balances = await asyncio.gather(
            *(refund(ADMIN, ACME, job_id, 1, reason="sorry", force=True, ref=ref) for _ in range(3))
        )
        assert {balance.used for balance in balances} == {used}
    assert (await services.credits.balance(ADMIN, ACME)).used == 2


async def test_an_organization_has_its_teams_and_their_usage(services: DomainServices) -> None:
    organization = await make_organization(services)
    with pytest.raises(AlreadyExists):
        await make_organization(services)
    for name in ("b", "a"):
        await services.administration.create_team(
            ADMIN, NewTeam(TeamId(name), organization_id=organization, credits_allocated=5)
        )
    stranger = await services.principal(await services.team("stranger"))
    await services.jobs.create(stranger, NewJob("other"))
    views = await services.administration.list_teams(ADMIN, limit=10, offset=0, organization_id=organization)
    assert [view.team.id for view in views] == ["a", "b"]
    assert len(await services.administration.list_teams(ADMIN, limit=10, offset=0)) == 3
    now = services.clock()
    month = (now.replace(day=1, hour=0), now.replace(month=4, day=1, hour=0))
    assert await services.administration.organization_usage(ADMIN, organization, *month) == []
    await services.jobs.create(Principal(TeamId("a"), key_id=None), NewJob("mail"))
    used = await services.administration.organization_usage(ADMIN, organization, *month)
    assert [(row.job_type, row.jobs) for row in used] == [("mail", 1)]
    with pytest.raises(OrganizationNotFound):
        await services.administration.organization_usage(ADMIN, OrganizationId("nobody"), *month)


async def test_a_team_reads_its_own_team_and_administers_nothing(services: DomainServices) -> None:
    principal = await services.principal(await services.team())
    await services.team("other")
    administration = services.administration
    with pytest.raises(TeamNotOwned):
        await administration.get_team(principal, TeamId("other"))
    with pytest.raises(TeamNotOwned):
        await administration.get_team(principal, TeamId("nobody"))
    refused = (
        administration.create_team(principal, NewTeam(TeamId("mine"))),
        administration.list_teams(principal, limit=1, offset=0),
        administration.list_organizations(principal, limit=1, offset=0),
        administration.get_organization(principal, OrganizationId("globex")),
        administration.change_team(principal, ACME, TeamChanges(rpm=10**6)),
        administration.suspend_team(principal, ACME),
        administration.resume_team(principal, ACME),
        administration.set_model_groups(principal, ACME, ["Secret"]),
        administration.delete_team(principal, ACME),
        administration.keys.create(principal, ACME, KeyTerms()),
        administration.keys.list(principal, ACME),
    )
    for attempt in refused:
        with pytest.raises(AdminOnly):
            await attempt
