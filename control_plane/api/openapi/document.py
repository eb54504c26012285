"""The OpenAPI document: what FastAPI derives from the routes, completed by keys, headers, examples and errors."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from control_plane.api.openapi.errors import example_of
from control_plane.api.openapi.examples import BODIES
from control_plane.api.openapi.headers import HEADERS, OF_ERRORS, ON_EVERY_ANSWER, PARAMETERS, SECURITY_SCHEMES
from control_plane.api.openapi.operations import OPERATIONS, Access, Operation, Sends

Json = dict[str, Any]

DESCRIPTION = """\
A control plane in front of LLMs that bills by job. An app creates a **job**, makes **calls** of **model groups** in it, and
completes it; a completed job is charged **credits**.

- **Authentication**: `Authorization: Bearer sk-…`, or the same key as `x-api-key`. A team's key is for its own team, the
  master key for administration.
- **Idempotency**: every `POST` takes an `Idempotency-Key`. A failed call costs nothing.
- **Errors**: `error.code` is stable, for programs; `message` is for people. 429 and 503 have `Retry-After`.
- **Ignored fields** of bodies and queries are accepted and listed in `X-Ignored-Fields`.
- **Pagination**: lists have a `next_cursor`; send it as `cursor` to get the next page, until it is null.
- **Ids** are opaque strings, **times** RFC 3339 in UTC, **credits** whole numbers, amounts in `…_usd` US dollars.
"""
SERVERS = ({"url": "/", "description": "The server this document comes from"},)

METHODS = ("get", "put", "post", "delete", "patch")
NEEDS_BODY = ("400", "413")
"""Errors that only a request with a body can get."""
OPENAI = "/v1/"
AS_OPENAI = "422"
"""Not sent below `/v1`: 400 takes its place, as at OpenAI and Anthropic."""
CONFLICT = "409"
OUR_FAULT = "500"
FIRST_ERROR = 400
EVENTS = "text/event-stream"
UNSAID = "Successful Response"
"""FastAPI's default for a route without a response description."""

ANY_OBJECT: Json = {"type": "object", "additionalProperties": True}
SHAPES: Mapping[str, str] = {
    "create_chat_completion": "OpenAI's `chat.completion`.",
    "create_embeddings": "OpenAI's list of embeddings.",
    "create_moderation": "OpenAI's moderation.",
    "rerank": "Cohere's rerank: `results` with `index` and `relevance_score`, the best first.",
    "list_models": "OpenAI's list of models: `data` with an `id` each.",
    "get_model": "OpenAI's model.",
    "create_response": "OpenAI's `response`.",
    "create_message": "Anthropic's `message`.",
    "count_tokens": "`input_tokens`: the number of tokens.",
    "get_readiness": "`status`: `ok` or `unavailable`; `checks`: `ok` or the fault, for each part of the server.",
    "get_health": "`status`: `ok` or `unavailable`; `checks`: `ok` or the fault, for each part of the server.",
}
"""Answers in the shape of another API, or of no model."""


def document_of(app: FastAPI) -> Json:
    """The whole document. Takes about a second the first time: not for the event loop.

    Raises: KeyError for a route that `operations.py` does not name.
    """
    document: Json = {**app.openapi()}
    document["info"] = {**document["info"], "description": DESCRIPTION}
    document["servers"] = list(SERVERS)
    document["paths"] = {
        path: {method: _operation(path, method, found) for method, found in item.items() if method in METHODS}
        for path, item in document["paths"].items()
    }
    components = document["components"]
    components = {
        "schemas": {name: _plain(schema) for name, schema in components["schemas"].items()},
        "securitySchemes": dict(SECURITY_SCHEMES),
        "parameters": dict(PARAMETERS),
        "headers": dict(HEADERS),
    }
    document["components"] = _without_unused(document["paths"], components)
    return document


def _operation(path: str, method: str, derived: Json) -> Json:
    operation = OPERATIONS[f"{method.upper()} {path}"]
    made = {**derived, "operationId": operation.id}
    made["security"] = [{scheme: []} for scheme in operation.access.value]
    made["parameters"] = [
        *map(_parameter, derived.get("parameters", ())),
        *_headers_of_requests(path, method, operation),
    ]
    if not made["parameters"]:
        del made["parameters"]
    body = derived.get("requestBody")
    if body is not None:
        made["requestBody"] = _with_examples(body, operation)
    made["responses"] = {
        status: _response(path, status, answer, operation, is_post=method == "post")
        for status, answer in _statuses(
            path, method, derived["responses"], operation, has_body=body is not None
        ).items()
    }
    return made


