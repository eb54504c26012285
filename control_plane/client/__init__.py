"""The typed async client: `from control_plane.client import SaaSLLMClient`. It needs `schemas/` and httpx, nothing else."""

from control_plane.client.client import SaaSLLMClient
from control_plane.client.errors import (
    BadRequest,
    ClientError,
    Conflict,
    ConnectionFailed,
    InsufficientCredits,
    NotFound,
    OutputInvalid,
    PermissionDenied,
    RateLimited,
    ServerFailed,
    StatusError,
    StreamFailed,
    Unauthorized,
)
from control_plane.client.job import JobSession
from control_plane.client.values import ChatAnswer, ChatChunk, CompletedJob

__all__ = [
    "BadRequest",
    "ChatAnswer",
    "ChatChunk",
    "ClientError",
    "CompletedJob",
    "Conflict",
    "ConnectionFailed",
    "InsufficientCredits",
    "JobSession",
    "NotFound",
    "OutputInvalid",
    "PermissionDenied",
    "RateLimited",
    "SaaSLLMClient",
    "ServerFailed",
    "StatusError",
    "StreamFailed",
    "Unauthorized",
]
