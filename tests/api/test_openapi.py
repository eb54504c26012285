"""What a client's developer reads: every route is described, with its errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

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
        assert refusals.keys() >= {"401", "403", "500", "503"} | (set() if " /v1/" in name else {"422"}), name
        for status, said in refusals.items():
            assert said["description"] not in ("", "Error", "Bad Request", "Forbidden"), (name, status)
            reference = said["content"]["application/json"]["schema"]["$ref"]
            sent = sent_by(name)
            assert reference.endswith(f"/{sent}"), f"{name} {status}: {reference} is not what is sent"
            example = said["content"]["application/json"]["example"]
            jsonschema.validate(example, {"$ref": reference, "components": schema["components"]})
            assert ("Retry-After" in said["headers"]) is (status in {"409", "429", "503", "529"}), (name, status)
        assert ("requestBody" in operation) is (refusals.keys() >= {"400", "413"}), name
        if "llm-call" in name or "create-and-call" in name:
            assert refusals.keys() >= {"429", "500"}, name


async def test_streams_are_described_as_events(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    for name, operation in operations(schema):
        is_stream = name.endswith(("-stream", "/chat/completions", "/messages", "/responses"))
        expected = "text/event-stream" if is_stream else "application/json"
        assert expected in operation["responses"]["200"]["content"], name


async def test_generators_find_a_valid_document_that_changes_only_with_the_server(api: httpx.AsyncClient) -> None:
    answer = await api.get("/openapi.json")
    validate(answer.json())
    assert answer.json()["servers"][0]["url"] == "/"
    again = await api.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await api.get("/openapi.json", headers={"Accept-Encoding": "gzip;q=0"})
    assert (answer.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert plain.content == answer.content


def undescribed(place: str, schema: Any) -> Iterator[str]:
    """Properties, however deep, without a description."""
    if isinstance(schema, list):
        for each in schema:
            yield from undescribed(place, each)
    elif isinstance(schema, dict):
        for name, found in (schema.get("properties") or {}).items():
            if not found.get("description", "").endswith((".", "…")):
                yield f"{place}.{name}"
            yield from undescribed(f"{place}.{name}", found)
        for name in ("items", "anyOf", "oneOf", "allOf", "additionalProperties"):
            yield from undescribed(f"{place}.{name}", schema.get(name))


async def test_every_property_parameter_and_header_is_described(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    components = schema["components"]
    assert len(components["schemas"]) > 100
    missing = [each for name, found in components["schemas"].items() for each in undescribed(name, found)]
    missing += [name for name, found in components["schemas"].items() if not found.get("description")]
    missing += [name for name, found in components["headers"].items() if not found["description"]]
    parameters = components["parameters"]
    for name, operation in operations(schema):
        for each in operation.get("parameters", ()):
            found = parameters[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            if not found.get("description", "").endswith("."):
                missing.append(f"{name} {found['name']}")
    assert not missing


async def test_every_route_names_the_keys_it_takes(api: httpx.AsyncClient) -> None:
    schema = await schema_of(api)
    known = schema["components"]["securitySchemes"].keys()
    for name, operation in operations(schema):
        named = [scheme for choice in operation["security"] for scheme in choice]
        assert bool(named) is (" /health" not in name), name
        assert known >= set(named), name
    references = [
        each.get("$ref", "")
        for name, operation in operations(schema)
        if name.startswith("POST")
        for each in operation["parameters"]
    ]
    assert references.count("#/components/parameters/IdempotencyKey") == sum(
        name.startswith("POST") for name, _ in operations(schema)
    )
