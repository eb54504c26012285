"""Document S4's Laravel service, by what it writes on the wire."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.acceptance.respond.server import LLAMA, App, StartApp
from tests.support.provider_plans import WORDS
from tests.support.seed_runner import TEXT

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def run(app: App, what: str) -> str:
    program = [sys.executable, str(Path(__file__).with_name("laravel.py")), app.server.url, app.team.key, what]
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_chat(app: App) -> None:
    assert await run(app, "chat") == f"{TEXT} 21\n"
    asked = app.asked()
    assert asked["messages"][1] == {"role": "user", "content": "Grüße/Hello"}
    assert asked.keys().isdisjoint({"tools", "tool_choice"}), "null tools and a choice between them mean nothing"


async def test_a_stream(app: App) -> None:
    lines = (await run(app, "stream")).splitlines()
    assert lines == [*(f"token {word}" for word in WORDS), "done "]


async def test_a_loop_of_tools(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tool-then-text"})
    assert await run(app, "tools") == f"{TEXT}\n"
    first, second = app.provider.requests
    assert [tool["function"]["parameters"]["type"] for tool in first.body["tools"]] == ["object", "object"]
    assert first.body["tools"][1]["function"]["parameters"]["properties"] == {}
    assert [message["role"] for message in second.body["messages"]] == ["user", "assistant", "tool"]
    assert second.body["messages"][2]["content"] == "get_weather is done"
