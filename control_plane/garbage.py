"""Collects garbage by handled bytes, in addition to Python's own count of objects.

The objects of a call refer to each other in circles (LiteLLM's do, and so does any exception), so they live until the
collector runs, which is rare (`cli/server.py`). A few objects may hold a picture of 4 MB.
"""

import asyncio
import gc
import time

from control_plane.allocator import trim

COLLECT_BYTES = 32_000_000
"""So much may be garbage, and is as little as the bodies of ten pictures."""

REST = 20
"""Pause after a collection, as a multiple of its duration: collections take at most a twentieth of the time."""

SOON_S = 0.05
"""Delay after the bytes were handled, when their handler has released them."""


class GarbageByBytes:
    """Counts handled bytes; collects between two turns of the event loop."""

    def __init__(self, *, collect_bytes: int = COLLECT_BYTES) -> None:
        self._collect_bytes = collect_bytes
        self._handled = 0
        self._may_collect_at = 0.0
        self._is_due = False

    def handled(self, size: int) -> None:
        """Counts bytes that were read or written for a caller. In the event loop."""
        self._handled += size
        if self._handled >= self._collect_bytes and not self._is_due:
            self._is_due = True
            wait_s = max(SOON_S, self._may_collect_at - time.monotonic())
            asyncio.get_running_loop().call_later(wait_s, self._collect)

    def _collect(self) -> None:
        """And gives the memory back to the system: in a server of 400 MB 60 to 100 MB were free and kept."""
        self._is_due, self._handled = False, 0
        started = time.monotonic()
        gc.collect()
        trim()
        ended = time.monotonic()
        self._may_collect_at = ended + REST * (ended - started)
