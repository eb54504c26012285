"""The most tokens of a file in a message: by its kind, and by its size where its data is in the message. Pure.

A provider's tokens for a file cannot be bounded without reading it. These are the highest counts seen today: a picture
in high resolution, a sound at the lowest quality in use, a document that is nearly all text.
"""

from collections.abc import Mapping
from typing import Any

FILE_TYPES = frozenset({"image_url", "input_audio", "file"})

TOKENS_PER_FILE = 2_000
"""A file that is linked, whatever its size."""
TOKENS_PER_IMAGE = 5_000
"""A picture with its data in the message."""
BYTES_PER_IMAGE_TOKEN = 250
"""Of a picture so large that it is cut into tiles."""
MAX_IMAGE_TOKENS = 50_000
"""gpt-4o-mini's count for its largest picture."""
BYTES_PER_WAVE_TOKEN = 250
"""32 tokens a second, the most a provider counts, of a sound that is not compressed: 8 000 bytes a second at least."""
BYTES_PER_SOUND_TOKEN = 31
"""The same of a compressed sound: 1 000 bytes a second at least."""
BYTES_PER_DOCUMENT_TOKEN = 10
"""Of a PDF: text is compressed to a third of its size, and each page is read as a picture, too."""

WAVE = "UklGR"
"""The beginning of a WAV file's data, in base64: RIFF."""


def is_file(part: Any) -> bool:
    """Whether a part of a message is a file: of a file type, without text."""
    return isinstance(part, Mapping) and part.get("type") in FILE_TYPES and part.get(part["type"]) is not None


def file_tokens(part: Mapping[str, Any]) -> int:
    """The most tokens that a file may be."""
    value = part[part["type"]]
    data = _data(value)
    if data is None:
        return TOKENS_PER_FILE
    kind, encoded = _split(data)
    size = len(encoded) * 3 // 4
    if part["type"] == "input_audio" or kind.startswith("audio/"):
        return max(
            TOKENS_PER_FILE, size // (BYTES_PER_WAVE_TOKEN if encoded.startswith(WAVE) else BYTES_PER_SOUND_TOKEN)
        )
    if part["type"] == "image_url" or kind.startswith("image/"):
        return min(max(TOKENS_PER_IMAGE, size // BYTES_PER_IMAGE_TOKEN), MAX_IMAGE_TOKENS)
    if kind in ("", "application/pdf"):
        return max(TOKENS_PER_FILE, size // BYTES_PER_DOCUMENT_TOKEN)
    return max(TOKENS_PER_FILE, size)


def without_data(part: Mapping[str, Any]) -> Any:
    """The words beside a file's data: its name, what it is."""
    value = part[part["type"]]
    beside = [each for name, each in part.items() if name not in ("type", part["type"])]
    if isinstance(value, str):
        return beside or None
    inner = [each for name, each in value.items() if not _holds_data(name)] if isinstance(value, Mapping) else [value]
    return [*beside, *inner] or None


def _holds_data(name: str) -> bool:
    return name in ("url", "data", "file_data", "fileData", "file_id")


def _data(value: Any) -> str | None:
    """A file's data: base64, or a data URL; None of one that is linked or named."""
    if isinstance(value, str):
        return value if value.startswith("data:") else None
    if not isinstance(value, Mapping):
        return None
    for name in ("data", "file_data", "fileData"):
        if isinstance(value.get(name), str) and not value[name].startswith(("http://", "https://")):
            return str(value[name])
    address = value.get("url") or value.get("file_id")
    return address if isinstance(address, str) and address.startswith("data:") else None


def _split(data: str) -> tuple[str, str]:
    """Kind and base64 of a data URL, or of base64 alone."""
    if not data.startswith("data:"):
        return "", data
    head, _, encoded = data.partition(",")
    return head.removeprefix("data:").partition(";")[0].lower(), encoded
