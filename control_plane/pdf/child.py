"""Reads one PDF from standard input and writes its text to standard output as JSON. Runs as a program of its own.

It imports nothing of this package, holds no secret and limits itself before it reads the first byte. Beyond its limits
it dies, alone.
"""

import io
import json
import logging
import os
import re
import resource
import sys
from typing import Any

ENCRYPTED = re.compile(rb"Encrypt|/[A-Za-z]*#[0-9A-Fa-f]{2}")
"""What is in every encrypted PDF: that name in its trailer, which may have escaped characters. Others are read without the
library that decrypts, a fifth of this program's memory.
"""


def main(max_pages: int, max_chars: int, memory_bytes: int, cpu_s: int) -> None:
    """`max_pages` 0: only counts the pages."""
    _limit(memory_bytes, cpu_s)
    content = sys.stdin.buffer.read()
    if not ENCRYPTED.search(content):
        sys.modules["cryptography"] = None  # type: ignore[assignment]  # pypdf does without it then
    from pypdf import PdfReader  # noqa: PLC0415 - within the limits
    from pypdf.errors import PyPdfError  # noqa: PLC0415 - as above

    logging.disable(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            answer: dict[str, Any] = {"error": "encrypted"}
        else:
            answer = _read(reader, max_pages, max_chars)
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError, EOFError):
        answer = {"error": "broken"}
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=True).encode())


def _limit(memory_bytes: int, cpu_s: int) -> None:
    """No more memory and time than that, no files written; and the server goes first."""
    os.nice(10)
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _read(reader: Any, max_pages: int, max_chars: int) -> dict[str, Any]:
    texts: list[str] = []
    unreadable = 0
    left = max_chars
    pages = len(reader.pages)
    for number in range(min(pages, max_pages)):
        if left <= 0:
            break
        try:
            text = reader.pages[number].extract_text()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a broken page is reported as such; its neighbours may be whole
            text = ""
            unreadable += 1
        text = text.encode("utf-8", "replace").decode()
        texts.append(text[:left])
        left -= len(text)
    return {"pages": pages, "texts": texts, "unreadable": unreadable, "is_cut": left < 0}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
