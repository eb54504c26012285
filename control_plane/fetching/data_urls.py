"""Files written into URLs: `data:application/pdf;base64,…`, read as browsers read them (WHATWG: fetch, infra). Pure."""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from control_plane.errors import FileRefused

SCHEME = "data:"
BLANKS = " \t\n\f\r"
"""ASCII whitespace: mail and PHP's `chunk_split` break base64 into lines."""

WITHOUT_BLANKS = str.maketrans("", "", BLANKS)
BASE64 = re.compile(f";[{BLANKS}]*base64[{BLANKS}]*", re.IGNORECASE)
GROUP = 4
"""Characters of base64 that stand for three bytes."""


def is_data_url(url: str) -> bool:
    """Whether the URL is the file itself."""
    return url.lstrip(BLANKS)[: len(SCHEME)].lower() == SCHEME


def data_url(kind: str, content: bytes) -> str:
    """A file as a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def said_kind(url: str) -> str:
    """The media type that a data URL claims, in lower case."""
    return _parts(url)[0].partition(";")[0].translate(WITHOUT_BLANKS).lower()


def content_of(url: str, name: str) -> bytes:
    """The file in a data URL. Raises: FileRefused, naming the file `name`."""
    head, comma, body = _parts(url)
    if not comma or not (_is_base64(head) or "%" in body):  # no file that is read is text without escapes
        raise FileRefused(f"'{name}' must be a data URL in base64: data:application/pdf;base64,…")
    if _is_base64(head):
        try:
            return _forgiving(body)
        except (binascii.Error, ValueError):
            raise FileRefused(f"'{name}' holds something that is not base64.") from None
    return unquote_to_bytes(body)


def as_written_by_us(url: str) -> str:
    """The data URL as every provider reads it: no blanks, escapes or parameters, padded. As it is when it is so, or is
    no data URL that can be read.
    """
    head, comma, body = _parts(url)
    if not comma or _is_plain(url, head, body):
        return url
    try:
        content = _forgiving(body) if _is_base64(head) else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return url
    return data_url(said_kind(url) or "text/plain", content)


def _parts(url: str) -> tuple[str, str, str]:
    """The part between the scheme and the comma, the comma, and the body without a fragment."""
    head, comma, body = url.lstrip(BLANKS)[len(SCHEME) :].partition(",")
    return head, comma, body.partition("#")[0]


def _is_base64(head: str) -> bool:
    return BASE64.fullmatch(head[max(head.rfind(";"), 0) :]) is not None


def _is_plain(url: str, head: str, body: str) -> bool:
    """Uses fast searches only: a body has megabytes."""
    kind = head.removesuffix(";base64")
    is_all = url.startswith(SCHEME) and len(url) == len(SCHEME) + len(head) + 1 + len(body)
    is_head_plain = kind != head and not set(kind) & set(f";{BLANKS}")
    return is_all and is_head_plain and len(body) % GROUP == 0 and not any(odd in body for odd in (*BLANKS, "%"))


def _forgiving(body: str) -> bytes:
    """https://infra.spec.whatwg.org/#forgiving-base64-decode, behind the escapes of a URL. Raises: ValueError."""
    text = unquote_to_bytes(body).decode("latin-1") if "%" in body else body
    text = text.translate(WITHOUT_BLANKS)
    if len(text) % GROUP == 0:
        text = text.removesuffix("=").removesuffix("=")
    return base64.b64decode(text + "=" * (-len(text) % GROUP), validate=True)
