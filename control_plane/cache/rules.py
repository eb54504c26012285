"""Which answers may be given again, and under which name they are kept. Pure."""

import hashlib
from dataclasses import dataclass

import orjson

from control_plane.chat import ChatRequest, ModelRequest, ProviderCall

MODELS_OWN_TEMPERATURE = 1.0
"""What models take for the temperature when nobody says one."""

MOST_BYTES = 1_000_000
"""Larger answers are not kept."""

MOST_PIECES = 4000
"""Nor are streams of more: until its end a stream keeps what it may be asked for again in memory."""


@dataclass(frozen=True, slots=True)
class CacheControl:
    """What the client wants, as HTTP's `Cache-Control` says it: whether a kept answer will do, and may be kept."""

    takes_kept: bool = True
    may_be_kept: bool = True


ANY = CacheControl()
NOTHING = CacheControl(takes_kept=False, may_be_kept=False)


def is_repeatable(request: ModelRequest, max_temperature: float) -> bool:
    """Whether the same answer would do for the same request.

    Not with tools, whose calls are made for their effects, nor above a temperature that asks for variety.
    """
    if not isinstance(request, ChatRequest):
        return True
    said = request.parameters.get("temperature")
    temperature = MODELS_OWN_TEMPERATURE if said is None else said
    return not request.parameters.get("tools") and temperature <= max_temperature


def cache_key(call: ProviderCall, group: str, generation: str, form: str) -> str | None:
    """The name of the answer to a call: a team's own, of one version of the YAML. None for what cannot be named."""
    request = call.request
    said = (
        [request.messages, request.parameters]
        if isinstance(request, ChatRequest)
        else [request.endpoint, request.arguments, request.units]
    )
    try:
        whole = orjson.dumps([form, generation, group, call.models, said], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number or text that JSON's readers would not agree on
        return None
    return f"{call.team_id}:{hashlib.sha256(whole).hexdigest()}"
