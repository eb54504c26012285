"""Real SDKs against one server: they run in threads and processes of their own, as in a customer's app."""

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest_asyncio

from tests.support.patience import PATIENCE_S
from tests.support.server import Team


@pytest_asyncio.fixture
async def client(team: Team) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK with nothing changed but base URL and key. It does not try again by itself, unless a test says so."""
    async with openai.AsyncOpenAI(
        base_url=f"{team.http.base_url}/v1", api_key=team.key, max_retries=0, timeout=PATIENCE_S
    ) as made:
        yield made


@pytest_asyncio.fixture
async def claude(team: Team) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's SDK, likewise."""
    async with anthropic.AsyncAnthropic(
        base_url=str(team.http.base_url), api_key=team.key, max_retries=0, timeout=PATIENCE_S
    ) as made:
        yield made
