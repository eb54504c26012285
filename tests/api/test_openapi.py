"""What a client's developer reads: every route is described, with its errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

Json = dict[str, Any]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def operations(schema: Json) -> Iterator[tuple[str, Json]]:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def sent_by(name: str) -> str:
    """The shape of the errors of a route."""
    if name.endswith("/respond"):
        return "RespondError"
    if " /v1/" in name:
        return "AnthropicErrorAnswer" if "/messages" in name else "OpenAiErrorAnswer"
    return "ErrorAnswer"


async def schema_of(api: httpx.AsyncClient) -> Json:
    answer = await api.get("/openapi.json")
    assert answer.status_code == 200
    schema: Json = answer.json()
    return schema


async def test_every_route_says_what_it_does(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    known = {tag["name"] for tag in schema["tags"]}
    for name, operation in operations(schema):
        assert operation.get("summary"), name
        assert operation.get("description"), name
        assert operation.get("tags"), name
        assert set(operation["tags"]) <= known, name
    ids = [operation["operationId"] for _, operation in operations(schema)]
    assert len(ids) == len(set(ids)), "generated clients would lose a method"


async def test_every_route_says_how_it_refuses(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    schemas = schema["components"]["schemas"]
    assert schemas["ErrorAnswer"]["properties"].keys() == {"detail", "error"}
    assert schemas["RespondError"]["properties"].keys() == {"error"}
    for name, operation in operations(schema):
        if " /health" in name:
            continue
        refusals = {status: said for status, said in operation["responses"].items() if status >= "400"}
        assert refusals.keys() >= {"401", "403", "422", "503"}, name
        for status, said in refusals.items():
            assert said["description"] not in ("", "Error", "Bad Request", "Forbidden"), (name, status)
            reference = said["content"]["application/json"]["schema"]["$ref"]
            sent = sent_by(name)
            assert reference.endswith(f"/{sent}"), f"{name} {status}: {reference} is not what is sent"
        if "requestBody" in operation:
            assert refusals.keys() >= {"400", "413"}, name
        if "llm-call" in name or "create-and-call" in name:
            assert refusals.keys() >= {"429", "500"}, name


async def test_streams_are_described_as_events(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    for name, operation in operations(schema):
        is_stream = name.endswith(("-stream", "/chat/completions", "/messages", "/responses"))
        expected = "text/event-stream" if is_stream else "application/json"
        assert expected in operation["responses"]["200"]["content"], name
