"""Structured logs: one line per event, with the ids it is about. The only user of python-json-logger.

Never a prompt, an answer, a key or a header: log calls name their fields one by one.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from control_plane.log_queue import QueuedStream, UnqueuedStream

NOISE = ("color_message", "litellm_redacted")
"""Fields that libraries add to their messages for their own handlers."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request a log line belongs to; set at the entrance."""


class _WithRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class _TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, event, and every field as `key=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = (
            f"{name}={_shown(value)}"
            for name, value in record.__dict__.items()
            if name not in HIDDEN and value is not None
        )
        return " ".join((super().formatMessage(record), *fields))


HIDDEN = frozenset({*RESERVED_ATTRS, *NOISE, "message", "asctime"})


def _shown(value: Any) -> str:
    """On one line, with a visible end."""
    text = str(value)
    is_plain = text.isprintable() and not any(character in text for character in ' "=') and text != ""
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def lines_dropped() -> Mapping[str, int]:
    """The number of this process's dropped log lines, by level."""
    queued = (handler for handler in logging.getLogger().handlers if isinstance(handler, QueuedStream))
    return next((handler.dropped for handler in queued), {})


def configure_logging(level: str, form: Literal["json", "text"], *, has_thread: bool = True) -> None:
    """Sends every logger, and Python's warnings, to stderr in one form, without waiting for it. `has_thread`: a line
    that does not fit into the stream waits in a queue; without a thread it is dropped.

    uvicorn's access log is left out: `request` lines contain more.
    """
    handler = QueuedStream(sys.stderr) if has_thread else UnqueuedStream(sys.stderr)
    handler.setLevel(level)
    handler.addFilter(_WithRequestId())
    if form == "json":
        handler.setFormatter(
            OrjsonFormatter(
                ["asctime", "levelname", "name", "message", "request_id"],
                style="{",
                reserved_attrs=[*RESERVED_ATTRS, *NOISE],
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
            )
        )
    else:
        handler.setFormatter(_TextFormatter())
    root = logging.getLogger()
    for before in root.handlers:
        if isinstance(before, QueuedStream):
            before.close()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level], logging.INFO))  # libraries' DEBUG shows rows and requests
    logging.getLogger("control_plane").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.captureWarnings(capture=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
