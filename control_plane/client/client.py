"""The Job API, typed: jobs, calls, streams and structured outputs."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from .errors import ClientError, OutputInvalid, StreamFailed, text_of
from .events import LineTooLong, events
from .job import JobSession
from .transport import Transport
from .values import ChatAnswer, ChatChunk, CompletedJob, JobCreated, JobView
from .version import __version__

M = TypeVar("M", bound=BaseModel)

Messages = Sequence[dict[str, Any]]
Status = Literal["completed", "failed", "cancelled"]

DONE = b"[DONE]"

STALL_TIMEOUT_S = 1800.0
"""As long as the server lets a call take; until then its comments are a model that thinks."""
LEAVE_S = 5.0
"""For closing the job of a block that raises or is cancelled; its caller waits for the exception."""


class SaaSLLMClient:
    """A team's client: `async with SaaSLLMClient(base_url, team_id, virtual_key) as client`.

    `parameters` of calls are those of the wire: `model_group`, `temperature`, `max_tokens`, `tools`, `purpose`, …
    Everything raises ClientError's subclasses. What failed in passing is tried again, up to `max_retries` times, and
    never done twice.
    """

    def __init__(
        self,
        base_url: str,
        team_id: str | None = None,
        virtual_key: str = "",
        *,
        timeout_s: float = 600.0,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        max_retries: int = 2,
    ) -> None:
        """`team_id`: the key's; the server refuses another.

        `timeout_s`: for a whole answer, each time that it is tried; of a stream until it begins, then for silence.
        `stall_timeout_s`: for a pause between two pieces of a stream; the server's comments do not end it.
        Raises: ValueError without a key.
        """
        if not virtual_key.strip() or not virtual_key.isascii():
            raise ValueError("virtual_key is missing, or not a key: it begins with sk-")
        self._team_id = team_id
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers={
                "Authorization": f"Bearer {virtual_key.strip()}",
                "User-Agent": f"control-plane-client/{__version__}",
            },
            timeout=httpx.Timeout(timeout_s, connect=10.0),
        )
        self._stall_timeout_s = stall_timeout_s
        self._transport = Transport(self._http, max_retries=max_retries, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def create_job(
        self, job_type: str, *, metadata: Mapping[str, Any] | None = None, user_id: str | None = None, **more: Any
    ) -> str:
        """Opens a job; returns its id. `more`: `model_group`, `max_credits`, `max_cost_usd`, `ttl_seconds`, …"""
        body = {"job_type": job_type, "team_id": self._team_id, "metadata": metadata, "user_id": user_id, **more}
        return (await self._transport.post("/api/jobs/create", body, JobCreated)).job_id

    async def get_job(self, job_id: str) -> JobView:
        """The job as it is now."""
        return await self._transport.get(f"/api/jobs/{job_id}", JobView)

    async def chat(self, job_id: str, messages: Messages, **parameters: Any) -> ChatAnswer:
        """One whole answer."""
        body = {"messages": list(messages), **parameters}
        return await self._transport.post(f"/api/jobs/{job_id}/llm-call", body, ChatAnswer)

    async def chat_stream(self, job_id: str, messages: Messages, **parameters: Any) -> AsyncIterator[ChatChunk]:
        """The answer in pieces, as they come; the last chunk has the usage. Raises: StreamFailed when it breaks off."""
        body = {"messages": list(messages), **parameters}
        async with self._transport.stream(f"/api/jobs/{job_id}/llm-call-stream", body) as response:
            try:
                async for data in events(response, stall_s=self._stall_timeout_s):
                    if data == DONE:
                        return
                    yield _chunk(data)
            except httpx.RequestError as error:
                raise StreamFailed("connection_lost", type(error).__name__) from error
            except TimeoutError as error:
                raise StreamFailed("stalled", f"no piece came for {self._stall_timeout_s:g} s") from error
            except LineTooLong as error:
                raise StreamFailed("invalid_chunk", str(error)) from error
            raise StreamFailed("connection_lost", "the stream ended before its end")

    async def structured_output(self, job_id: str, messages: Messages, response_model: type[M], **parameters: Any) -> M:
        """An answer in the form of a pydantic model. Raises: OutputInvalid for one that does not fit it."""
        schema = {"name": response_model.__name__, "schema": response_model.model_json_schema()}
        wanted = {"type": "json_schema", "json_schema": schema}
        answer = await self.chat(job_id, messages, response_format=wanted, **parameters)
        content = answer.response.content
        try:
            return response_model.model_validate_json(content or "")
        except ValidationError as error:
            raise OutputInvalid(content) from error

    async def complete_job(
        self,
        job_id: str,
        status: Status = "completed",
        *,
        metadata: Mapping[str, Any] | None = None,
        error_message: str | None = None,
    ) -> CompletedJob:
        """Closes the job; returns its bill. Repeating it gives the same bill."""
        body = {"status": status, "metadata": metadata, "error_message": error_message}
        return await self._transport.post(f"/api/jobs/{job_id}/complete", body, CompletedJob)

    @asynccontextmanager
    async def job(self, job_type: str, **more: Any) -> AsyncIterator[JobSession]:
        """A job for the block: completed at its end, failed and free when the block raises."""
        session = JobSession(self, await self.create_job(job_type, **more))
        try:
            yield session
        except BaseException as error:
            await self._fail(session.id, error)
            raise
        session.bill = await self.complete_job(session.id)

    async def _fail(self, job_id: str, error: BaseException) -> None:
        """The caller gets what the block raised, soon, also when the job cannot be closed. A cancelled one is tried once."""
        retries = None if isinstance(error, Exception) else 0
        body = {"status": "failed", "error_message": type(error).__name__}
        with suppress(ClientError, TimeoutError):  # the job expires by itself, and costs nothing
            async with asyncio.timeout(LEAVE_S):
                await self._transport.post(f"/api/jobs/{job_id}/complete", body, CompletedJob, retries=retries)


def _chunk(data: bytes) -> ChatChunk:
    try:
        event = json.loads(data)
        if "error" in event:
            error = event["error"]
            code, message = error.get("code"), error.get("message")
            raise StreamFailed(text_of(code, "unknown"), text_of(message, "The server gave no reason."))
        return ChatChunk.model_validate(event)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StreamFailed("invalid_chunk", "a piece of the stream is not one of the control plane's") from error
