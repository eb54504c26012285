"""Clients built on OpenAI's API, each in a process of its own as an app has it: Node, Vercel AI SDK, LangChain, LiteLLM."""

import json
import sys
from pathlib import Path

import pytest

from tests.acceptance.sdks.programs import CLIENTS_PYTHON, in_node_folder, ran
from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.provider_plans import WORDS
from tests.support.seed_runner import needs
from tests.support.server import Server, Team

HERE = Path(__file__).parent
TEXT = "".join(WORDS)
CITY = {"city": "Paris"}


@needs("node")
async def test_openais_node_sdk_and_vercels_ai_sdk(
    server: Server, team: Team, provider: Provider, tmp_path: Path
) -> None:
    job_id = await team.create_job()
    await team.complete(job_id, "failed")
    program = in_node_folder(tmp_path, (HERE / "clients.mjs").read_text())
    seen = json.loads(await ran("node", str(program), server.url, team.key, job_id))
    assert seen.pop("errors") == {
        "context": [True, "context_length_exceeded"],
        "Private": [True, "model_group_not_allowed"],
        "nothing": [True, "model_not_found"],
        "e429": [True, "provider_rate_limited"],
        "e503": [True, "provider_unavailable"],
        "key": [True, "invalid_api_key"],
        "closed": [True, "job_closed"],
    }
    assert seen == {
        "whole": [TEXT, 21, "1"],
        "streamed": TEXT,
        "usage": 21,
        "tools": '{"city": "Paris"}',
        "response": TEXT,
        "completed": 21,
        "embedding": [0.25, -0.5],
        "models": True,
        "vercel": [TEXT, 21],
        "vercelStreamed": TEXT,
        "vercelUsage": 21,
        "vercelTools": CITY,
        "vercelReasoning": "Let me think.",
        "vercelEmbedding": [0.25, -0.5],
        "vercelObject": "John Smith",
    }
    await provider.wait_closed("hold")
    books = await Books.of_closed_jobs(team)
    succeeded = [job for job in books.jobs if job["credits_charged"]]
    assert len(succeeded) == books.credits["credits_used"] == 13
    books.check()


@pytest.mark.skipif(not CLIENTS_PYTHON.exists(), reason="`make test` installs LangChain")
async def test_langchain(server: Server, team: Team) -> None:
    seen = json.loads(await ran(str(CLIENTS_PYTHON), str(HERE / "langchain_client.py"), server.url, team.key))
    assert seen == {
        "invoke": [TEXT, 21],
        "stream": TEXT,
        "tools": CITY,
        "structured": "John Smith",
        "embeddings": [[0.25, -0.5], [0.25, -0.5]],
    }
    assert (await team.credits())["credits_used"] == 5


async def test_litellm_as_a_client(server: Server, team: Team) -> None:
    seen = json.loads(await ran(sys.executable, str(HERE / "litellm_client.py"), server.url, team.key))
    assert seen == {"litellm": [TEXT, 21], "litellm_stream": TEXT, "litellm_error": 404}
    assert (await team.credits())["credits_used"] == 2
