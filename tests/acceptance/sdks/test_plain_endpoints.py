"""Rerank and moderation: what answers at once is a job's call like any other, held, recorded and billed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest_asyncio

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import Server, Team, config_for, new_team, serving, settings_for, write_config

SEARCH_USD = 0.002


@pytest_asyncio.fixture
async def server(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Server]:
    """With a deployment that reranks, one that moderates and is free, and one that fails at it."""
    config = config_for(provider)
    for name, model, behaviour, info in (
        ("Reranker", "cohere/rerank-v3.5", "ok", {"input_cost_per_query": SEARCH_USD, "mode": "rerank"}),
        ("Moderator", "openai/omni-moderation-latest", "ok", {"input_cost_per_token": 0, "output_cost_per_token": 0}),
        ("Failing", "cohere/rerank-v3.5", "e503", {"input_cost_per_query": SEARCH_USD, "mode": "rerank"}),
    ):
        url = provider.url(behaviour)
        params = {
            "model": model,
            "api_base": url if name == "Moderator" else url.removesuffix("/v1"),
            "api_key": "sk-provider-secret",
        }
        config["model_list"].append({"model_name": name, "litellm_params": params, "model_info": {"id": name, **info}})
        config["model_groups"][name] = {"models": [name], "teams": ["*"]}
    async with serving(settings_for(database_url, write_config(tmp_path, config))) as running:
        yield running


async def test_documents_are_reranked_for_the_price_of_a_search(server: Server, provider: Provider) -> None:
    async with new_team(server, budget_mode="consumption_usd", credits_per_dollar=1000) as team:
        body = {"model": "Reranker", "query": "what?", "documents": ["a", "b", "c"], "top_n": 2}
        answer = await team.http.post("/v1/rerank", json=body)
        assert answer.status_code == 200, answer.text
        assert [result["index"] for result in answer.json()["results"]] == [2, 1]
        assert provider.seen("ok")[0].body["top_n"] == 2
        assert float(answer.headers["X-Call-Cost-Usd"]) == SEARCH_USD
        assert answer.headers["X-Credits-Charged"] == "2"
        books = await Books.of(team)
        assert books.jobs[0]["job_type"] == "rerank"
        assert [entry["kind"] for entry in books.ledger if entry["held_delta"] > 0] == ["hold", "hold"]
        books.check()


async def test_a_rerank_that_fails_is_free(server: Server, team: Team) -> None:
    answer = await team.http.post("/v1/rerank", json={"model": "Failing", "query": "what?", "documents": ["a"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_unavailable")
    assert (await team.credits())["credits_available"] == 100


async def test_texts_are_moderated(server: Server, team: Team, client: openai.AsyncOpenAI) -> None:
    answer = await client.moderations.create(model="Moderator", input=["a", "b"])
    assert [result.flagged for result in answer.results] == [True, True]
    categories, scores = answer.results[0].categories, answer.results[0].category_scores
    assert (categories.violence, categories.harassment_threatening, categories.self_harm) == (True, True, False)
    assert (scores.violence, scores.harassment_threatening, scores.self_harm) == (0.9, 0.8, 0.1)
    raw = await client.moderations.with_raw_response.create(model="Moderator", input="a")
    said = raw.http_response.json()["results"][0]["categories"]
    assert said == {"violence": True, "harassment/threatening": True, "self-harm": False}, "as other SDKs read it"
    books = await Books.of(team)
    assert (books.jobs[0]["job_type"], books.credits["credits_used"]) == ("moderations", 2)
    books.check()


async def test_what_is_not_a_chat_obeys_the_same_limits(team: Team) -> None:
    for path, body in (
        ("rerank", {"model": "Private", "query": "what?", "documents": ["a"]}),
        ("moderations", {"model": "Private", "input": "a"}),
        ("embeddings", {"model": "Private", "input": "a"}),
    ):
        answer = await team.http.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_group_not_allowed")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("rerank", {"query": "", "documents": []}),
        ("embeddings", {"input": []}),
        ("embeddings", {"input": [1.5]}),
        ("embeddings", {"input": ["a"], "dimensions": 0}),
    ]
    for path, unfit in wrong:
        answer = await team.http.post(f"/v1/{path}", json=unfit)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    other = await team.http.post("/v1/embeddings", json={"model": "Reranker", "input": "a"})
    assert (other.status_code, other.json()["error"]["code"]) == (400, "endpoint_unsupported")
    assert (await Books.of(team)).jobs == []
