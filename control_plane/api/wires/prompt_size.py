"""How much text a request may have."""

from typing import Literal

from control_plane.errors import TooLarge

Counted = Literal["request has", "messages have"]


def require_prompt_size(chars: int, max_chars: int, *, counted: Counted = "request has") -> None:
    """Raises: TooLarge for more than `max_chars` characters of text. `counted`: what was counted, for the message."""
    if chars > max_chars:
        raise TooLarge(f"The {counted} {chars} characters of text; {max_chars} are allowed.")
