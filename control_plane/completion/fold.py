"""A whole answer: the fold of its events. Pure."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.completion.events import (
    Audio,
    Citation,
    Content,
    Picture,
    Reasoning,
    ReasoningDetail,
    Refusal,
    Text,
    ToolCallArguments,
    ToolCallBegun,
    ToolCallEnded,
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call with its whole arguments."""

    begun: ToolCallBegun
    arguments: str

    @property
    def id(self) -> str:
        """Never empty."""
        return self.begun.id

    @property
    def name(self) -> str:
        """The tool's."""
        return self.begun.name


Part = Text | Reasoning | Refusal | Picture | Citation | Audio | ToolCall
"""A piece of a whole answer; what belongs together is one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole answer: its parts in their order, and what a provider wants back of its reasoning."""

    parts: Sequence[Part] = ()
    reasoning_details: Sequence[Mapping[str, Any]] = ()

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def refusal(self) -> str:
        """The text of the refusal."""
        return "".join(part.text for part in self.parts if isinstance(part, Refusal))

    @property
    def reasoning(self) -> str:
        """All of its reasoning."""
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))

    @property
    def thoughts(self) -> Sequence[Reasoning]:
        """Its blocks of reasoning."""
        return [part for part in self.parts if isinstance(part, Reasoning)]

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """Its tool calls, by number."""
        return sorted((part for part in self.parts if isinstance(part, ToolCall)), key=lambda call: call.begun.number)

    @property
    def pictures(self) -> Sequence[Picture]:
        """Its pictures."""
        return [part for part in self.parts if isinstance(part, Picture)]

    @property
    def citations(self) -> Sequence[Citation]:
        """Its sources."""
        return [part for part in self.parts if isinstance(part, Citation)]

    @property
    def audio(self) -> Audio | None:
        """Its sound, if there is any."""
        return next((part for part in self.parts if isinstance(part, Audio)), None)

    @property
    def logprobs(self) -> Mapping[str, Any] | None:
        """The logprobs of its text."""
        return next(
            (part.logprobs for part in self.parts if isinstance(part, Text) and part.logprobs is not None), None
        )


@dataclass(slots=True)
class _Folding:
    parts: list[Part] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[int, int] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def add(self, event: Content) -> None:
        match event:
            case ToolCallArguments():
                self.arguments[event.number].append(event.text)
            case ToolCallEnded():
                pass
            case ToolCallBegun():
                self._close()
                self.calls[event.number] = len(self.parts)
                self.arguments[event.number] = []
                self.parts.append(ToolCall(event, ""))
            case ReasoningDetail():
                self._detail(event.detail)
            case _:
                if not self._grow(event):
                    self._close()
                    self.parts.append(event)
                    if isinstance(event, Text | Refusal | Reasoning):
                        self.texts.append(event.text)

    def _grow(self, event: Part) -> bool:
        """Appends it to the part before, if it continues that."""
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Text) and isinstance(event, Text):
            self.texts.append(event.text)
            if event.logprobs is not None:
                self.parts[-1] = replace(last, logprobs=joined_logprobs(last.logprobs, event.logprobs))
            return True
        if isinstance(last, Refusal) and isinstance(event, Refusal):
            self.texts.append(event.text)
            return True
        if isinstance(last, Audio) and isinstance(event, Audio):
            self.parts[-1] = _longer(last, event)
            return True
        if not (isinstance(last, Reasoning) and isinstance(event, Reasoning)):
            return False
        if last.signature is not None or last.redacted is not None or event.redacted is not None:
            return False
        self.texts.append(event.text)
        if event.signature is not None:
            self.parts[-1] = replace(last, text="".join(self.texts), signature=event.signature)
            self.texts.clear()
        return True

    def message(self) -> Message:
        self._close()
        for number, place in self.calls.items():
            call = self.parts[place]
            assert isinstance(call, ToolCall), "their places do not change"
            self.parts[place] = replace(call, arguments="".join(self.arguments[number]))
        return Message(tuple(self.parts), tuple(self.details))

    def _close(self) -> None:
        """The last part gets its whole text."""
        last = self.parts[-1] if self.parts else None
        if self.texts and isinstance(last, Text | Refusal | Reasoning):
            self.parts[-1] = replace(last, text="".join(self.texts))
        self.texts.clear()

    def _detail(self, detail: Mapping[str, Any]) -> None:
        """Pieces of one item of `reasoning_details` become one again."""
        last = self.details[-1] if self.details else None
        if (
            last is None
            or any(last.get(name) != detail.get(name) for name in ("type", "index"))
            or last.get("index") is None
        ):
            self.details.append(dict(detail))
            return
        for name, value in detail.items():
            is_text = name in ("text", "summary", "data") and isinstance(value, str)
            last[name] = (last.get(name) or "") + value if is_text else value if value is not None else last.get(name)


def fold(events: Iterable[Content], answers: int = 1) -> Sequence[Message]:
    """The answers that the events make, one for each requested choice."""
    folding = [_Folding() for _ in range(answers)]
    for event in events:
        folding[event.choice].add(event)
    return [each.message() for each in folding]


def joined_logprobs(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Logprobs of two pieces of a text, in OpenAI's form."""
    if first is None or second is None:
        return first or second
    names = [*first, *(name for name in second if name not in first)]
    return {name: [*(first.get(name) or ()), *(second.get(name) or ())] or None for name in names}


def _longer(first: Audio, second: Audio) -> Audio:
    data = first.data + second.data
    if first.data.endswith("=") and second.data:  # each piece was encoded by itself
        data = b64encode(b64decode(first.data) + b64decode(second.data)).decode()
    return Audio(
        data,
        first.transcript + second.transcript,
        first.id or second.id,
        first.expires_at or second.expires_at,
        first.choice,
    )
