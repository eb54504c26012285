"""The whole product for a test: its configuration, its services, a real server, clients with keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
import yaml
from pydantic import SecretStr

from control_plane.app import create_app
from control_plane.cli.protocol import protocol_of
from control_plane.fetching.fetcher import Resolve, look_up
from control_plane.runtime import open_services
from control_plane.schemas.jobs import UsageTotals
from control_plane.services import Services
from control_plane.settings import Settings
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider

MASTER_KEY = "sk-master-for-the-tests"
TLS = httpx.create_ssl_context()  # unused on loopback; a client without one makes its own in 30 ms

INPUT_PRICE = 0.000001
OUTPUT_PRICE = 0.000002
COST_NANO_USD = 11 * 1000 + 10 * 2000
"""What the provider's usual answer costs: 11 prompt and 10 completion tokens."""
COST_USD = COST_NANO_USD / 1e9

UNLIMITED = {"rpm": 10**9, "tpm": 10**9, "jobs_per_minute": 10**9}
"""Limits of a team that no test reaches."""

LONG_ANSWERS = {"long200": 400}
"""Tokens that answers may have, where they are more than the usual 10."""

FALLBACKS = {"Falling": ["e500", "ok"], "FallingTwice": ["e500", "e429", "ok"], "Breaking": ["break4", "ok"]}
"""Groups of more than one model. Every behaviour of the provider is also a group of its own, under its own name."""

BEHAVIOURS = [
    "ok",
    "json",
    "tools",
    "tools-two",
    "think",
    "refuse",
    "reason-length",
    "filter",
    "e400",
    "e401",
    "e404",
    "e429",
    "e500",
    "e503",
    "context",
    "policy",
    "garbage",
    "flaky1",
    "timeout",
    "hold",
    "hold0",
    "rolehold",
    "break0",
    "break4",
    "rolebreak",
    "errchunk",
    "nousage",
    "eof",
    "cached",
    "long200",
    "slow",
]


def config_for(provider: Provider, **more: Any) -> dict[str, Any]:
    """A configuration with one deployment and one model group for each behaviour of the provider, for every team."""
    deployments = [
        {
            "model_name": behaviour,
            "litellm_params": {
                "model": f"openai/model-{behaviour}",
                "api_base": provider.url(behaviour),
                "api_key": "sk-provider-secret",
            },
            "model_info": {
                "id": f"{behaviour}-1",
                "input_cost_per_token": INPUT_PRICE,
                "output_cost_per_token": OUTPUT_PRICE,
                "max_output_tokens": LONG_ANSWERS.get(behaviour, 10),
            },
        }
        for behaviour in BEHAVIOURS
    ]
    groups = {name: [name] for name in BEHAVIOURS} | FALLBACKS
    return {
        "model_list": deployments,
        "model_groups": {name: {"models": models, "teams": ["*"]} for name, models in groups.items()}
        | {"Private": {"models": ["ok"], "teams": ["nobody-*"]}},
        "router_settings": {"num_retries": 0, "timeout": 30, "disable_cooldowns": True},
        "litellm_settings": {"drop_params": True},
        **more,
    }


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "litellm_config.yaml"
    file.write_text(yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False))
    return file


PATIENT = {"database_timeout_s": 60.0, "header_timeout_s": 60.0, "wait_timeout_s": 60.0, "completion_wait_s": 50.0}
"""Settings of a server that is tested on a busy machine, or with a crowd of clients in its own event loop."""


def settings_for(database_url: str, config: Path, **more: Any) -> Settings:
    return Settings(
        database_url=database_url,
        config=config,
        master_key=SecretStr(MASTER_KEY),
        var=config.parent / "var",
        port=0,
        **(PATIENT | more),
    )


def used(prompt: int, completion: int) -> dict[str, int]:
    """Tokens by kind, of calls without any but plain ones."""
    return dict.fromkeys(UsageTotals.model_fields, 0) | {"input_fresh_tokens": prompt, "output_tokens": completion}


@dataclass(frozen=True)
class Server:
    """A real uvicorn in the test's own event loop."""

    url: str
    services: Services
    uvicorn: uvicorn.Server
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """As SIGTERM does: lets requests end until the grace is over, then cancels them. The services stay open."""
        self.uvicorn.should_exit = True
        await asyncio.shield(self.task)

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S, verify=TLS) as client:
            yield client


@asynccontextmanager
async def serving(settings: Settings, *, resolve: Resolve = look_up) -> AsyncIterator[Server]:
    """Serves the product on a free port until the end of the block."""
    async with open_services(settings, resolve=resolve) as services:
        config = uvicorn.Config(
            create_app(services),
            host="127.0.0.1",
            port=0,
            http=protocol_of(settings),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=round(settings.shutdown_grace_s),
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Server(f"http://127.0.0.1:{port}", services, server, task)
        finally:
            server.should_exit = True
            await task


@dataclass(frozen=True)
class Team:
    """A team with a key and a client that uses it."""

    id: str
    key: str
    http: httpx.AsyncClient
    admin: httpx.AsyncClient

    async def create_job(self, **more: Any) -> str:
        answer = await self.http.post("/api/jobs/create", json={"job_type": "test", **more})
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    async def call(self, job_id: str, group: str | None = "ok", **more: Any) -> httpx.Response:
        return await self.http.post(f"/api/jobs/{job_id}/llm-call", json=call_body(group, **more))

    async def complete(self, job_id: str, status: str = "completed", **more: Any) -> httpx.Response:
        return await self.http.post(f"/api/jobs/{job_id}/complete", json={"status": status, **more})

    async def costs(self, job_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/api/jobs/{job_id}/costs")
        assert answer.status_code == 200, answer.text
        costs: dict[str, Any] = answer.json()["costs"]
        return costs

    async def credits(self) -> dict[str, int]:
        answer = await self.http.get(f"/api/teams/{self.id}/credits")
        assert answer.status_code == 200, answer.text
        credits_: dict[str, int] = answer.json()
        return credits_


def call_body(group: str | None = "ok", text: str = "Hello", **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], **more}
    return body if group is None else {"model_group": group, **body}


@asynccontextmanager
async def new_team(server: Server, **more: Any) -> AsyncIterator[Team]:
    """A team made through the API, with 100 credits and without limits unless said otherwise."""
    body = {"team_id": f"team-{uuid4().hex[:8]}", "credits_allocated": 100, "model_groups": [], **UNLIMITED, **more}
    async with server.client(MASTER_KEY) as admin:
        answer = await admin.post("/api/teams/create", json=body)
        assert answer.status_code == 200, answer.text
        key = answer.json()["virtual_key"]
        async with server.client(key) as http:
            yield Team(body["team_id"], key, http, admin)
