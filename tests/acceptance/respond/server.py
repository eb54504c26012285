"""The product as document S4 uses it: its model names over the scripted provider, its examples, its events."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from control_plane.fetching.fetcher import Resolve, look_up
from tests.support.provider import Provider
from tests.support.seed_runner import SEEDS, Ran, run_program
from tests.support.server import INPUT_PRICE, OUTPUT_PRICE, Server, Team, new_team, serving, settings_for, write_config

Json = dict[str, Any]

RESPOND = "/api/v1/llm/respond"
LLAMA, GPT_5, GPT_4O = "meta/llama-3-70b-instruct", "openai/gpt-5", "openai/gpt-4o"
HOST, KEY = "https://streamchat-staging.jobsolve.ai", "11ea0155-84b0-48d9-826c-8a14bd41e235"
"""What the document's examples are addressed to, and the key they hold."""

NODE_MODULES = Path(__file__).parents[2] / "node" / "node_modules"

MODELS = {LLAMA: "ok", GPT_5: "ok", GPT_4O: "ok"}


def config_of_s4(provider: Provider, models: Mapping[str, str] = MODELS, **more: Any) -> Json:
    """One group over the document's models, each of which behaves as it is told here."""
    behaviours = {**MODELS, **models}
    deployments = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openrouter/{name}" if name == LLAMA else name,
                "api_base": provider.url(behaviour),
                "api_key": "sk-provider-secret",
            },
            "model_info": {
                "input_cost_per_token": INPUT_PRICE,
                "output_cost_per_token": OUTPUT_PRICE,
                "max_output_tokens": 10,
            },
        }
        for name, behaviour in behaviours.items()
    ]
    return {
        "model_list": deployments,
        "model_groups": {"Respond": {"models": list(behaviours), "teams": ["*"]}},
        "router_settings": {"num_retries": 0, "timeout": 5, "disable_cooldowns": True},
        "litellm_settings": {"drop_params": True},
        **more,
    }


@dataclass(frozen=True)
class App:
    """A customer's app: its team, the server it talks to, the provider behind it."""

    server: Server
    team: Team
    provider: Provider
    folder: Path

    async def respond(self, body: Mapping[str, Any] | None = None, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        return await self.team.http.post(RESPOND, json={**(body or hello()), **more}, headers=headers)

    async def stream(self, body: Mapping[str, Any] | None = None, **more: Any) -> list[tuple[str, Any]]:
        answer = await self.respond(body, stream=True, **more)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        return events(answer.text)

    async def run_node(self, example: str, *, after: str = "") -> Ran:
        """Runs one of the document's examples in Node, with our address and key."""
        file = self.folder / f"example{Path(example).suffix}"
        text = addressed((SEEDS / example).read_text(encoding="utf-8"), self.server.url, self.team.key)
        await asyncio.to_thread(file.write_text, f"{text}\n{after}\n", encoding="utf-8")
        ran = await run_program("node", file, NODE_PATH=str(NODE_MODULES))
        assert ran.status == 0, ran.err
        return ran

    def asked(self, behaviour: str = "ok") -> Json:
        """What the provider was asked last."""
        return self.provider.seen(behaviour)[-1].body


OCR_PAGE_USD = 0.004


def with_ocr(config: Json, provider: Provider, behaviour: str = "ok", teams: str = "*") -> Json:
    """The same with an engine for scans."""
    deployment = {
        "model_name": "ocr-of-mistral",
        "litellm_params": {
            "model": "mistral/mistral-ocr-latest",
            "api_base": provider.url(behaviour),
            "api_key": "sk-provider-secret",
        },
    }
    group = {"models": ["ocr-of-mistral"], "teams": [teams]}
    return {
        **config,
        "model_list": [*config["model_list"], deployment],
        "model_groups": {**config["model_groups"], "mistral-ocr": group},
    }


def hello(**more: Any) -> Json:
    return {"model": LLAMA, "messages": [{"role": "user", "content": "Hello"}], **more}


def addressed(text: str, url: str, key: str) -> str:
    text, addresses = re.subn(re.escape(HOST), url, text)
    text, keys = re.subn(re.escape(KEY), key, text)
    assert (addresses, keys) == (1, 1), "an example names its address and key once"
    return text


def documented(example: str) -> Any:
    """A JSON example without the comments that the document wrote into it."""
    text = (SEEDS / example).read_text(encoding="utf-8")
    return json.loads(re.sub(r"\s//.*", "", text))


def events(text: str) -> list[tuple[str, Any]]:
    """Name and JSON of each event; the last one must be `[DONE]`, which is not returned."""
    *whole, end = text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    found = []
    for event in whole:
        if event.startswith(":"):
            continue
        name, body = event.split("\n")
        assert name.startswith("event: ")
        assert body.startswith("data: ")
        found.append((name.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
    return found


StartApp = Callable[..., Awaitable[App]]
"""Starts the product; takes what the provider does for each model, and settings."""


@asynccontextmanager
async def starting(database_url: str, provider: Provider, folder: Path) -> AsyncIterator[StartApp]:
    """What is started ends with the block."""
    async with AsyncExitStack() as stack:

        async def start(
            models: Mapping[str, str] | None = None,
            *,
            config: Json | None = None,
            group: str = "Respond",
            team: Json | None = None,
            resolve: Resolve = look_up,
            **settings: Any,
        ) -> App:
            file = write_config(folder, config or config_of_s4(provider, models or {}))
            server = await stack.enter_async_context(
                serving(settings_for(database_url, file, **settings), resolve=resolve)
            )
            made = await stack.enter_async_context(new_team(server, default_model_group=group, **(team or {})))
            return App(server, made, provider, folder)

        yield start
