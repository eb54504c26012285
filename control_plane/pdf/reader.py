"""The text of a PDF, by pypdf in a child process with limits on memory and time."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from control_plane.concurrency import TeamLimiter
from control_plane.errors import FileRefused

log = logging.getLogger(__name__)

CHILD = Path(__file__).with_name("child.py")
AT_ONCE, OF_A_TEAM = 4, 2
"""Of one process: reading takes a core each, though only what the server leaves of it."""
MEMORY_BYTES = 256_000_000
BYTES_PER_CHAR = 12
"""What a character may take in the child's JSON: two `\\uXXXX`."""

REASONS = {
    "encrypted": "is protected by a password",
    "broken": "is not a PDF that can be read",
}


@dataclass(frozen=True, slots=True)
class PdfText:
    """What was read: the texts of the first pages, of so many in all. `is_cut`: there was more text than was asked for."""

    pages: int
    texts: Sequence[str]
    unreadable: int = 0
    is_cut: bool = False


class PdfReader:
    """Reads PDFs of strangers."""

    def __init__(self, *, max_pages: int, timeout_s: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self.max_pages = max_pages
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._places = TeamLimiter(AT_ONCE, of_a_team=OF_A_TEAM)

    async def text(self, content: bytes, name: str, *, max_chars: int, team: str) -> PdfText:
        """Its text, of at most `max_pages`. Raises: FileRefused, naming the file `name`."""
        return await self._run(content, name, (self.max_pages, max_chars), team)

    async def count(self, content: bytes, name: str, *, team: str) -> int:
        """How many pages it has. Raises: FileRefused."""
        return (await self._run(content, name, (0, 0), team)).pages

    async def _run(self, content: bytes, name: str, most: tuple[int, int], team: str) -> PdfText:
        max_pages, max_chars = most
        limits = (max_pages, max_chars, self._memory_bytes, round(self._timeout_s) + 1)
        async with self._places.place(team):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(CHILD), *map(str, limits)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},  # nothing in it is worth stealing
            )
            try:
                async with asyncio.timeout(self._timeout_s):
                    said = await _talk(process, content, 1000 + max_pages * 4 + max_chars * BYTES_PER_CHAR)
            except TimeoutError:
                raise FileRefused(f"'{name}' takes longer than {self._timeout_s:g} seconds to read.") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return _understood(said, name)


async def _talk(process: asyncio.subprocess.Process, content: bytes, max_bytes: int) -> bytes:
    """What the child says of a PDF; nothing when it died, or says more than it could have to."""
    assert process.stdin is not None, "it was made with pipes"
    assert process.stdout is not None, "it was made with pipes"
    writing = asyncio.create_task(_write(process.stdin, content))
    try:
        said = bytearray()
        while piece := await process.stdout.read(2**16):
            said += piece
            if len(said) > max_bytes:
                return b""
        return bytes(said) if await process.wait() == 0 else b""
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write(pipe: asyncio.StreamWriter, content: bytes) -> None:
    try:
        pipe.write(content)
        await pipe.drain()
        pipe.close()
    except ConnectionError:
        pass  # it died before it had read everything


def _understood(said: bytes, name: str) -> PdfText:
    try:
        answer = json.loads(said)
    except ValueError:
        log.info("pdf_reader_died")
        raise FileRefused(f"'{name}' needs more memory or time to read than a PDF may.") from None
    if "error" in answer:
        raise FileRefused(f"'{name}' {REASONS[answer['error']]}.")
    return PdfText(answer["pages"], answer["texts"], answer["unreadable"], answer["is_cut"])
