"""Runs the seed documents' examples as their readers would: their own text, with only address and key put in."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.provider import Provider, Seen
from tests.support.provider_plans import WORDS
from tests.support.server import Team, new_team, serving, settings_for, write_config

SEEDS = Path(__file__).parent / "seeds"
RUN_TIMEOUT_S = 60
TEXT = "".join(WORDS)
"""What the provider's usual answer says."""
MESSAGES = [{"role": "user", "content": "Hello"}]

INPUT_PRICE, OUTPUT_PRICE = 0.00001, 0.00003
CALL_COST_USD = 11 * INPUT_PRICE + 10 * OUTPUT_PRICE

MODELS = {"gpt-4-turbo": "ok", "gpt-3.5-turbo": "ok", "claude-3-sonnet": "ok"}
"""What the provider does when it is asked for a model of the documents' groups."""

GROUPS = {
    "ResumeAgent": ["gpt-4-turbo", "gpt-3.5-turbo", "claude-3-sonnet"],
    "ChatAgent": ["gpt-3.5-turbo"],
    "AnalysisAgent": ["gpt-4-turbo"],
    "SummaryAgent": ["claude-3-sonnet"],
    "WritingAgent": ["claude-3-sonnet", "gpt-4-turbo"],
}

SPECIAL = ["json", "reason-length", "filter", "hold", "break4", "e400", "e429", "e500", "e503"]
"""Behaviours that are groups of their own."""

STALL_S = 1.0
"""How long a model may be silent: short for a test, long for a busy machine."""

PYTHON_HEAD = """\
import requests

API_URL = "http://localhost:8003/api"
VIRTUAL_KEY = "sk-your-virtual-key"

headers = {
    "Authorization": f"Bearer {VIRTUAL_KEY}",
    "Content-Type": "application/json"
}
"""
JAVASCRIPT_HEAD = """\
const API_URL = "http://localhost:8003/api";
const VIRTUAL_KEY = "sk-your-virtual-key";
"""
HEADS = {".py": PYTHON_HEAD, ".mjs": JAVASCRIPT_HEAD, ".sh": ""}
"""What both documents write first, for examples that leave it out."""

PROGRAMS = {".py": sys.executable, ".mjs": "node", ".sh": "sh"}


def text_of(example: str) -> str:
    return (SEEDS / example).read_text(encoding="utf-8")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed on this machine")


def config_of_acme(provider: Provider, models: dict[str, str]) -> dict[str, Any]:
    """The documents' groups over the scripted provider; each of `SPECIAL` is a group too, `GPT4Agent` is for nobody."""
    behaviours = MODELS | models | {name: name for name in SPECIAL}
    deployments = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": provider.url(behaviour),
                "api_key": "sk-provider-secret",
                "timeout": STALL_S if behaviour == "hold" else 5,
            },
            "model_info": {
                "id": f"{name}-1",
                "input_cost_per_token": INPUT_PRICE,
                "output_cost_per_token": OUTPUT_PRICE,
                "max_output_tokens": 10,
            },
        }
        for name, behaviour in behaviours.items()
    ]
    groups = GROUPS | {name: [name] for name in SPECIAL}
    return {
        "model_list": deployments,
        "model_groups": {name: {"models": members, "teams": ["acme-*"]} for name, members in groups.items()}
        | {"GPT4Agent": {"models": ["gpt-4-turbo"], "teams": ["globex"]}},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {"drop_params": True},
    }


@dataclass(frozen=True)
class Ran:
    """What an example said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Acme:
    """The documents' team `acme-corp`, its server, and the provider behind it."""

    url: str
    team: Team
    provider: Provider
    folder: Path

    async def run(
        self,
        *examples: str,
        job_id: str = "",
        before: str = "",
        after: str = "",
        key: str | None = None,
        status: int = 0,
    ) -> Ran:
        """Runs examples, one after the other in one program. `before` and `after` are code around them.

        An example that takes a job for granted gets `job_id`.
        """
        kind = Path(examples[0]).suffix
        texts = [text_of(example) for example in examples]
        head = "" if "localhost:8003" in texts[0] else HEADS[kind]
        if kind == ".sh":
            texts = [text.replace("{job_id}", job_id) for text in texts]
        elif job_id:
            head += f'const jobId = "{job_id}";\n' if kind == ".mjs" else f'job_id = "{job_id}"\n'
        program = self._addressed("\n".join([head, before, *texts, after]), key or self.team.key)
        file = self.folder / f"example{kind}"
        await asyncio.to_thread(file.write_text, program, encoding="utf-8")
        ran = await run_program(PROGRAMS[kind], file)
        assert ran.status == status, ran.err
        return ran

    def seen(self) -> list[Seen]:
        """What the provider was asked, in order."""
        return self.provider.requests

    def _addressed(self, text: str, key: str) -> str:
        text, addresses = re.subn("http://localhost:8003", self.url, text)
        text, keys = re.subn("sk-your-virtual-key(-here)?", key, text)
        assert (addresses, keys) == (1, 1), "an example names its address and key once"
        return text


async def run_program(program: str, file: Path, **environ: str) -> Ran:
    """Runs a file, which has a minute."""
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONIOENCODING": "utf-8"} | environ
    process = await asyncio.create_subprocess_exec(
        program, str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


StartAcme = Callable[..., Awaitable[Acme]]
"""Starts the product for acme-corp, with 100 credits; takes what the provider does for each model, and team fields."""


@asynccontextmanager
async def starting(database_url: str, provider: Provider, folder: Path) -> AsyncIterator[StartAcme]:
    """What is started ends with the block."""
    async with AsyncExitStack() as stack:

        async def start(models: dict[str, str] | None = None, **team: Any) -> Acme:
            settings = settings_for(database_url, write_config(folder, config_of_acme(provider, models or {})))
            server = await stack.enter_async_context(serving(settings))
            fields = {"team_id": "acme-corp", "default_model_group": "ChatAgent", **team}
            made = await stack.enter_async_context(new_team(server, **fields))
            return Acme(server.url, made, provider, folder)

        yield start
