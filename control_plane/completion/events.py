"""The canonical answer as a sequence of events: any provider's output, however it was cut, in one form.

Both lanes produce these, whole answers and streams alike; every API renders from them, and a whole answer is the fold
of its events (`fold.py`). `choice` is the number of the answer an event belongs to, from 0, when several were
requested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer's text. `logprobs`: in OpenAI's form, where requested."""

    text: str
    choice: int = 0
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Some of the model's reasoning. `signature` ends a block of it and must go back unchanged with the next request;
    `redacted` is a whole block that only the provider can read.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningDetail:
    """An item of OpenRouter's `reasoning_details`, which must go back unchanged with the next request."""

    detail: Mapping[str, Any]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of a model's refusal."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallBegun:
    """A tool call whose name is known. `number` counts the calls of its choice from 0; `id` is never empty. `extra`: other
    fields of the call that must go back with it, such as a thought signature.
    """

    number: int
    id: str
    name: str
    kind: Literal["function", "custom"] = "function"
    extra: Mapping[str, Any] | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of a call's arguments: JSON text, or free text of a `custom` call."""

    number: int
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """A call whose arguments are whole."""

    number: int
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: a data URL, or an address."""

    url: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of the text before it. `url` may be empty; `annotation` is the provider's own, in OpenAI's form."""

    url: str
    title: str
    annotation: Mapping[str, Any]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of sound (base64) and its transcript. `id` and `expires_at` (Unix seconds) name it for the next request."""

    data: str = ""
    transcript: str = ""
    id: str | None = None
    expires_at: int | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ProviderFault:
    """A provider's error report, in a status or inside an answer. `status`: the HTTP status that it stands for.

    `code`, `type` and `param` are the provider's own; `text` its message, which only administrators may read.
    """

    status: int
    code: str | None = None
    type: str | None = None
    param: str | None = None
    text: str = ""
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The answer ends here, and not as a whole one."""

    fault: ProviderFault


Content = (
    Text
    | Reasoning
    | ReasoningDetail
    | Refusal
    | ToolCallBegun
    | ToolCallArguments
    | ToolCallEnded
    | Picture
    | Citation
    | Audio
)
"""Content for clients."""

Event = Content | Broken
