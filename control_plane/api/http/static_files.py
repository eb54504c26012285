"""Files that are equal for every client: rendered once, compressed if the client accepts gzip, 304 if it has them."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.datastructures import Headers

ASK_AGAIN = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


def page_headers(sources: Mapping[str, str]) -> Mapping[str, str]:
    """Headers of an HTML page that loads from `sources` (directives of a Content-Security-Policy) and stands in no frame."""
    allowed = {"default-src": "'none'", **sources, "base-uri": "'none'", "frame-ancestors": "'none'"}
    return {
        "Content-Security-Policy": "; ".join(f"{kind} {source}" for kind, source in allowed.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent. `version`: the beginning of its SHA-256."""

    body: bytes
    compressed: bytes
    media_type: str
    version: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> "StaticFile":
        """Compresses it: not for the event loop."""
        return cls(body, gzip.compress(body, mtime=0), media_type, hashlib.sha256(body).hexdigest()[:32])

    def response(self, request: Request, cache_control: str, headers: Mapping[str, str] | None = None) -> Response:
        """The file, or 304 for a client that has it."""
        is_compressed = accepts_gzip(request.headers)
        etag = f'"{self.version}{"-gzip" if is_compressed else ""}"'
        sent = {"ETag": etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding", **(headers or {})}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {etag, "*"}:
            return Response(status_code=304, headers=sent)
        if is_compressed:
            return Response(self.compressed, headers={**sent, "Content-Encoding": "gzip"}, media_type=self.media_type)
        return Response(self.body, headers=sent, media_type=self.media_type)


def accepts_gzip(headers: Headers) -> bool:
    """Whether a client accepts gzip: by name, or else by `*`, with a weight above 0 (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for said in ",".join(headers.getlist("accept-encoding")).lower().split(","):
        coding, _, weight = said.partition(";")
        weights[coding.strip()] = _number(weight.replace(" ", "").removeprefix("q="))
    return weights.get("gzip", weights.get("*", 0)) > 0


def _number(weight: str) -> float:
    try:
        return float(weight or 1)
    except ValueError:
        return 0
