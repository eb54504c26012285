"""The yardstick: `litellm.Router.acompletion` behind the smallest FastAPI route one would write, LiteLLM as it comes.

One uvicorn worker on uvloop and httptools, no access log, no billing, no keys. It reads the same `model_list` as we do.
"""

import argparse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import litellm
import uvicorn
import yaml
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse


def build_app(config: Path) -> FastAPI:
    """An app with `/call` and `/stream`; the body is what `acompletion` takes."""
    app = FastAPI()
    router = litellm.Router(model_list=yaml.safe_load(config.read_text())["model_list"])

    @app.get("/ready")
    async def ready() -> Response:
        return Response()

    @app.post("/call")
    async def call(body: dict[str, Any]) -> Response:
        answer = await router.acompletion(**body)
        return Response(answer.model_dump_json(exclude_none=True, exclude_unset=True), media_type="application/json")

    @app.post("/stream")
    async def stream(body: dict[str, Any]) -> StreamingResponse:
        chunks = await router.acompletion(**body, stream=True)

        async def events() -> AsyncIterator[str]:
            async for chunk in chunks:
                yield f"data: {chunk.model_dump_json(exclude_none=True, exclude_unset=True)}\n\n"
            yield "data: [DONE]\n\n"

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
