"""The documentation pages in a real browser, as a developer uses them who has just got a key."""

import asyncio
import json
import shutil
from typing import Any

import pytest

from tests.acceptance.respond.browser import chromium
from tests.acceptance.respond.server import NODE_MODULES
from tests.acceptance.sdks.programs import ran
from tests.support.server import Server, Team

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


async def see(server: Server, team: Team, pictures: str = "") -> dict[str, Any]:
    """What a developer sees who opens the pages."""
    program, environ = chromium()
    script = NODE_MODULES.parent / "pages.mjs"
    printed = await ran("node", str(script), program, server.url, team.key, team.id, pictures, **environ)
    seen: dict[str, Any] = json.loads(printed)
    return seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_developer_authorizes_and_tries_routes_on_the_page(server: Server, team: Team) -> None:
    async with asyncio.timeout(100):
        seen = await see(server, team)
    assert seen["errors"] == []
    assert seen["strangers"] == []
    assert {"virtualKey", "xApiKey", "masterKey"} <= {scheme.split()[0] for scheme in seen["schemes"]}
    assert seen["answers"] == {"create_job": "200", "get_job": "200", "list_team_jobs": "200"}
    assert seen["title"].startswith("Control plane")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_guide_can_be_read_and_searched_on_a_desktop_and_on_a_phone(server: Server) -> None:
    program, environ = chromium()
    async with asyncio.timeout(100):
        printed = await ran("node", str(NODE_MODULES.parent / "guide.mjs"), program, server.url, **environ)
    seen = json.loads(printed)
    assert seen["errors"] == seen["strangers"] == []
    assert seen["wide"] == [], "a page is wider than the screen"
    assert seen["pages"] > 30
    assert seen["hits"] == ["Billing: Worst-case holds"] * 2
    assert seen["places"] == [True, True], "the header hides the heading that a link leads to"
