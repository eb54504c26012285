"""The least possible: a FastAPI route that hands a provider's bytes on, with nothing in between: no routing, no tokens, no bill.

One uvicorn worker on uvloop and httptools. What we cost beyond it is what we do.
"""

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import uvicorn
import yaml
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse


def build_app(config: Path) -> FastAPI:
    """An app with `/call` and `/stream`; the body is what `acompletion` takes."""
    app = FastAPI()
    deployments = {
        each["model_name"]: each["litellm_params"] for each in yaml.safe_load(config.read_text())["model_list"]
    }
    sessions: list[aiohttp.ClientSession] = []

    def ask(body: bytes, *, is_stream: bool) -> aiohttp.client._RequestContextManager:
        asked = orjson.loads(body)
        params = deployments[asked["model"]]
        sent = orjson.dumps({**asked, "model": "gpt-4o", "stream": is_stream})
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        headers = {"Authorization": f"Bearer {params['api_key']}", "Content-Type": "application/json"}
        return sessions[0].post(f"{params['api_base']}/chat/completions", data=sent, headers=headers)

    @app.get("/ready")
    async def ready() -> Response:
        return Response()

    @app.post("/call")
    async def call(request: Request) -> Response:
        async with ask(await request.body(), is_stream=False) as answer:
            return Response(await answer.read(), media_type="application/json")

    @app.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        answer = await ask(await request.body(), is_stream=True)

        async def events() -> AsyncIterator[bytes]:
            async with answer:
                async for piece in answer.content.iter_any():
                    yield piece

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        build_app(arguments.config),
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
