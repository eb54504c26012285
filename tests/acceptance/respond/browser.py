"""A headless Chromium that opens pages of sites on loopback, and what those pages say."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tests.acceptance.respond.server import NODE_MODULES

SHIPPED = NODE_MODULES / ".chromium" / "chromium"
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

TELLS = """
<pre id="output"></pre>
<script>
  const said = [];
  const text = (value) => typeof value === 'string' ? value : value instanceof Error ? value.message : JSON.stringify(value);
  const tell = (kind, ...values) => {
    said.push([kind, values.map(text).join(' ')]);
    const output = document.getElementById('output').textContent;
    navigator.sendBeacon('/said', JSON.stringify({said, output}));
  };
  console.log = (...values) => tell('log', ...values);
  console.error = (...values) => tell('error', ...values);
  addEventListener('unhandledrejection', (event) => { event.preventDefault(); tell('rejected', event.reason); });
  addEventListener('error', (event) => tell('uncaught', event.message));
</script>
"""
"""What every page begins with: whatever it logs, and the errors nobody catches, are told to its site."""


@dataclass
class Site:
    """A web site of one page that runs a program, and what the page has logged and shown since."""

    origin: str = ""
    program: str = ""
    said: list[tuple[str, str]] = field(default_factory=list)
    output: str = ""
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def page(self, _request: web.Request) -> web.Response:
        body = f"<!doctype html><meta charset=utf-8>{TELLS}<script>\n{self.program}\n</script>"
        return web.Response(text=body, content_type="text/html")

    async def hear(self, request: web.Request) -> web.Response:
        told = json.loads(await request.text())
        if len(told["said"]) > len(self.said):
            self.said = [(kind, text) for kind, text in told["said"]]
            self.output = told["output"]
            self._heard.set()
        return web.Response()

    async def until(self, claim: Callable[[], bool], timeout_s: float = 30) -> None:
        """Until the page has said that."""
        async with asyncio.timeout(timeout_s):
            while not claim():
                self._heard.clear()
                await self._heard.wait()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on loopback, whose page has no program yet."""
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    made = Site()
    app.router.add_get("/", made.page)
    app.router.add_post("/said", made.hear)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[None]:
    """Chromium with that page open."""
    program, environ = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
        )
        try:
            yield
        finally:
            process.kill()
            await process.wait()


def chromium() -> tuple[str, dict[str, str]]:
    """The program of a browser, and its environment."""
    environ = dict(os.environ)
    if SHIPPED.exists():
        libraries = str(SHIPPED.parent / "al2023" / "lib")
        environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [environ.get("LD_LIBRARY_PATH"), libraries]))
        return str(SHIPPED), environ
    found = next(filter(None, map(shutil.which, INSTALLED)), None)
    if found is None:
        pytest.fail(
            "No browser for the tests of pages: `make test` unpacks one on Linux (x86-64) where npm is; elsewhere install "
            "Chromium or Chrome, so that `chromium` or `google-chrome` is on the PATH."
        )
    return found, environ
