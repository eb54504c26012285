"""A body that does not fit is refused in sentences, with the path as the client wrote it and no word of the validator's."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from control_plane.api.http.validation_errors import readable
from control_plane.api.wires.anthropic import schema as anthropic
from control_plane.api.wires.openai.endpoints import schema as openai_endpoints
from control_plane.api.wires.openai.responses import schema as openai_responses
from control_plane.api.wires.respond import schema as respond
from control_plane.schemas import admin, credits, jobs  # noqa: A004
from control_plane.schemas.base import Body
from tests.support.server import Team

INTERNALS = re.compile(
    r"function-|\[|\bunion\b|constrained|tagged|Input |instance|extract|dictionary|Value error|valid (string|integer|list)|"
    r"after validation|discriminator|\bstr\b|\bint\b|\bNone\b|<class"
)
"""Words that only pydantic knows."""

USER = {"role": "user", "content": "x"}

CASES: list[tuple[type[BaseModel], Any, str, str]] = [
    (jobs.CreateJob, [], "", "must be a JSON object"),
    (jobs.CreateJob, "x", "", "must be a JSON object"),
    (jobs.CreateJob, {}, "job_type", "is required"),
    (jobs.CreateJob, {"job_type": ""}, "job_type", "must have at least 1 character"),
    (jobs.CreateJob, {"job_type": "t", "max_credits": "5"}, "max_credits", "must be a whole number"),
    (jobs.CreateJob, {"job_type": "t", "metadata": []}, "metadata", "must be a JSON object"),
    (jobs.CallBody, {"messages": [USER, {"role": "user"}]}, "messages.1", "content is missing"),
    (jobs.CallBody, {"messages": [1]}, "messages.0", "must be a JSON object"),
    (jobs.CallBody, {"messages": [{**USER, "content": 5}]}, "messages.0.content", "must be a string or a list"),
    (jobs.CallBody, {"messages": [{**USER, "content": []}]}, "messages.0", "content is missing"),
    (
        jobs.CallBody,
        {"messages": [{**USER, "content": [{"type": "text", "text": 5}]}]},
        "messages.0.content.0.text",
        "must be a string",
    ),
    (
        jobs.CallBody,
        {"messages": [{**USER, "content": [{"type": "nope"}]}]},
        "messages.0.content.0.type",
        "must be one of 'text', 'image_url', 'input_audio', 'file'",
    ),
    (jobs.CallBody, {"messages": [{**USER, "content": [{}]}]}, "messages.0.content.0.type", "is required"),
    (jobs.CallBody, {"messages": [USER], "stop": [1]}, "stop.0", "must be a string"),
    (jobs.CallBody, {"messages": [USER], "stop": "\0"}, "stop", "must not contain the character U+0000"),
    (jobs.CallBody, {"messages": [USER], "tool_choice": "x"}, "tool_choice", "must be 'none', 'auto' or 'required'"),
    (openai_endpoints.EmbeddingsBody, {"input": 5}, "input", "must be a string or a list"),
    (openai_endpoints.EmbeddingsBody, {"input": ["a", 5]}, "input.1", "must be a string"),
    (openai_endpoints.EmbeddingsBody, {"input": [1, "a"]}, "input.1", "must be a whole number"),
    (openai_endpoints.EmbeddingsBody, {"input": [[1], ["a"]]}, "input.1.0", "must be a whole number"),
    (
        anthropic.MessagesBody,
        {"max_tokens": 1, "messages": [{**USER, "content": [{"type": "tool_result"}]}]},
        "messages.0.content.0",
        "a block of type tool_result needs tool_use_id",
    ),
    (openai_responses.ResponsesBody, {"input": [{"role": "user"}]}, "input.0", "an item of type message needs content"),
    (respond.RespondBody, {"messages": [{"role": "bot"}]}, "messages.0.role", "must be one of 'system', 'developer',"),
    (respond.RespondBody, {"messages": [{"role": "user"}]}, "messages.0.content", "is required"),
    (
        respond.RespondBody,
        {"messages": [{**USER, "content": [{"type": "file", "file": {"filename": 1, "file_data": "x"}}]}]},
        "messages.0.content.0.file.filename",
        "must be a string",
    ),
    (admin.CreateTeam, {"team_id": "t", "model_groups": "x"}, "model_groups", "must be a list"),
    (admin.CreateTeam, {"team_id": "t", "job_type_prices": {"a[0]": "y"}}, "job_type_prices.a[0]", "must be a whole"),
    (admin.CreateKey, {"expires_at": "2026-01-01T00:00:00"}, "expires_at", "must have a time zone"),
    (admin.CreateKey, {"expires_at": "soon"}, "expires_at", "must be a valid datetime, as 2026-01-31"),
    (credits.RefundCredits, {"reason": "r"}, "", "give `credits`, `job_id`, or both"),
]


def found(model: type[BaseModel], body: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(body)
    problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in refusal.value.errors()]
    return [(".".join(map(str, each["loc"][1:])), each["msg"]) for each in readable(problems, body)]


@pytest.mark.parametrize(("model", "body", "place", "words"), CASES)
def test_a_mistake_is_named_where_the_client_made_it(model: type[BaseModel], body: Any, place: str, words: str) -> None:
    assert [(at, said.startswith(words)) for at, said in found(model, body)] == [(place, True)], found(model, body)


def bodies() -> list[type[Body]]:
    """Every request body there is."""
    every, new = set[type[Body]](), {Body}
    while new:
        every |= new
        new = {sub for each in new for sub in each.__subclasses__()} - every
    return sorted((each for each in every if each.model_fields), key=lambda each: f"{each.__module__}.{each.__name__}")


WRONG: list[Any] = [
    None,
    True,
    5,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "x" * 20_000,
    "a\0",
    [],
    [1],
    ["x"],
    [[]],
    [{}],
    {},
    {"a": 1},
]


@pytest.mark.parametrize("model", bodies(), ids=lambda model: model.__name__)
def test_no_field_of_any_body_is_refused_in_the_words_of_the_validator(model: type[Body]) -> None:
    tried = 0
    for name, field in model.model_fields.items():
        for value in WRONG:
            body = {field.alias or name: value}
            try:
                model.model_validate(body)
            except ValidationError as error:
                problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
                for problem in readable(problems, body):
                    tried += 1
                    place = ".".join(map(str, problem["loc"][1:]))
                    assert INTERNALS.search(f"{place} {problem['msg']}") is None, (body, problem)
    assert tried


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_api_tells_the_reason_in_its_message(team: Team) -> None:
    job = await team.create_job()
    wrong = {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}], "input": 5, "max_tokens": 1}
    reason = "messages.0.content.0.text: must be a string"
    for path, expected in (
        (f"/api/jobs/{job}/llm-call", reason),
        ("/v1/chat/completions", reason),
        ("/v1/messages", reason),
        ("/api/v1/llm/respond", reason),
        ("/v1/responses", "input: must be a string or a list"),
        ("/api/jobs/create", "job_type: is required"),
    ):
        answer = await team.http.post(path, json=wrong)
        assert expected in answer.json()["error"]["message"], (path, answer.text)
    answer = await team.http.post("/api/jobs/create", content=json.dumps([]).encode())
    assert answer.json()["error"]["message"] == "The request does not fit the schema: the body must be a JSON object."
    answer = await team.http.get(f"/api/teams/{team.id}/jobs?limit=many")
    assert answer.json()["error"]["message"].startswith("The request does not fit the schema: query limit: must be a ")
