"""What a client of a stream relies on: pieces at once, one model, usage at the end, `[DONE]` only when it is billed."""

import asyncio
import json

import psycopg
import pytest

from control_plane.settings import Settings
from tests.calls.sse import only_call, streaming
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.provider_plans import COMPLETION_TOKENS, PROMPT_TOKENS, WEATHER_ARGUMENTS, WORDS
from tests.support.server import COST_USD, Team, new_team, serving

USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}


async def test_pieces_arrive_while_the_model_still_talks(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as stream:
        assert await stream.pieces(3) == "one two three"
        assert provider.seen("hold")[0].chunks_sent == 3
        provider.release("hold")
        await stream.rest()
    assert stream.text == "".join(WORDS)
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    *pieces, last = stream.events
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": "one"}
    assert all(piece["choices"][0]["finish_reason"] is None and "usage" not in piece for piece in pieces)
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert last["usage"] == USAGE
    assert {event["model"] for event in stream.events} == {"model-hold"}


REFUSED_FIRST = {
    "e500": (500, "llm_call_failed"),
    "e429": (429, "provider_rate_limited"),
    "context": (400, "context_length_exceeded"),
    "rolebreak": (500, "llm_call_failed"),
    "garbage": (500, "llm_call_failed"),
}
"""What a failure before the first piece becomes, by the provider's behaviour."""


@pytest.mark.parametrize("alone", [False, True], ids=["in a job", "alone"])
async def test_a_failure_before_the_first_piece_is_a_status_and_costs_nothing(team: Team, alone: bool) -> None:
    job_id = None if alone else await team.create_job()
    for behaviour, refusal in REFUSED_FIRST.items():
        async with streaming(team, job_id, behaviour) as stream:
            answer = stream.response
        assert (answer.status_code, answer.json()["error"]["code"]) == refusal
    if job_id is not None:
        assert (await team.complete(job_id)).json()["costs"]["credits_charged"] == 0
    books = await Books.of(team)
    books.check()
    assert {(call["status"], call["cost_usd"]) for call in books.calls} == {("failed", 0)}
    assert sorted(call["error"] for call in books.calls) == sorted(code for _, code in REFUSED_FIRST.values())
    assert books.credits["credits_available"] == 100


async def test_usage_is_counted_when_the_provider_sends_none(team: Team) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "nousage") as stream:
        *_, last = await stream.rest()
    assert last["usage"]["completion_tokens"] == COMPLETION_TOKENS
    assert last["usage"]["prompt_tokens"] > 0
    call = await only_call(team, job_id)
    assert call["estimated"]
    assert call["completion_tokens"] == last["usage"]["completion_tokens"]
    assert call["cost_usd"] > 0


@pytest.mark.parametrize("alone", [False, True], ids=["in a job", "alone"])
async def test_at_done_the_call_is_billed_already(team: Team, alone: bool) -> None:
    job_id = None if alone else await team.create_job()
    async with streaming(team, job_id) as stream:
        while await stream.next() is not None:
            pass
        books = await Books.of(team)
        (call,) = books.calls
        assert (call["status"], call["cost_usd"], call["estimated"]) == ("succeeded", COST_USD, False)
        if job_id is not None:
            bill = (await team.complete(job_id)).json()["costs"]
            assert (bill["credits_charged"], bill["total_cost_usd"]) == (1, COST_USD)
            books = await Books.of(team)
    books.check()
    assert books.jobs[0]["status"] == "completed"
    assert books.credits["credits_used"] == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_end_waits_for_the_record(team: Team, provider: Provider, postgres_url: str) -> None:
    """Postgres, where a test can keep the record from being written."""
    job_id = await team.create_job()
    async with (
        streaming(team, job_id, "hold") as stream,
        await psycopg.AsyncConnection.connect(postgres_url) as outside,
    ):
        await stream.pieces(3)
        await outside.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
        provider.release("hold")
        await stream.pieces(7)
        ending = asyncio.create_task(stream.next())
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await (await outside.execute("SELECT 1 FROM pg_locks WHERE NOT granted")).fetchone():
                    break
                await asyncio.sleep(0.01)
        assert not ending.done(), "the client was told of an end that is not recorded"
        await outside.rollback()
        assert (await ending or {})["usage"] == USAGE
        assert await stream.next() is None


