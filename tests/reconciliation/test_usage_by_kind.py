"""Tokens by kind, and what providers reported as wrong: as recorded, at /costs and in the bill, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from control_plane.calls.writer import CallWriter
from control_plane.chat import SpendReport
from control_plane.completion.events import ProviderFault
from control_plane.completion.usage import Usage
from control_plane.ids import CallId, JobId, TeamId, new_id
from control_plane.jobs import calls_store
from control_plane.jobs.models import Call
from control_plane.jobs.rules import CallStatus, Intent, Record
from control_plane.jobs.undelivered import record_of
from control_plane.settings import Settings
from control_plane.storage.database import Database
from control_plane.storage.usage_columns import MAX_COUNT, MAX_TIER
from control_plane.units import NanoUsd
from tests.support.server import MASTER_KEY, Server, Team, new_team, serving

ALL_KINDS = Usage(
    prompt_tokens=100,
    completion_tokens=50,
    cached_tokens=40,
    cache_write_tokens=30,
    cache_write_1h_tokens=20,
    reasoning_tokens=25,
    audio_input_tokens=6,
    audio_output_tokens=7,
    image_input_tokens=8,
    image_output_tokens=9,
    units=3,
    service_tier="priority",
)
SHOWN: dict[str, Any] = {
    "input_fresh_tokens": 30,
    "cache_read_tokens": 40,
    "cache_write_5m_tokens": 10,
    "cache_write_1h_tokens": 20,
    "output_tokens": 50,
    "reasoning_tokens": 25,
    "audio_input_tokens": 6,
    "audio_output_tokens": 7,
    "image_input_tokens": 8,
    "image_output_tokens": 9,
    "units": 3,
}
NOTHING = dict.fromkeys(SHOWN, 0)
FAULT = ProviderFault(
    401,
    code="invalid_api_key",
    type="authentication_error",
    param="messages[0]",
    text="Incorrect API key provided: sk-prov-123456.",
)
FAULT_SHOWN = {"status": 401, "code": "invalid_api_key", "type": "authentication_error", "param": "messages[0]"}


@asynccontextmanager
async def writing(db: Database, **more: Any) -> AsyncIterator[CallWriter]:
    writer = CallWriter(db, new_id(), clock=lambda: datetime.now(UTC), **more)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
        await writer.drain()
    finally:
        task.cancel()


async def recorded(writer: CallWriter, team: Team, job_id: str, **how: Any) -> Intent:
    """A call of the job that ended so."""
    now = datetime.now(UTC)
    intent = Intent(CallId(new_id()), JobId(UUID(job_id)), TeamId(team.id), "ok", False, None, {}, now)
    opened = (await writer.open(intent)).intent
    ended = Record(opened, CallStatus.SUCCEEDED, ALL_KINDS, NanoUsd(7), 5, now)
    await writer.finish(replace(ended, **how))
    return opened


async def call_of(db: Database, intent: Intent) -> Call:
    async with db.transaction() as tx:
        call = await calls_store.find(tx, intent.call_id)
    assert call is not None
    return call


async def test_each_kind_is_at_costs_and_in_the_bill_of_what_is_billed(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    async with writing(server.services.db) as writer:
        await recorded(writer, team, job_id)
        await recorded(writer, team, job_id, usage=replace(ALL_KINDS, cached_tokens=0, service_tier=None))
        await recorded(writer, team, job_id, usage=Usage(5, 6))
        await recorded(writer, team, job_id, status=CallStatus.FAILED)
    costs = await team.costs(job_id)
    shown = [call["usage"] for call in costs["breakdown"]]
    assert shown == [
        {**SHOWN, "service_tier": "priority"},
        {**SHOWN, "input_fresh_tokens": 70, "cache_read_tokens": 0, "service_tier": None},
        {**NOTHING, "input_fresh_tokens": 5, "output_tokens": 6, "service_tier": None},
        {**SHOWN, "service_tier": "priority"},
    ]
    answer = await team.complete(job_id)
    bill = answer.json()["costs"]
    assert bill["usage"] == {name: sum(call[name] for call in shown[:3]) for name in SHOWN}
    assert bill["total_tokens"] == 150 + 150 + 11
    assert (await team.complete(job_id)).content == answer.content


async def test_an_open_call_has_used_nothing_by_kind(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    now = datetime.now(UTC)
    intent = Intent(CallId(new_id()), JobId(UUID(job_id)), TeamId(team.id), "ok", False, None, {}, now)
    async with writing(server.services.db) as writer:
        await writer.open(intent)
        (call,) = (await team.costs(job_id))["breakdown"]
        await writer.finish(Record(intent, CallStatus.FAILED, Usage(), NanoUsd(0), 5, now))
    assert call["usage"] == {**NOTHING, "service_tier": None}
    assert call["provider_error"] is None


async def test_what_litellm_reports_of_an_attempt_is_beside_it_by_kind(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    now = datetime.now(UTC)
    async with writing(server.services.db) as writer:
        intent = await recorded(writer, team, job_id)
        reported = replace(ALL_KINDS, reasoning_tokens=24)
        writer.report(
            SpendReport(
                call_id=intent.call_id,
                request_id="x",
                status="success",
                model="m",
                model_group="ok",
                deployment_id="ok-1",
                provider="openai",
                cost=NanoUsd(7),
                usage=reported,
                started_at=now,
                ended_at=now,
                is_cached=False,
                error_class=None,
            )
        )
    (call,) = (await team.costs(job_id))["breakdown"]
    (log,) = call["spend_logs"]
    assert log["usage"] == {**SHOWN, "reasoning_tokens": 24, "service_tier": "priority"}
    assert (log["prompt_tokens"], log["completion_tokens"]) == (100, 50)


async def test_a_providers_absurd_detail_does_not_fail_a_call_that_was_answered(server: Server, team: Team) -> None:
    """The totals are sane and are what is billed; the detail is cut to what the database takes."""
    job_id = await team.create_job()
    absurd = replace(ALL_KINDS, cached_tokens=2**70, reasoning_tokens=-5, service_tier="a\x00b\ud800" + "x" * 10_000)
    async with writing(server.services.db) as writer:
        intent = await recorded(writer, team, job_id, usage=absurd)
    call = await call_of(server.services.db, intent)
    assert (call.status, call.prompt_tokens, call.cached_tokens, call.reasoning_tokens) == (
        "succeeded",
        100,
        MAX_COUNT,
        0,
    )
    assert call.service_tier is not None
    assert call.service_tier.startswith("a b?x")
    assert len(call.service_tier) == MAX_TIER


async def test_a_call_that_is_taken_back_keeps_what_it_used_and_what_its_provider_reported(
    server: Server, team: Team
) -> None:
    """Asked for again after its server died, it counts nothing any more; its cost and tokens stay visible."""
    db = server.services.db
    job_id = await team.create_job()
    async with writing(db, keeps_provider_text=True) as writer:
        intent = await recorded(writer, team, job_id, fault=FAULT)
    before = record_of(await call_of(db, intent))
    assert before.usage == ALL_KINDS
    async with db.transaction() as tx:
        await calls_store.correct(tx, before, replace(before, status=CallStatus.FAILED))
    after = record_of(await call_of(db, intent))
    assert after.status is CallStatus.FAILED
    assert (after.usage, after.fault) == (before.usage, before.fault)
    assert (await team.complete(job_id, "failed")).json()["costs"]["usage"] == NOTHING


async def test_the_providers_words_are_at_costs_and_its_text_is_not_even_kept(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    async with writing(server.services.db) as writer:
        failed = await recorded(writer, team, job_id, status=CallStatus.FAILED, fault=FAULT)
        await recorded(writer, team, job_id)
    async with server.client(MASTER_KEY) as admin:
        by_admin = (await admin.get(f"/api/jobs/{job_id}/costs")).json()["costs"]["breakdown"]
    for breakdown in ((await team.costs(job_id))["breakdown"], by_admin):
        assert [call["provider_error"] for call in breakdown] == [FAULT_SHOWN, None]
    assert (await call_of(server.services.db, failed)).provider_text is None


async def test_with_the_setting_administrators_alone_read_the_text_and_no_key_in_it(settings: Settings) -> None:
    kept = settings.model_copy(update={"keep_provider_error_text": True})
    async with serving(kept) as server, new_team(server) as team, server.client(MASTER_KEY) as admin:
        job_id = await team.create_job()
        async with writing(server.services.db, keeps_provider_text=True) as writer:
            failed = await recorded(writer, team, job_id, status=CallStatus.FAILED, fault=FAULT)
        (by_team,) = (await team.costs(job_id))["breakdown"]
        (by_admin,) = (await admin.get(f"/api/jobs/{job_id}/costs")).json()["costs"]["breakdown"]
        assert by_team["provider_error"] == FAULT_SHOWN
        assert by_admin["provider_error"] == {**FAULT_SHOWN, "text": "Incorrect API key provided: [redacted]"}
        assert "sk-prov" not in str(await call_of(server.services.db, failed))
    async with serving(settings) as server, server.client(MASTER_KEY) as admin:  # switched off, it is not shown either
        (call,) = (await admin.get(f"/api/jobs/{job_id}/costs")).json()["costs"]["breakdown"]
        assert call["provider_error"] == FAULT_SHOWN


async def test_a_fault_of_any_length_and_kind_can_be_recorded(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    wild = ProviderFault(10**12, code="a\x00\ud800", type="t " * 10_000, param="", text="x\x00 " * 10_000)
    async with writing(server.services.db, keeps_provider_text=True) as writer:
        intent = await recorded(writer, team, job_id, status=CallStatus.FAILED, fault=wild)
    call = await call_of(server.services.db, intent)
    assert (call.provider_status, call.provider_code, call.provider_param) == (500, "a ?", None)
    assert (len(call.provider_type or ""), len(call.provider_text or "")) == (200, 1000)


async def test_a_call_says_what_it_used_by_kind(team: Team) -> None:
    job_id = await team.create_job()
    answer = (await team.call(job_id, "cached")).json()
    (call,) = (await team.costs(job_id))["breakdown"]
    bill = (await team.complete(job_id)).json()["costs"]
    expected = {**NOTHING, "input_fresh_tokens": 3, "cache_read_tokens": 8, "output_tokens": 10}
    assert answer["metadata"]["usage"] == call["usage"] == {**expected, "service_tier": None}
    assert bill["usage"] == expected
