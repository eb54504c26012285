"""Document S4's browser examples in a real browser: from a registered origin they work, from any other they do not."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from pathlib import Path

import pytest

from tests.acceptance.respond.browser import Site, browsing, site
from tests.acceptance.respond.server import LLAMA, App, StartApp, addressed
from tests.support.seed_runner import SEEDS, TEXT

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ROOT = Path(__file__).parents[3]

USAGE = '{"prompt_tokens":11,"completion_tokens":10,"total_tokens":21}'


@asynccontextmanager
async def opened(
    app: App, example: str, *, after: str = "", key: str | None = None, is_registered: bool = True
) -> AsyncIterator[Site]:
    """A page that runs an example, with a publishable key of its origin if it is registered, or with the key given."""
    async with site() as page:
        terms = {"kind": "publishable", "origins": [page.origin if is_registered else "https://app.example.com"]}
        made = await app.team.admin.post(f"/api/teams/{app.team.id}/keys", json=terms)
        text = (SEEDS / example).read_text(encoding="utf-8")
        page.program = f"{addressed(text, app.server.url, key or made.json()['virtual_key'])}\n{after}"
        async with browsing(page.origin):
            yield page


async def test_a_buffered_request_from_a_page(app: App) -> None:
    async with opened(app, "respond/browser_basic.js") as page:
        await page.until(lambda: len(page.said) >= 2)
    assert page.said == [("log", f"Response: {TEXT}"), ("log", f"Usage: {USAGE}")]
    assert (await app.team.credits())["credits_used"] == 1


async def test_a_stream_into_a_page(app: App) -> None:
    async with opened(app, "respond/browser_stream.js") as page:
        await page.until(lambda: bool(page.said))
    [(kind, said)] = page.said
    assert kind == "log"
    assert said.startswith("Complete: {")
    assert TEXT in said
    assert page.output == TEXT


async def test_a_loop_of_tools_in_a_page(start_app: StartApp) -> None:
    app = await start_app({LLAMA: "tool-then-text"})
    after = "chatWithTools([{role: 'user', content: 'Weather?'}]).then((all) => console.log(all.length, 'messages'));"
    async with opened(app, "respond/browser_tools.js", after=after) as page:
        await page.until(lambda: len(page.said) >= 3)
    assert page.said == [("log", "Assistant: "), ("log", f"Assistant: {TEXT}"), ("log", "5 messages")]
    last = app.provider.requests[-1].body["messages"][-1]
    assert last["content"] == "The weather in San Francisco, CA is 72°F and sunny."


async def test_the_guides_page_calls_in_a_job_with_a_token(app: App) -> None:
    guide = (ROOT / "control_plane" / "guide" / "browsers.md").read_text(encoding="utf-8")
    printed = re.search(r"```js\n(// In the page.*?)```", guide, re.DOTALL)
    assert printed is not None
    job_id = await app.team.create_job()
    async with site() as page:
        made = await app.team.http.post(f"/api/jobs/{job_id}/tokens", json={"origins": [page.origin]})
        here = {"http://localhost:8003": app.server.url, "JOB_ID": job_id, "JOB_TOKEN": made.json()["token"]}
        page.program = reduce(lambda text, put: text.replace(*put), here.items(), printed[1])
        async with browsing(page.origin):
            await page.until(lambda: bool(page.said))
    assert page.said == [("log", TEXT)]


async def test_a_page_of_a_foreign_origin_gets_nothing(app: App) -> None:
    async with opened(app, "respond/browser_basic.js", is_registered=False) as page:
        await page.until(lambda: len(page.said) >= 2)
    assert page.said == [("error", "Error calling LLM: Failed to fetch"), ("rejected", "Failed to fetch")]
    assert app.provider.requests == []


async def test_a_secret_key_in_a_page_gets_nothing(app: App) -> None:
    async with opened(app, "respond/browser_basic.js", key=app.team.key) as page:
        await page.until(lambda: len(page.said) >= 2)
    refusal = f"The origin '{page.origin}' is not registered for this key; an administrator can register it."
    assert page.said == [("error", f"Error calling LLM: {refusal}"), ("rejected", refusal)]
    assert app.provider.requests == []
