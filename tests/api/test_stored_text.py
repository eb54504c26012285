"""U+0000 and halves of characters, which Postgres or UTF-8 do not have, in every string that any route reads: stored as
they are or refused in a sentence, and never a fault of ours.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.support.server import Team

Json = dict[str, Any]
Steps = tuple[str | int, ...]

USER = {"role": "user", "content": "x", "name": "n"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"title": "t"}}}
PARAMETERS = {"stop": ["s"], "tools": [TOOL], "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}
CALL = {"messages": [USER], "model_group": "ok", "purpose": "p", "call_metadata": {"k": "v"}, **PARAMETERS}
JOB = {"job_type": "t", "user_id": "u", "team_id": "{team}", "model_group": "ok"}
MORE = {"model": "ok", "metadata": {"k": "v", "job_id": "j"}, "user": "u"}
CREDITS = {"credits": 1, "reason": "r"}

BODIES: Mapping[str, Json] = {
    "POST /api/jobs/create": {**JOB, "metadata": {"k": "v"}},
    "POST /api/jobs/{job}/llm-call": CALL,
    "POST /api/jobs/{job}/llm-call-stream": CALL,
    "PATCH /api/jobs/{job}/metadata": {"metadata": {"k": "v"}},
    "POST /api/jobs/{job}/complete": {"status": "failed", "error_message": "e", "metadata": {"k": "v"}},
    "POST /api/jobs/create-and-call": {**CALL, **JOB, "job_metadata": {"k": "v"}},
    "POST /api/jobs/create-and-call-stream": {**CALL, **JOB, "job_metadata": {"k": "v"}},
    "POST /api/jobs/{job}/tokens": {"origins": ["https://a.example"], "model_groups": ["ok"]},
    "POST /api/v1/llm/respond": {"model": "ok", "messages": [USER], "plugins": [{"id": "p"}], **PARAMETERS},
    "POST /v1/chat/completions": {
        "messages": [USER],
        **MORE,
        **PARAMETERS,
        "reasoning_effort": "low",
        "verbosity": "low",
    },
    "POST /v1/embeddings": {"input": ["x"], **MORE},
    "POST /v1/moderations": {"input": ["x"], **MORE},
    "POST /v1/rerank": {"query": "q", "documents": ["d"], **MORE},
    "POST /v1/responses": {"input": "x", "instructions": "i", **MORE},
    "POST /v1/messages": {
        "model": "ok",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
        "system": "s",
        "stop_sequences": ["s"],
        "metadata": {"user_id": "u", "job_id": "j", "k": "v"},
        "tools": [{"name": "f", "description": "d", "input_schema": {"title": "t"}}],
    },
    "POST /v1/messages/count_tokens": {"model": "ok", "messages": [{"role": "user", "content": "x"}]},
    "POST /api/organizations/create": {"organization_id": "o", "name": "n", "metadata": {"k": "v"}},
    "POST /api/teams/create": {
        "team_id": "t",
        "organization_id": "o",
        "team_alias": "a",
        "model_groups": ["ok"],
        "default_model_group": "ok",
        "budget_mode": "job_based",
        "charge_rule": "any_call_succeeded",
        "job_type_prices": {"p": 1},
        "metadata": {"k": "v"},
        "key_name": "n",
    },
    "POST /api/access-tokens": {"name": "n", "role": "viewer", "team_id": "{team}"},
    "PUT /api/teams/{team}": {
        "team_alias": "a",
        "default_model_group": "ok",
        "job_type_prices": {"p": 1},
        "metadata": {"k": "v"},
    },
    "PUT /api/teams/{team}/model-groups": {"model_groups": ["ok"]},
    "POST /api/teams/{team}/keys": {
        "name": "n",
        "kind": "secret",
        "origins": ["https://a.example"],
        "default_model_group": "ok",
        "model_groups": ["ok"],
        "expires_at": "2036-01-01T00:00:00Z",
    },
    "PUT /api/teams/{team}/keys/{key}/origins": {"origins": ["https://a.example"]},
    "POST /api/teams/{team}/keys/{key}/rotate": {},
    "POST /api/teams/{team}/credits/add": {**CREDITS, "expires_at": "2036-01-01T00:00:00Z"},
    "POST /api/teams/{team}/credits/refund": {**CREDITS, "job_id": "j"},
    "POST /api/teams/{team}/credits/adjust": CREDITS,
    "PATCH /api/teams/{team}/budget-mode": {"budget_mode": "job_based"},
    "PATCH /api/teams/{team}/conversion-rates": {"credits_per_dollar": 1},
    "POST /api/teams/{team}/configure-auto-refill": {
        "refill_amount": 1,
        "refill_period": "daily",
        "timezone": "UTC",
        "starts_on": "2036-01-01",
    },
    "PATCH /api/teams/{team}/credits/low-balance-threshold": {"threshold": 1},
}
"""A body with every string that a route reads, for each that reads one."""

BY_THE_MASTER_KEY = ("/api/organizations", "/api/teams", "/api/credits", "/api/spend")


def strings_in(value: Any, path: Steps = ()) -> Iterator[Steps]:
    """Where a string is: of values, and of keys at the end of the path with a mark."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings_in(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings_in(inner, (*path, index))


