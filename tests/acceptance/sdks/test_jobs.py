"""Calls of an SDK are a job's, on every database: they join it, complete it, are left, and come many at once."""

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import COST_USD, Team

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "".join(WORDS)


async def test_a_completion_is_a_job_of_one_call(client: openai.AsyncOpenAI, team: Team) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="ok", messages=HELLO, user="ada", extra_headers={"X-Job-Type": "greeting"}
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 10)
    assert answer.usage.model_extra == {"cost_usd": COST_USD}
    assert raw.headers["X-Credits-Charged"] == "1"
    assert raw.headers["X-Credits-Remaining"] == "99"
    assert float(raw.headers["X-Call-Cost-Usd"]) == COST_USD
    assert answer.id == f"chatcmpl-{raw.headers['X-Call-Id']}"
    job = (await team.http.get(f"/api/jobs/{raw.headers['X-Job-Id']}")).json()
    assert (job["job_type"], job["user_id"], job["status"]) == ("greeting", "ada", "completed")
    (await Books.of(team)).check()


async def test_calls_join_a_job_and_the_last_completes_it(client: openai.AsyncOpenAI, team: Team) -> None:
    job_id = await team.create_job()
    await client.chat.completions.create(model="ok", messages=HELLO, metadata={"job_id": job_id, "step": "one"})
    await client.embeddings.create(model="ok", input="hello", extra_headers={"X-Job-Id": job_id})
    raw = await client.chat.completions.with_raw_response.create(
        model="ok", messages=HELLO, extra_headers={"X-Job-Id": job_id, "X-Job-Complete": "true"}
    )
    assert raw.headers["X-Credits-Charged"] == "1"
    job = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["status"], job["credits_charged"]) == ("completed", 1)
    assert len((await team.costs(job_id))["breakdown"]) == 3
    with pytest.raises(openai.ConflictError) as closed:
        await client.with_options(max_retries=2).chat.completions.create(
            model="ok", messages=HELLO, extra_headers={"X-Job-Id": job_id}
        )
    assert closed.value.code == "job_closed"
    assert closed.value.response.headers["x-should-retry"] == "false"


async def test_a_stream_that_breaks_raises_and_is_free(client: openai.AsyncOpenAI, team: Team) -> None:
    async def read() -> None:
        stream = await client.chat.completions.create(model="break4", messages=HELLO, stream=True)
        assert [chunk async for chunk in stream] == []

    with pytest.raises(openai.APIError) as broken:
        await read()
    assert broken.value.code == "llm_call_failed"
    assert (await team.credits())["credits_used"] == 0


async def test_a_stream_that_is_left_closes_the_provider_and_is_paid(
    client: openai.AsyncOpenAI, team: Team, provider: Provider
) -> None:
    stream = await client.chat.completions.create(model="hold", messages=HELLO, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await provider.wait_closed("hold")
    books = await Books.of_closed_jobs(team)
    assert books.credits["credits_used"] == 1
    books.check()


async def test_many_at_once_are_all_answered_and_charged(client: openai.AsyncOpenAI, team: Team) -> None:
    await asyncio.gather(*(client.chat.completions.create(model="ok", messages=HELLO) for _ in range(10)))
    assert (await team.credits())["credits_used"] == 10
