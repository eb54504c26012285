"""Files written into URLs: `data:application/pdf;base64,…`. Pure."""

import base64
import binascii

from control_plane.errors import FileRefused

SCHEME = "data:"


def is_data_url(url: str) -> bool:
    """Whether the URL is the file itself."""
    return url[: len(SCHEME)].lower() == SCHEME


def data_url(kind: str, content: bytes) -> str:
    """A file as a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def said_kind(url: str) -> str:
    """The media type that a data URL claims, in lower case."""
    return url[len(SCHEME) :].partition(",")[0].partition(";")[0].strip().lower()


def content_of(url: str, name: str) -> bytes:
    """The file in a data URL. Raises: FileRefused, naming the file `name`."""
    head, comma, body = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise FileRefused(f"'{name}' must be a data URL in base64: data:application/pdf;base64,…")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise FileRefused(f"'{name}' holds something that is not base64.") from None
