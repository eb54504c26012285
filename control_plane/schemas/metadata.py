"""JSON of clients to store: what both databases store and every response can carry again."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from control_plane.schemas.base import Json

MAX_METADATA_BYTES = 10 * 1024
MAX_DEPTH = 64  # pydantic refuses to write JSON deeper than about 250: one such row would break every list it is in


def storable(metadata: Json) -> Json:
    """Raises ValueError for NaN (Postgres refuses it), half characters (UTF-8 has none), and what is deep or large."""
    if _is_deeper(metadata, MAX_DEPTH):
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH}")
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        raise ValueError("must be text that can be written as UTF-8") from None
    except ValueError:
        raise ValueError("must not contain NaN or infinity") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return metadata


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    parts = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(part, depth - 1) for part in parts)


Metadata = Annotated[Json, AfterValidator(storable), Field(description="at most 10 KB")]
