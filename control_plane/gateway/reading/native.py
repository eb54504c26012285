"""Answers in another wire than OpenAI's, which LiteLLM translates: what its translation loses is read here. Pure.

LiteLLM maps reasons that it does not know to `stop`, drops which stop sequence was met, and takes some failures for
answers. Each wire has its own place for these; nothing else of it is read.
"""

import re
from collections.abc import Mapping
from typing import Any

from control_plane.completion.events import ProviderFault
from control_plane.completion.finish import is_failure, said_of
from control_plane.gateway.reading.faults import find_fault
from control_plane.gateway.reading.json_text import whole_text

Json = Mapping[str, Any]

BEDROCK = re.compile(rb'"stopReason"\s*:\s*"([A-Za-z_]{1,100})"')


class NativeEnd:
    """Why the provider says that an answer ended. `is_known`: its wire is one that is read here."""

    def __init__(self) -> None:
        self.is_known = False
        self.said: str | None = None
        self.stop_sequence: str | None = None
        self._tail = b""

    def take(self, document: Any, *, is_error: bool = False) -> ProviderFault | None:
        """A document of the answer, whole or a piece; the fault that it reports."""
        if isinstance(document, list) and document:
            document = document[-1]
        if not isinstance(document, dict):
            return find_fault(document, is_certain=True) if is_error else None
        if (fault := find_fault(document, is_certain=is_error)) is not None:
            return fault
        for read in (self._anthropic, self._gemini, self._ollama, self._bedrock, self._cohere, self._responses):
            if read(document):
                self.is_known = True
                break
        if is_failure(self.said):
            return ProviderFault(500, self.said, text="the provider ended the answer as failed")
        return None

    def take_bytes(self, received: bytes) -> ProviderFault | None:
        """A piece of Bedrock's binary event stream."""
        self.is_known = True
        found = BEDROCK.findall(self._tail + received)
        self._tail = received[-200:]
        if found:
            self.said = found[-1].decode()
        return ProviderFault(500, self.said) if is_failure(self.said) else None

    def _anthropic(self, document: Json) -> bool:
        kind = document.get("type")
        if kind == "message_delta":
            self._stopped(document.get("delta"))
        elif kind == "message":
            self._stopped(document)
        else:
            return kind in (
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_stop",
            )
        return True

    def _stopped(self, said: Any) -> None:
        if isinstance(said, dict):
            self.said = said_of(said.get("stop_reason")) or self.said
            if isinstance(met := said.get("stop_sequence"), str):
                self.stop_sequence = whole_text(met[:1000])

    def _gemini(self, document: Json) -> bool:
        if isinstance(feedback := document.get("promptFeedback"), dict) and feedback.get("blockReason"):
            self.said = "content_filter"
        candidates = document.get("candidates")
        if isinstance(candidates, list) and candidates and isinstance(candidates[0], dict):
            self.said = said_of(candidates[0].get("finishReason")) or self.said
        return "candidates" in document or "promptFeedback" in document or "usageMetadata" in document

    def _ollama(self, document: Json) -> bool:
        if "done" not in document:
            return False
        if document["done"] is True:
            self.said = said_of(document.get("done_reason")) or "stop"
        return True

    def _bedrock(self, document: Json) -> bool:
        if "stopReason" not in document:
            return False
        self.said = said_of(document["stopReason"])
        return True

    def _cohere(self, document: Json) -> bool:
        kind = document.get("type")
        if kind == "message-end" and isinstance(delta := document.get("delta"), dict):
            self.said = said_of(delta.get("finish_reason"))
            return True
        if "finish_reason" in document and isinstance(document.get("message"), dict):
            self.said = said_of(document["finish_reason"])
            return True
        return kind in ("message-start", "content-start", "content-delta", "content-end", "tool-call-start")

    def _responses(self, document: Json) -> bool:
        kind = str(document.get("type"))
        response = document.get("response") if kind.startswith("response.") else document
        if not isinstance(response, dict) or (
            not kind.startswith("response.") and response.get("object") != "response"
        ):
            return False
        if response.get("status") in ("completed", "incomplete"):
            details = response.get("incomplete_details")
            self.said = said_of(details.get("reason") if isinstance(details, dict) else None) or "completed"
        elif response.get("status") in ("failed", "cancelled"):
            self.said = str(response["status"])
        return True
