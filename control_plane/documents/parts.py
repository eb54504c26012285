"""Files in messages: where they are, and messages with something else in their place. Pure."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from control_plane.calls.remote_files import image_url_of
from control_plane.chat import Message
from control_plane.errors import FileRefused
from control_plane.fetching.data_urls import is_data_url, said_kind
from control_plane.fetching.media_types import PDF

Part = Mapping[str, Any]
Spot = tuple[int, int]
"""The numbers of a message and of a part in it."""

FILE_KEYS = ("file_data", "fileData")
DEFAULT_NAME = "document.pdf"
MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Document:
    """A file of a message: a URL or a data URL, and what it is called. `part`: as the client wrote it."""

    spot: Spot
    source: str
    name: str
    part: Part


def documents_in(messages: Sequence[Message]) -> list[Document]:
    """Every file, and every image that is linked or may be a PDF; images given as data are left to the model.

    Raises: FileRefused for a file part without its file.
    """
    found = []
    for message_number, message in enumerate(messages):
        content = message.get("content")
        for part_number, part in enumerate(content if isinstance(content, list) else ()):
            source = _source_of(part)
            if source is not None:
                found.append(Document((message_number, part_number), source, _name_of(part, source), part))
    return found


def text_length(messages: Sequence[Message]) -> int:
    """Characters of text, the arguments of tool calls and reasoning included; files and images do not count."""
    length = 0
    for message in messages:
        content = message.get("content")
        texts = [content] if isinstance(content, str) else [part.get("text") for part in content or ()]
        length += sum(len(text) for text in texts if isinstance(text, str))
        length += sum(len(call["function"]["arguments"]) for call in message.get("tool_calls") or ())
        length += max(_reasoning_lengths(message))
    return length


def _reasoning_lengths(message: Message) -> tuple[int, ...]:
    """Characters of reasoning in each of its forms, of which one goes to a provider."""
    texts = [len(message.get(name) or "") for name in ("reasoning_content", "reasoning")]
    blocks = sum(len(block.get("thinking") or "") for block in message.get("thinking_blocks") or ())
    details = sum(len(str(detail.get("text") or "")) for detail in message.get("reasoning_details") or ())
    return (*texts, blocks, details)


def replaced(messages: Sequence[Message], parts: Mapping[Spot, Sequence[Part]]) -> list[Message]:
    """The messages with these parts in the place of files. One that only had files that are left out says so, since
    providers refuse empty messages.
    """
    return [
        message if not any(spot[0] == number for spot in parts) else _with_parts(message, number, parts)
        for number, message in enumerate(messages)
    ]


def text_part(name: str, text: str) -> Part:
    """The text of a file as the model gets it."""
    return {"type": "text", "text": f'<file name="{name}">\n{text}\n</file>'}


def pdf_part(name: str, url: str) -> Part:
    """A PDF for models that read them; `url` is its data URL."""
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def image_part(part: Part, url: str) -> Part:
    """An image as data, with what the client said of how to look at it."""
    given = part.get("image_url")
    kept = {name: value for name, value in given.items() if name == "detail"} if isinstance(given, Mapping) else {}
    return {"type": "image_url", "image_url": {**kept, "url": url}}


def _with_parts(message: Message, number: int, parts: Mapping[Spot, Sequence[Part]]) -> Message:
    content: list[Part] = []
    for part_number, part in enumerate(message["content"]):
        content.extend(parts.get((number, part_number), [part]))
    return {**message, "content": content or [{"type": "text", "text": "[A file was left out here.]"}]}


def _source_of(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return None
    if part.get("type") == "image_url":
        url = image_url_of(part)
        return None if url is None or (is_data_url(url) and said_kind(url) != PDF) else url
    if part.get("type") == "file":
        file = part.get("file") or {}
        sources = [file[key] for key in FILE_KEYS if isinstance(file.get(key), str)]
        if len(sources) != 1:
            raise FileRefused("A file part needs its file as fileData (a URL) or file_data (a data URL), one of them.")
        source: str = sources[0]
        return source
    return None


def _name_of(part: Part, source: str) -> str:
    """What the client calls it, else what its address does; nothing that could end the tag its text stands in."""
    file = part.get("file")
    said = file.get("filename") if isinstance(file, Mapping) else None
    if not isinstance(said, str) or not said.strip():
        said = "" if is_data_url(source) else posixpath.basename(unquote(_path_of(source)))
    clean = "".join(character for character in said if character.isprintable() and character not in '<>"').strip()
    return clean[:MAX_NAME_CHARS] or DEFAULT_NAME


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
