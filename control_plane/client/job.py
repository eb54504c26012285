"""A job as a block of code: completed at its end, failed by an exception."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from .values import ChatAnswer, ChatChunk, CompletedJob

if TYPE_CHECKING:
    from .client import SaaSLLMClient

M = TypeVar("M", bound=BaseModel)


class JobSession:
    """An open job. `bill` is set after the block."""

    def __init__(self, client: "SaaSLLMClient", job_id: str) -> None:
        self._client = client
        self.id = job_id
        self.bill: CompletedJob | None = None

    async def chat(self, messages: Sequence[dict[str, Any]], **parameters: Any) -> ChatAnswer:
        """As `SaaSLLMClient.chat`."""
        return await self._client.chat(self.id, messages, **parameters)

    def chat_stream(self, messages: Sequence[dict[str, Any]], **parameters: Any) -> AsyncIterator[ChatChunk]:
        """As `SaaSLLMClient.chat_stream`."""
        return self._client.chat_stream(self.id, messages, **parameters)

    async def structured_output(
        self, messages: Sequence[dict[str, Any]], response_model: type[M], **parameters: Any
    ) -> M:
        """As `SaaSLLMClient.structured_output`."""
        return await self._client.structured_output(self.id, messages, response_model, **parameters)
