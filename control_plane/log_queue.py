"""The log queue: only a thread waits for a log stream that is full.

An unread pipe is full after 64 KB, and then blocks its writer, which would be the event loop. Lines wait in a queue;
when that is full, INFO is dropped first, and dropped lines are counted.
"""

import contextlib
import logging
import os
import select
import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import TextIO

MOST_LINES = 10_000
MOST_CHARACTERS = 8_000_000
FLUSH_S = 2.0
"""How long an orderly exit waits for the stream."""

BATCH = 500


class UnqueuedStream(logging.Handler):
    """Writes at once, in a process that may have no thread since it forks. Drops a line that does not fit into a pipe."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._descriptor = stream.fileno()

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits for the stream."""
        try:
            line = self.format(record).encode()[: select.PIPE_BUF - 1] + b"\n"
            if select.select([], [self._descriptor], [], 0)[1]:
                os.write(self._descriptor, line)
        except Exception:  # noqa: BLE001 - as every handler of logging's
            self.handleError(record)


class QueuedStream(logging.Handler):
    """Formats at once and writes in a separate thread. Counts dropped lines, by level."""

    def __init__(self, stream: TextIO, *, most_lines: int = MOST_LINES) -> None:
        super().__init__()
        self._stream = stream
        self._most_lines = most_lines
        self._lines: deque[tuple[int, str]] = deque()
        self._characters = 0
        self._minor = 0  # how many of the lines are no worse than INFO
        self._dropped: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._is_writing = self._is_closed = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> Mapping[str, int]:
        """Lines that were not written, by level."""
        with self._changed:
            return dict(self._dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits for the stream."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of logging's
            self.handleError(record)
            return
        with self._changed:
            if self._is_closed or not self._has_room(record.levelno, len(line)):
                self._drop(record.levelno)
                return
            self._lines.append((record.levelno, line))
            self._characters += len(line)
            self._minor += record.levelno <= logging.INFO
            self._changed.notify_all()

    def flush(self) -> None:
        """Until everything is written, or FLUSH_S have passed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._is_writing, FLUSH_S)

    def close(self) -> None:
        """Writes what waits, as `flush`, and nothing more. logging does that at an orderly exit."""
        self.flush()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        super().close()

    def _has_room(self, level: int, length: int) -> bool:
        """Makes space for lines worse than INFO, by dropping the oldest lines that are not."""
        if level > logging.INFO and self._minor and self._is_full(length):
            kept: deque[tuple[int, str]] = deque()
            while self._lines:
                waiting = self._lines.popleft()
                if waiting[0] > logging.INFO:
                    kept.append(waiting)
                else:
                    self._characters -= len(waiting[1])
                    self._drop(waiting[0])
            self._lines, self._minor = kept, 0
        return not self._is_full(length)

    def _is_full(self, length: int) -> bool:
        return len(self._lines) >= self._most_lines or self._characters + length > MOST_CHARACTERS

    def _drop(self, level: int) -> None:
        self._dropped[logging.getLevelName(level)] += 1

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_closed)
                if not self._lines:
                    return
                batch = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
                self._characters -= sum(len(line) for _, line in batch)
                self._minor -= sum(level <= logging.INFO for level, _ in batch)
                self._is_writing = True
            with contextlib.suppress(OSError, ValueError):  # it has no reader any more
                self._stream.write("".join(f"{line}\n" for _, line in batch))
                self._stream.flush()
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
