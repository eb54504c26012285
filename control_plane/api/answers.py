"""Answers as bytes, and the headers every call answer carries."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response

from control_plane.calls.live import LiveCall
from control_plane.schemas.base import Answer

JSON = "application/json"


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body, default=str), status_code=status, headers=headers, media_type=JSON)


def rendered(answer: Answer, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer model as it is: it was checked when it was built."""
    return Response(answer.model_dump_json(), headers=headers, media_type=JSON)


def call_headers(call: LiveCall) -> dict[str, str]:
    """Which call and job an answer belongs to, and what the team had left when the call began."""
    return {
        "X-Call-Id": str(call.intent.call_id),
        "X-Job-Id": str(call.intent.job_id),
        "X-Credits-Remaining": str(call.credits_remaining),
    }
