"""The typed client: jobs as blocks, typed errors, and retries that do nothing twice."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import BaseModel

from control_plane.client import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    InsufficientCredits,
    NotFound,
    OutputInvalid,
    PermissionDenied,
    RateLimited,
    SaaSLLMClient,
    ServerFailed,
    StatusError,
    StreamFailed,
    Unauthorized,
)
from tests.acceptance.sdks.dropping import dropping
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.server import Server, Team, new_team

HELLO = [{"role": "user", "content": "Hello"}]
TEXT = "".join(WORDS)

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Person(BaseModel):
    name: str
    age: int


@pytest_asyncio.fixture
async def client(server: Server, team: Team) -> AsyncIterator[SaaSLLMClient]:
    async with SaaSLLMClient(server.url, team.id, team.key, max_retries=0) as made:
        yield made


async def test_a_block_is_a_job_that_is_completed(client: SaaSLLMClient, team: Team) -> None:
    async with client.job("report", metadata={"pages": 3}, user_id="ada") as job:
        answer = await job.chat(HELLO, model_group="ok", purpose="first")
        assert answer.response.content == TEXT
        chunks = [chunk async for chunk in job.chat_stream(HELLO, model_group="ok")]
        assert "".join(chunk.text for chunk in chunks) == TEXT
        assert chunks[-1].usage
        assert chunks[-1].usage.total_tokens == 21
        person = await job.structured_output(HELLO, Person, model_group="json")
        assert person == Person(name="John Smith", age=35)
    assert job.bill
    assert (job.bill.costs.successful_calls, job.bill.credits_charged, job.bill.credits_remaining) == (3, 1, 99)
    seen = await client.get_job(job.id)
    assert (seen.status, seen.user_id, seen.metadata) == ("completed", "ada", {"pages": 3})
    (await Books.of(team)).check()


@ONE_DATABASE
async def test_a_block_that_raises_is_a_job_that_failed_and_is_free(client: SaaSLLMClient, team: Team) -> None:
    with pytest.raises(OutputInvalid) as invalid:
        async with client.job("report") as job:
            await job.structured_output(HELLO, Person, model_group="ok")
    assert invalid.value.content == TEXT
    assert (await client.get_job(job.id)).status == "failed"
    assert (await team.credits())["credits_available"] == 100


@ONE_DATABASE
async def test_failures_have_their_classes(client: SaaSLLMClient) -> None:
    failures: dict[str, type[StatusError]] = {
        "e400": BadRequest,
        "Private": PermissionDenied,
        "nothing": NotFound,
        "e429": RateLimited,
        "e500": ServerFailed,
        "e503": ServerFailed,
    }
    job_id = await client.create_job("test")
    for group, kind in failures.items():
        with pytest.raises(kind) as raised:
            await client.chat(job_id, HELLO, model_group=group)
        assert raised.value.request_id
        with pytest.raises(kind):
            _ = [chunk async for chunk in client.chat_stream(job_id, HELLO, model_group=group)]


@ONE_DATABASE
async def test_keys_jobs_and_credits_have_theirs(server: Server, client: SaaSLLMClient) -> None:
    async with SaaSLLMClient(server.url, None, "sk-unknown") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.create_job("test")
    job_id = await client.create_job("test")
    first = await client.complete_job(job_id)
    assert (await client.complete_job(job_id)) == first
    with pytest.raises(Conflict) as closed:
        await client.chat(job_id, HELLO, model_group="ok")
    assert closed.value.code == "job_closed"
    with pytest.raises(NotFound):
        await client.get_job("job_abc")
    async with new_team(server, credits_allocated=0) as poor, SaaSLLMClient(server.url, poor.id, poor.key) as broke:
        with pytest.raises(InsufficientCredits) as refused:
            await broke.create_job("test")
    assert refused.value.facts["credits_needed"] == 1


@ONE_DATABASE
async def test_a_stream_that_breaks_says_so(client: SaaSLLMClient) -> None:
    job_id = await client.create_job("test")
    with pytest.raises(StreamFailed) as broken:
        _ = [chunk async for chunk in client.chat_stream(job_id, HELLO, model_group="break4")]
    assert broken.value.code == "llm_call_failed"


async def test_what_was_lost_on_its_way_is_asked_again_and_done_once(
    server: Server, team: Team, provider: Provider
) -> None:
    async with dropping(server.url, answers=2) as url, SaaSLLMClient(url, team.id, team.key) as client:
        job_id = await client.create_job("test")
        await client.chat(job_id, HELLO, model_group="ok")
        await client.complete_job(job_id)
    assert provider.count("ok") == 1
    books = await Books.of_closed_jobs(team)
    assert (len(books.jobs), books.credits["credits_used"]) == (1, 1)


@ONE_DATABASE
async def test_a_server_that_is_not_there_is_said(team: Team) -> None:
    async with SaaSLLMClient("http://127.0.0.1:1", team.id, team.key, max_retries=1) as client:
        with pytest.raises(ConnectionFailed):
            await client.create_job("test")
