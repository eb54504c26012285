"""The typed async client: `from control_plane.client import SaaSLLMClient`, or `control_plane_client` of its own wheel.

It needs httpx and pydantic, and nothing of `control_plane` but itself; so its imports are relative.
"""

from .client import SaaSLLMClient
from .errors import (
    BadRequest,
    ClientError,
    Conflict,
    ConnectionFailed,
    InsufficientCredits,
    InvalidResponse,
    NotFound,
    OutputInvalid,
    PermissionDenied,
    RateLimited,
    ServerFailed,
    StatusError,
    StreamFailed,
    Unauthorized,
)
from .job import JobSession
from .values import CallSummary, ChatAnswer, ChatChunk, CompletedJob, JobCosts, JobView
from .version import __version__

__all__ = [
    "BadRequest",
    "CallSummary",
    "ChatAnswer",
    "ChatChunk",
    "ClientError",
    "CompletedJob",
    "Conflict",
    "ConnectionFailed",
    "InsufficientCredits",
    "InvalidResponse",
    "JobCosts",
    "JobSession",
    "JobView",
    "NotFound",
    "OutputInvalid",
    "PermissionDenied",
    "RateLimited",
    "SaaSLLMClient",
    "ServerFailed",
    "StatusError",
    "StreamFailed",
    "Unauthorized",
    "__version__",
]
