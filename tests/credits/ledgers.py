"""A ledger on a bare database: moved by hand, and audited."""

from control_plane.administration.ledger_verification import Findings, LedgerVerifier
from control_plane.credits import posting
from control_plane.credits.rules import Movement
from control_plane.credits.values import Balance, EntryContext
from tests.support.services import ACME, DomainServices

JOBS_OF_TESTS = "jobs."
"""Movements made by hand belong to no job, which is all an audit may find."""


async def post(services: DomainServices, movement: Movement, ref: str) -> Balance:
    async with services.db.transaction() as tx:
        return await posting.post(tx, ACME, [movement], EntryContext(ref, services.clock(), "test"))


async def audit(services: DomainServices) -> Findings:
    return await LedgerVerifier(services.db).run()


async def check_ledger(services: DomainServices) -> None:
    """Chain, balance and grants fit together."""
    discrepancies = (await audit(services)).discrepancies
    assert all(misfit.what.startswith(JOBS_OF_TESTS) for misfit in discrepancies), discrepancies
