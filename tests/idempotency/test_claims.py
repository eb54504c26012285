"""Who may do a keyed request, keep its answer and get it: one process at a time, and one virtual key."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from control_plane.calls.writer import CallWriter
from control_plane.errors import IdempotencyInFlight
from control_plane.idempotency import store
from control_plane.idempotency.service import Claim, IdempotencyService, StoredResponse, Undone
from control_plane.ids import new_id
from control_plane.replicas.lease import LEASE, Lease
from control_plane.storage.database import Database
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, Server, Team, call_body
from tests.support.services import DomainServices, Watch


@dataclass
class Time:
    """Passes for both processes: leases are measured by the database's clock, which on SQLite is the process' own."""

    db: Database
    clock: Watch

    async def pass_by(self, time: timedelta) -> None:
        self.clock.move(time)
        if not self.db.is_sqlite:
            async with self.db.transaction() as tx:
                seconds = time.total_seconds()
                await tx.execute(text(f"UPDATE workers SET seen_at = seen_at - interval '{seconds} s'"))


async def two_processes(db: Database) -> tuple[IdempotencyService, IdempotencyService, Time]:
    """Both alive now; only the second says so from here on."""
    clock = Watch()
    workers = new_id(), new_id()
    leases = [Lease(db, worker, clock=clock) for worker in workers]
    for lease in leases:
        await lease.start()
    await leases[0].announce("1")  # on SQLite the second takes it for dead
    first, second = (IdempotencyService(db, worker, clock=clock) for worker in workers)
    return first, second, Time(db, clock)


async def test_a_key_that_a_frozen_process_holds_keeps_nobodys_batch_waiting(postgres_url: str) -> None:
    db, elsewhere = Database(postgres_url, answer_timeout_s=10 * PATIENCE_S), Database(postgres_url)
    services = DomainServices.on(db)
    writer = CallWriter(db, new_id(), clock=services.clock)
    keys = IdempotencyService(db, new_id(), clock=services.clock, writer=writer)
    writing = asyncio.create_task(writer.run())
    made = await keys.claim("team:a", "made", "f")
    assert isinstance(made, Claim)
    async with elsewhere.transaction() as tx:
        for key in ("k", "made"):
            assert await store.lock(tx, "team:a", key, waits=False)
        async with asyncio.timeout(PATIENCE_S):  # nobody waits for a lock, which would take ten times as long
            with pytest.raises(IdempotencyInFlight):
                await keys.claim("team:a", "k", "f")
            answering = asyncio.create_task(keys.settle(made, StoredResponse(200, {}, b"made")))
            assert isinstance(await keys.claim("team:a", "another", "f"), Claim)
        assert not answering.done(), "it waits by itself"
    await answering
    assert await keys.claim("team:a", "made", "f") == StoredResponse(200, {}, b"made")
    assert isinstance(await keys.claim("team:a", "k", "f"), Claim)
    writing.cancel()
    await db.aclose()
    await elsewhere.aclose()


@pytest.mark.parametrize("outcome", [StoredResponse(200, {}, b"stale"), Undone.UNKNOWN, Undone.NOTHING])
async def test_a_process_that_was_cut_off_changes_nothing_of_its_successors(
    db: Database, outcome: StoredResponse | Undone
) -> None:
    """Else its client's repetitions get the stale answer for ever, or the request is done a third time."""
    cut_off, successor, time = await two_processes(db)
    stale = await cut_off.claim("team:a", "k", "f")
    await time.pass_by(LEASE)
    claim = await successor.claim("team:a", "k", "f")
    assert isinstance(stale, Claim)
    assert isinstance(claim, Claim)
    assert (claim.is_superseded, claim.subject_id) == (True, stale.subject_id)
    await cut_off.settle(stale, outcome)  # while the successor is at it
    await successor.settle(claim, StoredResponse(200, {}, b"right"))
    await cut_off.settle(stale, outcome)  # and behind it
    assert await successor.claim("team:a", "k", "f") == StoredResponse(200, {}, b"right")


async def test_a_repetition_is_told_when_the_key_of_a_killed_process_is_free(db: Database) -> None:
    first, second, time = await two_processes(db)
    await first.claim("team:a", "k", "f")
    with pytest.raises(IdempotencyInFlight) as running:
        await second.claim("team:a", "k", "f")
    assert running.value.retry_after_s == 1, "it has just said that it lives"
    await time.pass_by(timedelta(seconds=20))
    with pytest.raises(IdempotencyInFlight) as silent:
        await second.claim("team:a", "k", "f")
    assert silent.value.retry_after_s is not None
    assert LEASE.total_seconds() - 30 < silent.value.retry_after_s <= LEASE.total_seconds() - 20, (
        "and not a moment longer"
    )
    await time.pass_by(timedelta(seconds=silent.value.retry_after_s))
    assert isinstance(await second.claim("team:a", "k", "f"), Claim)


@pytest.mark.parametrize("outcome", [Undone.NOTHING, Undone.UNKNOWN])
async def test_a_request_taken_up_again_in_vain_is_left_as_it_was_found(db: Database, outcome: Undone) -> None:
    """Else a refusal in between forgets what the dead process had charged, and the next one is charged again."""
    first, second, time = await two_processes(db)
    made = await first.claim("team:a", "k", "f")
    await time.pass_by(LEASE)
    for _ in range(2):
        taken = await second.claim("team:a", "k", "f")
        assert isinstance(made, Claim)
        assert isinstance(taken, Claim)
        assert (taken.is_superseded, taken.subject_id) == (True, made.subject_id)
        await second.settle(taken, outcome)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_another_virtual_key_gets_no_answer_of_this_one(server: Server, team: Team, provider: Provider) -> None:
    """A key limited to other model groups would read what it may not ask."""
    body, headers = {"job_type": "a", **call_body("ok")}, {"Idempotency-Key": "k"}
    path = "/api/jobs/create-and-call"
    assert (await team.http.post(path, json=body, headers=headers)).status_code == 200
    made = await team.admin.post(f"/api/teams/{team.id}/keys", json={"name": "less", "model_groups": ["json"]})
    async with server.client(made.json()["virtual_key"]) as limited:
        refused = await limited.post(path, json=body, headers=headers)
    assert refused.json()["error"]["code"] == "model_group_not_allowed"
    assert provider.count("ok") == 1
    # and what a key may not use any more it does not get again either
    async with server.client(MASTER_KEY) as admin:
        await admin.put(f"/api/teams/{team.id}/suspend")
    again = await team.http.post(path, json=body, headers=headers)
    assert again.json()["error"]["code"] == "team_suspended"
