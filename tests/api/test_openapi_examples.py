"""Every request example of the OpenAPI document succeeds, with the keys and the headers that the document names."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest_asyncio

from tests.support.provider import Provider
from tests.support.server import (
    MASTER_KEY,
    Server,
    Team,
    config_for,
    new_team,
    serving,
    settings_for,
    write_config,
)

Json = dict[str, Any]

GROUPS = ("ChatAgent", "ResumeAgent", "meta/llama-3-70b-instruct", "openai/gpt-4o")
OTHERS = (
    ("text-embedding-3-small", "openai/text-embedding-3-small", {"input_cost_per_token": 0.00000002, "mode": "embedding"}),
    ("omni-moderation-latest", "openai/omni-moderation-latest", {"input_cost_per_token": 0, "output_cost_per_token": 0}),
    ("rerank-v3.5", "cohere/rerank-v3.5", {"input_cost_per_query": 0.002, "mode": "rerank"}),
)  # fmt: skip

OURS = re.compile(r"x-(?!content-type|frame)|retry-after|idempotency|www-auth|request-id|cache-control")


@pytest_asyncio.fixture
async def server(sqlite_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Server]:
    """With the model groups that the examples name."""
    config = config_for(provider)
    config["model_groups"] |= {name: {"models": ["ok"], "teams": ["*"]} for name in GROUPS}
    for name, model, info in OTHERS:
        url = provider.url("ok") if model.startswith("openai/") else provider.url("ok").removesuffix("/v1")
        params = {"model": model, "api_base": url, "api_key": "sk-provider-secret"}
        config["model_list"].append(
            {"model_name": name, "litellm_params": params, "model_info": {"id": f"{name}-1", **info}}
        )
        config["model_groups"][name] = {"models": [name], "teams": ["*"]}
    async with serving(settings_for(sqlite_url, write_config(tmp_path, config))) as running:
        yield running


@dataclass(frozen=True)
class Try:
    """One example of an operation."""

    method: str
    path: str
    operation: Json
    body: Json | None

    @property
    def schemes(self) -> set[str]:
        return {scheme for choice in self.operation["security"] for scheme in choice}


def tries(document: Json) -> Iterator[Try]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody")
            if body is None:
                yield Try(method.upper(), path, operation, None)
            else:
                examples = body["content"]["application/json"]["examples"]
                assert examples, path
                for example in examples.values():
                    yield Try(method.upper(), path, operation, example["value"])


@asynccontextmanager
async def prepared(server: Server, wanted: Try) -> AsyncIterator[tuple[Team, Json]]:
    """A team that has used credits and has a job that is open, and the parameters of the path."""
    async with new_team(server, credits_allocated=1000) as team:
        parameters = {"team_id": team.id, "organization_id": "acme", "name": "ok"}
        if "{job_id}" in wanted.path:
            parameters["job_id"] = await team.create_job()
        if "{key_id}" in wanted.path:
            body = {"kind": "publishable", "origins": ["https://app.example.com"]}
            made = await team.admin.post(f"/api/teams/{team.id}/keys", json=body)
            parameters["key_id"] = made.json()["key_id"]
        if "{token_id}" in wanted.path:
            made = await team.admin.post("/api/access-tokens", json={"name": "t", "role": "viewer"})
            parameters["token_id"] = made.json()["token_id"]
        if wanted.path.endswith("/refund"):
            job = await team.create_job()
            await team.call(job)
            await team.complete(job)
        if wanted.method == "DELETE" and wanted.path.endswith("{team_id}"):
            parameters["team_id"] = f"team-{uuid4().hex}"
            await team.admin.post("/api/teams/create", json={"team_id": parameters["team_id"]})
        yield team, parameters


async def send(client: httpx.AsyncClient, wanted: Try, parameters: Json, headers: Json) -> httpx.Response:
    path = wanted.path.format(**parameters)
    query = {"team_id": parameters["team_id"]} if path.endswith("/resolve") else None
    return await client.request(wanted.method, path, params=query, json=wanted.body, headers=headers)


def mistakes(wanted: Try, scheme: str, answer: httpx.Response) -> Iterator[str]:
    """What the document says of this answer that is not so."""
    name, status = f"{wanted.method} {wanted.path} with {scheme}", str(answer.status_code)
    is_taken = scheme in wanted.schemes or not wanted.schemes
    if is_taken != answer.is_success:
        yield f"{name}: {status} {answer.text[:300]}"
    if status not in wanted.operation["responses"]:
        yield f"{name}: {status} is not in the document"
        return
    kept = "no-cache" if "event-stream" in answer.headers["content-type"] else "no-store"
    if (answer.headers["cache-control"], answer.headers["x-content-type-options"]) != (kept, "nosniff"):
        yield f"{name}: {status} may be kept by a cache, or taken for what it is not"
    known = {header.lower() for header in wanted.operation["responses"][status]["headers"]}
    unknown = {header for header in answer.headers if OURS.match(header)} - known
    if unknown:
        yield f"{name}: {status} has headers that are not in the document: {unknown}"


async def test_every_example_succeeds_with_the_keys_and_headers_that_the_document_names(server: Server) -> None:
    wrong: list[str] = []
    tried = 0
    async with server.client() as client:
        document = (await client.get("/openapi.json")).json()
        for wanted in tries(document):
            for scheme in ("masterKey", "virtualKey"):
                async with prepared(server, wanted) as (team, parameters):
                    key = MASTER_KEY if scheme == "masterKey" else team.key
                    answer = await send(client, wanted, parameters, {"x-api-key": key})
                    wrong += mistakes(wanted, scheme, answer)
                    tried += 1
    assert tried > 150
    assert not wrong, "\n".join(wrong)
