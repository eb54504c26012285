"""Responses of calls as bytes, and the headers of each."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response

from control_plane.calls.in_flight import InFlightCall
from control_plane.calls.runner import CompletedCall
from control_plane.limits.rules import LimitStatus
from control_plane.schemas.base import Answer
from control_plane.units import NANO_PER_USD

JSON = "application/json"


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body, default=str), status_code=status, headers=headers, media_type=JSON)


def json_bytes(body: bytes, *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that was rendered before."""
    return Response(body, headers=headers, media_type=JSON)


def rendered(answer: Answer, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer model as it is: it was checked when it was built."""
    return Response(answer.model_dump_json(), headers=headers, media_type=JSON)


def call_headers(call: InFlightCall) -> dict[str, str]:
    """Which call and job an answer belongs to, and what the team had left when the call began."""
    return {
        "X-Call-Id": str(call.intent.call_id),
        "X-Job-Id": str(call.intent.job_id),
        "X-Credits-Remaining": str(call.credits_remaining),
        **({"X-Cached": "true"} if call.is_cached else {}),
        **limit_headers(call.permit.limit_status),
    }


def billed_headers(done: CompletedCall) -> dict[str, str]:
    """As `call_headers`, and what a call that was answered cost, and its job, if it is closed, was charged."""
    headers = call_headers(done.call.call)
    cost = done.call.answer.cost
    if cost is not None:
        headers["X-Call-Cost-Usd"] = f"{cost / NANO_PER_USD:.9f}"
    if done.bill is not None:
        headers["X-Credits-Charged"] = str(done.bill.job.credits_charged or 0)
        headers["X-Credits-Remaining"] = str(done.bill.job.credits_remaining or 0)
    return headers


def limit_headers(limit_status: LimitStatus) -> dict[str, str]:
    """The limits' remainder in OpenAI's headers: `Reset` in seconds, until all of it is free again."""
    headers = {}
    for name, limit, remaining, reset_ms in (
        ("Requests", limit_status.limit_requests, limit_status.remaining_requests, limit_status.reset_requests_ms),
        ("Tokens", limit_status.limit_tokens, limit_status.remaining_tokens, limit_status.reset_tokens_ms),
    ):
        if limit is not None:
            headers[f"X-RateLimit-Limit-{name}"] = str(limit)
            headers[f"X-RateLimit-Remaining-{name}"] = str(remaining)
            headers[f"X-RateLimit-Reset-{name}"] = f"{reset_ms / 1000:g}s"
    return headers
