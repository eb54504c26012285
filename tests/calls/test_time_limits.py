"""A call that has had all its time is over, and is billed as what it is: cut off, or failed."""

import asyncio

import httpx
import pytest

from control_plane.settings import Settings
from tests.calls.sse import Sse, streaming
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import INPUT_PRICE, OUTPUT_PRICE, Team, call_body, new_team, serving


async def test_a_call_without_end_is_cut_off_and_what_was_delivered_is_billed(
    settings: Settings, provider: Provider
) -> None:
    """In a job and alone; a buffered call delivered nothing, fails and is free."""
    limited = settings.model_copy(update={"call_timeout_s": 1.5})
    async with serving(limited) as server, new_team(server) as team:
        job_id, silent = await team.create_job(), await team.create_job()

        async def cut_off(stream_of: str | None) -> Sse:
            async with streaming(team, stream_of, "hold") as stream:
                await stream.rest()
            return stream

        async def refused(team: Team) -> httpx.Response:
            return await team.http.post(f"/api/jobs/{silent}/llm-call", json=call_body("hold"))

        in_job, alone, buffered = await asyncio.gather(cut_off(job_id), cut_off(None), refused(team))
        await provider.wait_closed("hold", 3)
        for stream in (in_job, alone):
            assert stream.text == "one two three"
            assert stream.events[-1]["error"]["code"] == "call_timeout"
        assert (buffered.status_code, buffered.json()["error"]["code"]) == (504, "call_timeout")
        bill = (await team.complete(job_id)).json()["costs"]
        assert bill["credits_charged"] == 1
        assert (await team.complete(silent)).json()["costs"]["credits_charged"] == 0
        books = await Books.of(team)
        books.check()
        failed = [call for call in books.calls if call["status"] == "failed"]
        assert [(call["error"], call["cost_usd"]) for call in failed] == [("call_timeout", 0)]
        streams = [call for call in books.calls if call["status"] == "cancelled"]
        assert len(streams) == 2
        for call in streams:
            assert (call["error"], call["completion_tokens"]) == ("call_timeout", 3)
            assert call["cost_usd"] == pytest.approx(call["prompt_tokens"] * INPUT_PRICE + 3 * OUTPUT_PRICE)
        assert {job["status"] for job in books.jobs} == {"completed"}
        assert books.credits["credits_used"] == 2
