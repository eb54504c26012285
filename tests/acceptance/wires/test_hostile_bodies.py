"""Bodies that make no sense are refused in the shape of their API; nothing is asked, opened or held."""

from typing import Any

import pytest

from tests.support.ledger import Books
from tests.support.provider import Provider
from tests.support.server import Team

HELLO = [{"role": "user", "content": "Hello"}]
DEEP: Any = {}
for _ in range(300):
    DEEP = {"a": DEEP}

CHAT: list[Any] = [
    [],
    "text",
    {"model": "ok"},
    {"model": 5, "messages": HELLO},
    {"model": "ok", "messages": "Hello"},
    {"model": "ok", "messages": [{"role": "king", "content": "x"}]},
    {"model": "ok", "messages": [{"role": "user", "content": None}]},
    {"model": "ok", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    {"model": "ok", "messages": HELLO, "tools": "x"},
    {"model": "ok", "messages": HELLO, "tools": [{"type": "mcp", "server_url": "http://10.0.0.1"}]},
    {"model": "ok", "messages": HELLO, "n": 0},
    {"model": "ok", "messages": HELLO, "n": 10**9},
    {"model": "ok", "messages": HELLO, "logit_bias": DEEP},
    {"model": "ok", "messages": HELLO, "metadata": {"x": "y" * 11_000}},
    {"model": "ok\u0000", "messages": HELLO},
]
MESSAGES: list[Any] = [
    [],
    {"model": "ok", "messages": HELLO},
    {"model": "ok", "max_tokens": 0, "messages": HELLO},
    {"model": "ok", "max_tokens": 9, "messages": []},
    {"model": "ok", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
    {
        "model": "ok",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "a"}]}],
    },
    {
        "model": "ok",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}],
    },
    {
        "model": "ok",
        "max_tokens": 9,
        "messages": [
            {"role": "assistant", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}
        ],
    },
    {"model": "ok", "max_tokens": 9, "messages": HELLO, "system": 5},
    {"model": "ok", "max_tokens": 9, "messages": HELLO, "thinking": DEEP},
    {"model": "ok", "max_tokens": 9, "messages": HELLO, "mcp_servers": [{"url": "http://10.0.0.1"}]},
    {"model": "ok", "max_tokens": 9, "messages": HELLO, "tool_choice": {"type": "tool"}},
]
RESPONSES: list[Any] = [
    [],
    {"model": "ok"},
    {"model": "ok", "input": ""},
    {"model": "ok", "input": []},
    {"model": "ok", "input": [5]},
    {"model": "ok", "input": [{"role": "user"}]},
    {"model": "ok", "input": [{"type": "function_call", "name": "x"}]},
    {"model": "ok", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
    {"model": "ok", "input": "x", "tools": [{"type": "mcp", "server_url": "http://10.0.0.1"}]},
    {"model": "ok", "input": "x", "text": {"format": {"type": "xml"}}},
]


@pytest.mark.parametrize(
    ("path", "bodies"), [("chat/completions", CHAT), ("messages", MESSAGES), ("responses", RESPONSES)]
)
async def test_each_is_refused_and_nothing_happens(
    team: Team, provider: Provider, path: str, bodies: list[Any]
) -> None:
    for body in bodies:
        answer = await team.http.post(f"/v1/{path}", json=body)
        assert answer.status_code == 400, (body, answer.text)
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]
    for raw in (b"{", b"\xff", b'{"model": NaN}', b""):
        headers = {"Content-Type": "application/json"}
        answer = await team.http.post(f"/v1/{path}", content=raw, headers=headers)
        assert answer.status_code == 400, raw
    too_large = await team.http.post(f"/v1/{path}", content=b" " * 40_000_000)
    assert too_large.status_code == 413
    assert provider.requests == []
    books = await Books.of(team)
    assert (books.jobs, books.credits["credits_available"]) == ([], 100)


async def test_what_litellm_would_trust_never_reaches_it(team: Team, provider: Provider) -> None:
    evil = {"api_base": "http://10.0.0.1", "api_key": "sk-mine", "mock_response": "free", "input_cost_per_token": 0}
    for path, body in (
        ("chat/completions", {"model": "ok", "messages": HELLO}),
        ("messages", {"model": "ok", "max_tokens": 9, "messages": HELLO}),
        ("responses", {"model": "ok", "input": "Hello"}),
        ("embeddings", {"model": "ok", "input": "Hello"}),
    ):
        answer = await team.http.post(f"/v1/{path}", json={**body, **evil})
        assert answer.status_code == 200, answer.text
        assert set(answer.headers["X-Ignored-Fields"].split(", ")) == set(evil)
        assert float(answer.headers["X-Call-Cost-Usd"]) > 0
    assert len(provider.requests) == 4
    assert all(seen.headers["authorization"] == "Bearer sk-provider-secret" for seen in provider.requests)


async def test_another_teams_job_is_not_joined(team: Team, other_team: Team) -> None:
    job_id = await other_team.create_job()
    for path, body in (
        ("chat/completions", {"model": "ok", "messages": HELLO, "metadata": {"job_id": job_id}}),
        ("messages", {"model": "ok", "max_tokens": 9, "messages": HELLO, "metadata": {"job_id": job_id}}),
        ("responses", {"model": "ok", "input": "Hello", "metadata": {"job_id": job_id}}),
        ("embeddings", {"model": "ok", "input": "Hello", "metadata": {"job_id": job_id}}),
    ):
        answer = await team.http.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "job_not_owned")
    assert (await other_team.costs(job_id))["breakdown"] == []
