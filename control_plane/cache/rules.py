"""Which answers may be cached, and their cache keys. Pure."""

import hashlib
from dataclasses import dataclass

import orjson

from control_plane.chat import ChatRequest, ModelRequest, ProviderCall

MODELS_OWN_TEMPERATURE = 1.0
"""The default temperature of models."""

MOST_BYTES = 1_000_000
"""Larger answers are not cached."""

MOST_PIECES = 4000
"""Longer streams are not cached: a stream keeps its events in memory until its end."""


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The client's `Cache-Control`: whether a cached answer may be used, and whether this one may be stored."""

    may_use_cached: bool = True
    may_be_cached: bool = True


ANY = CacheControl()
NOTHING = CacheControl(may_use_cached=False, may_be_cached=False)


def is_repeatable(request: ModelRequest, max_temperature: float) -> bool:
    """Whether a stored answer suits a repetition of the request.

    Not with tools, whose calls are made for their effects, nor above a temperature that asks for variety.
    """
    if not isinstance(request, ChatRequest):
        return True
    said = request.parameters.get("temperature")
    temperature = MODELS_OWN_TEMPERATURE if said is None else said
    return not request.parameters.get("tools") and temperature <= max_temperature


def cache_key(call: ProviderCall, group: str, generation: str, codec: str) -> str | None:
    """The key of the answer to a call: a team's own, of one version of the YAML. `codec`: its name. None for what has no
    key.
    """
    request = call.request
    said = (
        [request.messages, request.parameters]
        if isinstance(request, ChatRequest)
        else [request.endpoint, request.arguments, request.units]
    )
    try:
        whole = orjson.dumps([codec, generation, group, call.models, said], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number or text that JSON's readers would not agree on
        return None
    return f"{call.team_id}:{hashlib.sha256(whole).hexdigest()}"
