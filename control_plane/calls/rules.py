"""A call's request to the model after the defaults of group and server. Pure."""

from collections.abc import Mapping
from typing import Any

from control_plane.chat import ChatRequest, EndpointRequest, ModelRequest
from control_plane.errors import SchemaTooLarge
from control_plane.gateway.json_schemas import SchemasTooLarge, check_size, schemas_of

DEFAULT_TEMPERATURE = 0.7  # S0

CLIENT_CLOSED = "client_closed"
"""Why a call ended whose client closed the connection."""
DRAINED = "drained"
"""Why a call ended whose server was stopped and would not wait longer."""


def fill_in(
    request: ModelRequest, defaults: Mapping[str, Any], *, temperature: float | None = DEFAULT_TEMPERATURE
) -> ModelRequest:
    """The request as it goes to the gateway: what the client set, then the group's defaults, then ours.

    Defaults are chat parameters, which other endpoints do not have. Our temperature is left out beside a `top_p`, which some models refuse together; `tool_choice` and
    `parallel_tool_calls` without tools mean nothing, are refused by OpenAI, and are left out.
    """
    if isinstance(request, EndpointRequest):
        return request
    parameters = {**defaults, **request.parameters}
    if temperature is not None and "temperature" not in parameters and "top_p" not in parameters:
        parameters["temperature"] = temperature
    if not parameters.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            parameters.pop(name, None)
    return ChatRequest(request.messages, parameters)


def cut_to(request: ModelRequest, max_tokens: int) -> ModelRequest:
    """The request with an answer of at most so many tokens, which is all that its job's cap leaves."""
    if isinstance(request, EndpointRequest):
        return request
    return ChatRequest(request.messages, {**request.parameters, "max_tokens": max_tokens})


def require_small_schemas(request: ModelRequest) -> None:
    """Raises: SchemaTooLarge, before anything expands what they refer to, whichever lane the call takes."""
    if not isinstance(request, ChatRequest):
        return
    try:
        check_size(schemas_of(request.parameters))
    except SchemasTooLarge as error:
        raise SchemaTooLarge(str(error)) from None