@pytest.mark.parametrize("behaviour", ["break4", "errchunk", "Breaking"])
@pytest.mark.parametrize("alone", [False, True], ids=["in a job", "alone"])
async def test_a_model_that_breaks_off_is_an_error_event_and_no_other_model_goes_on(
    team: Team, provider: Provider, behaviour: str, alone: bool
) -> None:
    """Another model's text behind the first one's would be nonsense, and both would be paid for."""
    job_id = None if alone else await team.create_job()
    async with streaming(team, job_id, behaviour) as stream:
        assert stream.response.status_code == 200
        assert len((await stream.pieces(3)).split()) == 3
        *more, error = await stream.rest()
    assert all("choices" in piece and "usage" not in piece for piece in more)
    assert error["error"]["code"] == "llm_call_failed"
    assert error["error"].keys() == {"message", "type", "code"}
    assert error["error"]["message"].startswith("The stream broke off after part of the response was delivered")
    assert "no model" not in error["error"]["message"].lower()
    assert provider.count("ok") == 0
    if job_id is not None:
        bill = (await team.complete(job_id)).json()["costs"]
        assert (bill["failed_calls"], bill["total_cost_usd"], bill["credits_charged"]) == (1, 0, 0)
    books = await Books.of(team)
    books.check()
    (call,) = books.calls
    assert (call["status"], call["error"]) == ("failed", "llm_call_failed")
    assert call["cost_usd"] > 0, "what the provider takes for it is shown"
    assert books.jobs[0]["credits_charged"] == 0
    assert books.jobs[0]["error_message"] == ("llm_call_failed" if alone else None)
    assert books.jobs[0]["status"] == ("failed" if alone else "completed")


@pytest.mark.parametrize(("group", "failing"), [("Falling", ["e500"]), ("FallingTwice", ["e500", "e429"])])
async def test_a_fallback_before_the_first_piece_is_invisible(
    team: Team, provider: Provider, group: str, failing: list[str]
) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, group) as stream:
        *_, last = await stream.rest()
    assert stream.text == "".join(WORDS)
    assert last["usage"] == USAGE
    assert {event["model"] for event in stream.events} == {"model-ok"}
    assert [provider.count(model) for model in [*failing, "ok"]] == [1] * (len(failing) + 1)
    call = await only_call(team, job_id)
    assert (call["status"], call["cost_usd"]) == ("succeeded", COST_USD)


async def test_tool_calls_are_streamed(team: Team) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    async with streaming(team, await team.create_job(), "tools", tools=[tool]) as stream:
        *pieces, last = await stream.rest()
    calls = [call for piece in pieces for call in piece["choices"][0]["delta"]["tool_calls"]]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("call_weather", "get_weather")
    arguments = "".join(call["function"].get("arguments") or "" for call in calls)
    assert json.loads(arguments) == json.loads("".join(WEATHER_ARGUMENTS))
    assert last["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_silent_model_does_not_silence_the_connection(settings: Settings, provider: Provider) -> None:
    """Proxies close connections on which nothing comes."""
    quick = settings.model_copy(update={"keep_alive_s": 0.05})
    async with (
        serving(quick) as server,
        new_team(server) as team,
        streaming(team, await team.create_job(), "hold") as stream,
    ):
        await stream.pieces(3)
        await stream.until_comments(3)
        provider.release("hold")
        await stream.rest()
    assert stream.text == "".join(WORDS)


async def test_a_long_answer_is_whole(team: Team) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "long200") as stream:
        *pieces, last = await stream.rest()
    assert len(pieces) == 200
    assert (await only_call(team, job_id))["completion_tokens"] == last["usage"]["completion_tokens"]


async def test_two_streams_of_one_job_are_both_in_its_bill(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as one, streaming(team, job_id, "hold") as two:
        assert (await one.pieces(3), await two.pieces(3)) == ("one two three", "one two three")
        provider.release("hold")
        await asyncio.gather(one.rest(), two.rest())
    assert one.text == two.text == "".join(WORDS)
    bill = (await team.complete(job_id)).json()["costs"]
    assert (bill["successful_calls"], bill["total_cost_usd"]) == (2, 2 * COST_USD)


async def test_a_completion_waits_for_a_running_stream(team: Team, provider: Provider) -> None:
    job_id = await team.create_job()
    async with streaming(team, job_id, "hold") as stream:
        await stream.pieces(3)
        completing = asyncio.create_task(team.complete(job_id))
        await asyncio.wait([completing], timeout=0.2)
        assert not completing.done(), "the job was billed without the call that runs"
        provider.release("hold")
        await stream.rest()
        bill = (await completing).json()["costs"]
    assert (bill["total_calls"], bill["total_cost_usd"]) == (1, COST_USD)


async def test_a_stream_that_goes_on_keeps_its_job_open(settings: Settings, provider: Provider) -> None:
    hasty = settings.model_copy(update={"completion_wait_s": 0.1})
    async with serving(hasty) as server, new_team(server) as team:
        job_id = await team.create_job()
        async with streaming(team, job_id, "hold") as stream:
            await stream.pieces(3)
            refused = await team.complete(job_id)
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "calls_in_flight")
            assert "Retry-After" in refused.headers
            provider.release("hold")
            await stream.rest()
        assert (await team.complete(job_id)).json()["costs"]["successful_calls"] == 1