def _headers_of_requests(path: str, method: str, operation: Operation) -> Iterator[Json]:
    if operation.access is Access.NOBODY:
        return
    if method == "post":
        yield _reference("parameters", "IdempotencyKey")
    if path.startswith("/v1/models"):
        yield _reference("parameters", "AnthropicVersion")
    yield _reference("parameters", "XRequestId")
    yield _reference("parameters", "XMaxWait")


def _parameter(derived: Json) -> Json:
    """With its header as it is usually written, and a description that is a sentence."""
    made = _plain(derived)
    made["schema"] = {name: value for name, value in made["schema"].items() if name != "description"}
    if made["in"] == "header":
        made["name"] = "-".join(part.capitalize() for part in made["name"].split("-"))
    return {**made, "description": _sentence(derived["description"])}


def _with_examples(body: Json, operation: Operation) -> Json:
    examples = BODIES[operation.id.removesuffix("_alias")]
    named = {_slug(summary): {"summary": summary, "value": value} for summary, value in examples.items()}
    schema = _plain(body["content"]["application/json"]["schema"])
    return {**body, "content": {"application/json": {"schema": schema, "examples": named}}}


def _statuses(path: str, method: str, responses: Json, operation: Operation, *, has_body: bool) -> Json:
    """The answers that the route can give, each one's description included."""
    left_out = {*(() if has_body else NEEDS_BODY), *((AS_OPENAI,) if path.startswith(OPENAI) else ())}
    left_out |= {CONFLICT} if method == "get" else set()
    found = {status: answer for status, answer in responses.items() if status not in left_out}
    if OUR_FAULT not in found and operation.access is not Access.NOBODY:
        content = found["401"]["content"]
        found[OUR_FAULT] = {
            "description": "`internal_error`; nothing was charged",
            "content": content,
        }
    return dict(sorted(found.items()))


def _response(path: str, status: str, derived: Json, operation: Operation, *, is_post: bool) -> Json:
    code = int(status)
    made = {**derived, "description": _sentence(derived["description"].replace(UNSAID, "Done"))}
    if operation.access is Access.NOBODY:
        headers: tuple[str, ...] = ("X-Request-Id", "Cache-Control")
    elif code < FIRST_ERROR:
        headers = (*ON_EVERY_ANSWER, *operation.sends.value)
        headers += ("Idempotency-Replayed",) if is_post else ()
        headers += ("X-Accel-Buffering",) if EVENTS in derived.get("content", {}) else ()
    else:
        headers = (*ON_EVERY_ANSWER, *OF_ERRORS.get(code, ()))
    made["headers"] = {name: _reference("headers", name) for name in headers}
    made["content"] = {media: dict(content) for media, content in derived.get("content", {}).items()}
    json = made["content"].get("application/json")
    if json is not None and not json.get("schema") and operation.id in SHAPES:
        json["schema"] = {**ANY_OBJECT, "description": SHAPES[operation.id]}
    if code >= FIRST_ERROR and json is not None and operation.access is not Access.NOBODY:
        is_call = operation.sends is not Sends.NOTHING
        example = example_of(path, code, access=operation.access, is_call=is_call)
        if example is not None:
            json["example"] = example
    return made


def _plain(schema: Any) -> Any:
    """A schema without the titles that repeat its properties' names, its descriptions as sentences."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _plain(value) for name, value in schema.items() if name not in ("title", "default", "enum", "const")}
    made |= {name: schema[name] for name in ("default", "enum", "const") if name in schema}
    if isinstance(schema.get("description"), str):
        made["description"] = _sentence(schema["description"])
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _plain(value) for name, value in schema["properties"].items()}
    return made


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…", ":", "`.", "!")) else ".")


def _slug(summary: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", summary.lower()).strip("_")


def _reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _without_unused(paths: Json, components: Json) -> Json:
    """The components, without schemas that nothing refers to any more."""
    schemas, used, new = components["schemas"], set[str](), _schemas_in(paths)
    while new:
        used |= new
        new = {name for each in new for name in _schemas_in(schemas[each])} - used
    return {**components, "schemas": {name: schema for name, schema in schemas.items() if name in used}}


def _schemas_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in _schemas_in(item)}
    if not isinstance(value, dict):
        return set()
    reference = value.get("$ref")
    own = {reference.rpartition("/")[2]} if isinstance(reference, str) and "/schemas/" in reference else set()
    return own | {name for item in value.values() for name in _schemas_in(item)}