def with_text(body: Json, path: Steps, text: str) -> Json:
    changed = copy.deepcopy(body)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = text
    return changed


def with_keys(body: Any, text: str) -> Any:
    """The body with the text in every key that is the client's own."""
    if isinstance(body, dict):
        return {key + text if key in ("k", "title", "p") else key: with_keys(each, text) for key, each in body.items()}
    return [with_keys(each, text) for each in body] if isinstance(body, list) else body


async def test_no_string_of_any_route_is_a_fault_of_ours(team: Team, admin: httpx.AsyncClient) -> None:
    job = await team.create_job()
    publishable = {"kind": "publishable", "origins": ["https://a.example"]}
    key = (await admin.post(f"/api/teams/{team.id}/keys", json=publishable)).json()["key_id"]
    faults = []
    for route, template in BODIES.items():
        method, path = route.split()
        url = path.format(team=team.id, job=job, key=key)
        http = admin if path.startswith(BY_THE_MASTER_KEY) else team.http
        body = json.loads(json.dumps(template).replace("{team}", team.id))
        wrong = [
            (f"{at} {text!a}", with_text(body, at, text)) for at in strings_in(body) for text in ("a\0b", "\ud800")
        ]
        wrong += [(f"keys {text!a}", with_keys(body, text)) for text in ("\0", "\ud800")]
        for name, each in wrong:
            answer = await http.request(method, url, content=json.dumps(each).encode())
            if answer.status_code >= 500 or (answer.status_code >= 400 and "\0" in answer.text):
                faults.append(f"{route} {name}: {answer.status_code} {answer.text[:200]}")
            if b"\\ud800" in json.dumps(each).encode() and answer.status_code != 400:
                faults.append(f"{route} {name}: {answer.status_code} for half a character")
    assert not faults, "\n".join(faults)


async def test_every_route_that_reads_a_body_is_tried(admin: httpx.AsyncClient) -> None:
    paths = (await admin.get("/openapi.json")).json()["paths"]
    there = {
        f"{method.upper()} {path}".replace("{team_id}", "{team}")
        .replace("{job_id}", "{job}")
        .replace("{key_id}", "{key}")
        for path, item in paths.items()
        for method, operation in item.items()
        if "requestBody" in operation and not path.startswith("/api/credits/teams")  # the same routes by another path
    }
    assert there == BODIES.keys()


async def test_the_user_of_a_message_is_stored_only_when_it_can_be(team: Team) -> None:
    body = {"model": "ok", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    answer = await team.http.post("/v1/messages", json={**body, "metadata": {"user_id": "a\0b"}})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].endswith("metadata: user_id must not contain the character U+0000.")
    assert (await team.http.post("/v1/messages", json={**body, "metadata": {"user_id": "a"}})).status_code == 200
