"""SDKs, helpers for streams included, take every awkward answer of a provider, and what they send back arrives whole."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.acceptance.sdks.awkward import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Json,
    Question,
    RememberingProvider,
    Sdk,
    problems,
    questions,
)
from tests.acceptance.sdks.awkward_python import ask_all
from tests.acceptance.sdks.programs import CLIENTS_PYTHON, NODE_MODULES, ran
from tests.corpus.apis import Response
from tests.corpus.cases import Call, all_cases
from tests.corpus.runner import config_of
from tests.corpus.shapes import Shape
from tests.support.patience import PATIENCE_S
from tests.support.seed_runner import needs
from tests.support.server import Server, Team, new_team, serving, settings_for, write_config

CASES = all_cases()


@pytest_asyncio.fixture(scope="module")
async def served(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, RememberingProvider]]:
    folder = tmp_path_factory.mktemp("awkward")
    file = folder / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, file)
    async with RememberingProvider.start(CASES) as provider:
        config = write_config(folder, config_of(CASES, provider))
        async with serving(settings_for(f"sqlite:///{file}", config)) as server:
            yield server, provider


@pytest.fixture
def server(served: tuple[Server, RememberingProvider]) -> Server:
    return served[0]


@pytest.fixture
def provider(served: tuple[Server, RememberingProvider]) -> RememberingProvider:
    return served[1]


@pytest_asyncio.fixture
async def team(server: Server) -> AsyncIterator[Team]:
    async with new_team(server, credits_allocated=10**6) as made:
        yield made


def read_chat(final: Json) -> Shape:
    return CHAT.whole(_response({**final, "usage": final.get("usage") or {}}))


def read_response(final: Json) -> Shape:
    return RESPONSES.whole(_response(final))


def read_message(final: Json) -> Shape:
    return MESSAGES.whole(_response(final))


def _response(final: Json) -> Response:
    return Response(200, {}, json.dumps(final).encode())


def read_flat(final: Json) -> Shape:
    """What `final_of` of the programs gives."""
    calls = tuple(Call(call["name"], _written(call["input"]), call["id"]) for call in final["calls"])
    return Shape(final["text"], final.get("reasoning", ""), final.get("refusal", ""), calls)


def _written(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given)


OPENAI = (
    Sdk(
        "openai-chat",
        CHAT,
        read_chat,
        ("text", "reasoning", "refusal", "pictures", "citations", "finish", "answers"),
        has_strict_streams=True,
    ),
    Sdk("openai-responses", RESPONSES, read_response, RESPONSES.shown, has_custom_calls=True),
)
"""What the helper for streams keeps of a chat completion: other fields of a choice's last chunk are lost."""

ANTHROPIC = (
    Sdk(
        "anthropic",
        MESSAGES,
        read_message,
        ("text", "reasoning", "pictures", "citations", "finish", "stop_sequence"),
        has_custom_calls=True,
    ),
)
"""As above."""

OPENAI_NODE = (
    Sdk("openai-node-chat", CHAT, read_chat, ("text", "refusal", "finish", "answers")),
    Sdk("openai-node-responses", RESPONSES, read_response, RESPONSES.shown, has_custom_calls=True),
)
"""Its helper for streams keeps the last piece alone of what is not OpenAI's."""

ANTHROPIC_NODE = (replace(ANTHROPIC[0], name="anthropic-node"),)
VERCEL = (
    Sdk(
        "vercel",
        CHAT,
        read_flat,
        ("text", "reasoning"),
        has_parsed_arguments=True,
        has_refusals_as_text=True,
        has_answers=False,
    ),
)
LANGCHAIN = (
    Sdk("langchain", CHAT, read_flat, ("text",), has_parsed_arguments=True, has_answers=False),
    Sdk("langchain-responses", RESPONSES, read_flat, ("text",), has_parsed_arguments=True, has_plain_answers=False),
)


def check(asked: Sequence[Question], outcomes: dict[str, Json], provider: RememberingProvider) -> None:
    found = list(problems(asked, outcomes, provider))
    assert not found, f"{len(found)} of {len(asked)}:\n" + "\n".join(found)


async def test_openais_python_sdk(team: Team, provider: RememberingProvider) -> None:
    asked = questions(OPENAI, CASES)
    async with openai.AsyncOpenAI(
        base_url=f"{team.http.base_url}/v1", api_key=team.key, max_retries=0, timeout=PATIENCE_S
    ) as client:
        outcomes = await ask_all(client, openai.APIError, [question.as_json() for question in asked])
    check(asked, outcomes, provider)


async def test_anthropics_python_sdk(team: Team, provider: RememberingProvider) -> None:
    asked = questions(ANTHROPIC, CASES)
    async with anthropic.AsyncAnthropic(
        base_url=str(team.http.base_url), api_key=team.key, max_retries=0, timeout=PATIENCE_S
    ) as client:
        outcomes = await ask_all(client, anthropic.APIError, [question.as_json() for question in asked])
    check(asked, outcomes, provider)


NODE = {"openai": OPENAI_NODE, "anthropic": ANTHROPIC_NODE, "vercel": VERCEL}
PROGRAM = NODE_MODULES.parent / "awkward_answers.mjs"


@needs("node")
@pytest.mark.parametrize("name", NODE)
async def test_sdks_of_node(name: str, team: Team, provider: RememberingProvider, tmp_path: Path) -> None:
    asked = questions(NODE[name], CASES)
    file = written(asked, tmp_path)
    said = await ran("node", str(PROGRAM), name, str(team.http.base_url).rstrip("/"), team.key, str(file))
    check(asked, json.loads(said), provider)


@pytest.mark.skipif(not CLIENTS_PYTHON.exists(), reason="`make test` installs LangChain")
async def test_langchain(team: Team, provider: RememberingProvider, tmp_path: Path) -> None:
    asked = questions(LANGCHAIN, CASES)
    program = Path(__file__).parent / "awkward_langchain.py"
    url = str(team.http.base_url).rstrip("/")
    said = await ran(str(CLIENTS_PYTHON), str(program), url, team.key, str(written(asked, tmp_path)))
    check(asked, json.loads(said), provider)


def written(asked: Sequence[Question], folder: Path) -> Path:
    file = folder / "questions.json"
    file.write_text(json.dumps([question.as_json() for question in asked]), encoding="utf-8")
    return file
