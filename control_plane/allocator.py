"""glibc's memory settings for a server that handles bodies of many megabytes.

By default, glibc takes such buffers from the heap once some were freed, and leaves holes between the small ones, in up
to eight heaps per core: after pictures of 4 MB and unread streams a server stayed 170 MB larger.
"""

import ctypes
from collections.abc import Callable
from functools import cache

M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
"""From malloc.h."""

LARGE_BYTES = 524_288
"""From this size on a buffer is mapped separately and returned when it is freed."""

ARENAS = 2


def give_back_large_buffers() -> None:
    """Before threads are started. Does nothing where the C library is another."""
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Gives back what is free in the heaps, also between what is used; glibc itself does so at their ends alone."""
    if (malloc_trim := _of_glibc("malloc_trim")) is not None:
        malloc_trim(0)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found
