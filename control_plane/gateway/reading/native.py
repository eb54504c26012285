"""Reads answers in wires that LiteLLM translates, for what its translation loses. Pure.

LiteLLM maps unknown finish reasons to `stop`, drops which stop sequence was met, takes some failures for answers, and
counts tokens in the provider's place without marking it. The finish reason and the usage are read from the provider's
own documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from control_plane.completion.events import ProviderFault
from control_plane.completion.finish import REASONS, finish_of, is_failure, said_of
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import whole_text
from control_plane.gateway.reading.native_usage import NativeUsage
from control_plane.gateway.reading.sse import EventTooLong, SseReader
from control_plane.gateway.reading.usage import ReportedUsage

Json = Mapping[str, Any]

Wire = Literal["openai", "cohere", "responses", "other"]
"""The wire of the documents, as far as it decides about the translation: `other` is LiteLLM's."""

MOST_MET = 1000
"""Characters kept of a stop sequence."""

ANTHROPIC = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_stop", "ping"}
)
CONVERSE = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
COHERE = (
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
)

LABELS = ("type", "role", "id", "index")
"""Keys beside the content."""

FAILED = "the provider ended the answer as failed"


def wire_of(document: Any) -> Wire:
    """The wire of a whole answer, or of the first document of a stream."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        return "other"
    kind = document.get("type")
    if "choices" in document or str(document.get("object")).startswith("chat.completion"):
        return "openai"
    if (isinstance(kind, str) and kind.startswith("response.")) or document.get("object") == "response":
        return "responses"
    if kind in COHERE or ("finish_reason" in document and isinstance(document.get("message"), dict)):
        return "cohere"
    return "other"


def first_document(body: bytes) -> Any:
    """Of server-sent events; None where there is none."""
    try:
        return next((event.document for event in SseReader().feed(body)), None)
    except EventTooLong:
        return None


class NativeEnd:
    """The provider's finish reason and usage of an answer.

    `is_known`: its wire is read here. `has_content`: whether any of it is not empty. `ends`: the provider's reason for
    each of several choices.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.has_content = False
        self.ends: dict[int, str] = {}
        self.stop_sequence: str | None = None
        self.usage = ReportedUsage()
        self._usage = NativeUsage()

    @property
    def said(self) -> str | None:
        """The word for the first answer that ended."""
        return next(iter(self.ends.values()), None)

    def take(self, document: Any, *, is_error: bool = False) -> ProviderFault | None:
        """A document of the answer, whole or a piece; the fault that it reports."""
        if isinstance(document, list):
            faults = [fault for item in document if (fault := self.take(item, is_error=is_error)) is not None]
            return next(iter(faults), None)
        if not isinstance(document, dict):
            return find_fault(document, is_certain=True) if is_error else None
        if (fault := find_fault(document, is_certain=is_error)) is not None:
            return fault
        for read in (self._anthropic, self._gemini, self._ollama, self._bedrock, self._cohere, self._responses):
            if read(document):
                self.is_known = True
                break
        self.has_content = self.has_content or any(map(_is_filled, _contents(document)))
        if (reported := self._usage.take(document)) is not None:
            self.usage.take(reported)
        if (fault := _failed_response(document)) is not None:
            return fault
        failed = next((said for said in self.ends.values() if is_failure(said)), None)
        return None if failed is None else ProviderFault(500, failed, text=FAILED)

    def is_empty(self) -> bool:
        """Whether it ended without content, and neither because of its length nor of a filter."""
        reasons = {finish_of(said).reason for said in self.ends.values()}
        return self.is_known and bool(reasons) and not self.has_content and not reasons & {"length", "content_filter"}

    def _ended(self, value: object, answer: int = 0) -> None:
        if (said := said_of(value)) is not None:
            self.ends[answer] = said

    def _anthropic(self, document: Json) -> bool:
        kind = document.get("type")
        if kind not in ANTHROPIC and kind not in ("message", "message_delta"):
            return False
        said = document.get("delta") if kind == "message_delta" else document if kind == "message" else None
        if isinstance(said, dict):
            self._ended(said.get("stop_reason"))
            if isinstance(met := said.get("stop_sequence"), str):
                self.stop_sequence = whole_text(met[:MOST_MET])
        return True

    def _gemini(self, document: Json) -> bool:
        if isinstance(feedback := document.get("promptFeedback"), dict) and (why := feedback.get("blockReason")):
            is_listed = REASONS.get(str(why).lower()) == "content_filter"
            self._ended(why if is_listed else "content_filter")
        candidates = document.get("candidates")
        for place, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(candidate, dict):
                index = candidate.get("index")
                self._ended(candidate.get("finishReason"), index if isinstance(index, int) else place)
        return any(name in document for name in ("candidates", "promptFeedback", "usageMetadata"))

    def _ollama(self, document: Json) -> bool:
        if "done" not in document:
            return False
        if document["done"] is True:
            self._ended(document.get("done_reason") or "stop")
        return True

    def _bedrock(self, document: Json) -> bool:
        stop = document.get("messageStop")
        self._ended((stop if isinstance(stop, dict) else document).get("stopReason"))
        fields = (stop if isinstance(stop, dict) else document).get("additionalModelResponseFields")
        if isinstance(fields, dict) and isinstance(met := fields.get("stop_sequence"), str):
            self.stop_sequence = whole_text(met[:MOST_MET])
        return "stopReason" in document or any(name in document for name in CONVERSE)

    def _cohere(self, document: Json) -> bool:
        if wire_of(document) != "cohere":
            return False
        said = document.get("delta") if document.get("type") == "message-end" else document
        self._ended(said.get("finish_reason") if isinstance(said, dict) else None)
        return True

    def _responses(self, document: Json) -> bool:
        if wire_of(document) != "responses":
            return False
        response = document.get("response")
        response = document if not isinstance(response, dict) else response
        status = response.get("status")
        if status == "incomplete":
            details = response.get("incomplete_details")
            self._ended((details.get("reason") if isinstance(details, dict) else None) or status)
        elif status in ("completed", "failed", "cancelled"):
            self._ended(status)
        return True


def _contents(document: Json) -> Iterator[Any]:
    """The content of a document in the wires that LiteLLM translates."""
    for name in ("content", "content_block", "output", "contentBlockStart", "contentBlockDelta"):
        yield document.get(name)
    if document.get("type") == "content_block_delta":
        yield document.get("delta")
    if "done" in document:
        yield document.get("message")
    candidates = document.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        yield candidate.get("content") if isinstance(candidate, dict) else None


def _is_filled(value: Any) -> bool:
    """Whether data hold anything but names of their parts."""
    match value:
        case dict():
            return any(_is_filled(item) for name, item in value.items() if name not in LABELS)
        case list():
            return any(map(_is_filled, value))
        case _:
            return isinstance(value, str) and value != ""


def _failed_response(document: Json) -> ProviderFault | None:
    """The error of OpenAI's Responses, which stands inside of the response."""
    response = document.get("response")
    if document.get("type") != "response.failed" or not isinstance(response, dict):
        return None
    return find_fault(response) or ProviderFault(500, "failed", text=FAILED)
