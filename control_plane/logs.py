"""Structured logs: one line per event, with the ids of what it is about. Home of python-json-logger.

Never a prompt, an answer, a key or a header: log calls name their fields one by one.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

NOISE = ("color_message", "litellm_redacted")
"""What libraries put beside their messages for handlers of their own."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request a log line belongs to; set at the entrance."""


class _WithRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure_logging(level: str, form: Literal["json", "text"]) -> None:
    """Sends every logger to stderr in one form. uvicorn's access log is left out: `request` lines say more."""
    handler = logging.StreamHandler(sys.stderr)
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
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level], logging.INFO))  # libraries' DEBUG shows rows and requests
    logging.getLogger("control_plane").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
