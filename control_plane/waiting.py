"""The queueing time of a request: one limit for all its waits together, and a rejection when it is over.

It runs from the request's arrival to the start of its work, less the time for its body and its files. Started work has
no such limit: a record or a bill is written however long that takes.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("waits_until", default=None)


def wait_at_most(seconds: float) -> None:
    """From now on this request, and what it starts, waits no longer than that."""
    _until.set(asyncio.get_running_loop().time() + seconds)


@contextmanager
def off_the_clock() -> Iterator[None]:
    """Waits in this block do not count: they are for a client, a web server, or the request's own job."""
    begun_at = asyncio.get_running_loop().time()
    try:
        yield
    finally:
        until = _until.get()
        if until is not None:
            _until.set(until + asyncio.get_running_loop().time() - begun_at)


def work_has_begun() -> None:
    """The request has had its turn; the rest is done in any time."""
    _until.set(None)


@contextmanager
def without_end() -> Iterator[None]:
    """Work in this block ends started work, and waits as long as it must."""
    token = _until.set(None)
    try:
        yield
    finally:
        _until.reset(token)


def left_s(most_s: float) -> float:
    """How long the request may wait now: `most_s`, or what is left of its time, if that is less; never below zero."""
    until = _until.get()
    return most_s if until is None else max(0.0, min(most_s, until - asyncio.get_running_loop().time()))


def left_or_none_s() -> float | None:
    """How long the request may wait now; None: as long as it takes."""
    return left_s(math.inf) if is_bounded() else None


def is_bounded() -> bool:
    """Whether the request's time counts."""
    return _until.get() is not None
