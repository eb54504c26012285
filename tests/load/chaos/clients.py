"""Clients that do what apps do, and go on when the server is gone: they try again, leave streams, complete twice."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.load.chaos.server import ChaosServer

GROUPS = ["Good", "Good", "Good", "Falling", "Bad"]
ENDINGS = ["completed", "completed", "completed", "failed", "cancelled"]


@dataclass
class Client:
    """One app of one team. `statuses` counts what it was answered, `asked` its calls' tokens."""

    server: ChaosServer
    key: str
    asked: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        async with self.server.client(self.key) as http:
            while not stop.is_set():
                await self._history(http)

    async def _history(self, http: httpx.AsyncClient) -> None:
        if random.random() < 0.3:
            await self._one_call(http)
            return
        created = await self._surely(http, "/api/jobs/create", {"job_type": random.choice(["chat", "report"])})
        if created is None or created.status_code != 200:
            return
        path = f"/api/jobs/{created.json()['job_id']}"
        for _ in range(random.randint(0, 3)):
            await self._call(http, path)
        if random.random() < 0.9:
            body = {"status": random.choice(ENDINGS)}
            await asyncio.gather(*(self._surely(http, f"{path}/complete", body) for _ in range(random.randint(1, 2))))

    async def _one_call(self, http: httpx.AsyncClient) -> None:
        route = random.choice(["create-and-call", "create-and-call-stream"])
        body = {"job_type": "single", **self._body()}
        if random.random() < 0.5:
            await self._surely(http, f"/api/jobs/{route}", body)
        else:
            await self._once(http, f"/api/jobs/{route}", body)

    async def _call(self, http: httpx.AsyncClient, path: str) -> None:
        dice = random.random()
        if dice < 0.3:
            await self._once(http, f"{path}/llm-call", self._body())
            return
        if dice < 0.6:
            await self._surely(http, f"{path}/{random.choice(['llm-call', 'llm-call-stream'])}", self._body())
            return
        try:
            await self.server.is_up.wait()
            url = f"{self.server.url}{path}/llm-call-stream"
            async with http.stream("POST", url, json=self._body()) as stream:
                self.statuses[stream.status_code] += 1
                patience = random.randint(1, 30)
                async for _ in stream.aiter_lines():
                    patience -= 1
                    if not patience:
                        break
        except httpx.HTTPError:
            self.statuses[0] += 1

    async def _once(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
        await self.server.is_up.wait()
        try:
            answer = await http.post(self.server.url + path, json=body)
            self.statuses[answer.status_code] += 1
        except httpx.HTTPError:
            self.statuses[0] += 1

    async def _surely(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response | None:
        """Asks again with the same key until it is answered, however often the server dies."""
        headers = {"Idempotency-Key": uuid4().hex}
        for _ in range(60):
            await self.server.is_up.wait()
            try:
                answer = await http.post(self.server.url + path, json=body, headers=headers)
            except httpx.HTTPError:
                self.statuses[0] += 1
                await asyncio.sleep(0.1)
                continue
            self.statuses[answer.status_code] += 1
            is_running = answer.status_code == 409 and answer.json()["error"]["code"] == "idempotency_in_flight"
            if not is_running and answer.status_code != 503:
                return answer
            await asyncio.sleep(1)
        return None

    def _body(self) -> dict[str, Any]:
        token = f"token-{uuid4().hex}"
        self.asked.add(token)
        return {
            "model_group": random.choice(GROUPS),
            "messages": [{"role": "user", "content": f"Tell me about {token}"}],
            "purpose": token,
        }
