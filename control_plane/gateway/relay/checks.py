"""Prices a relayed answer a second time, by LiteLLM's own logging: a check that shares no line with the relay."""

import logging
from datetime import UTC, datetime

from control_plane.completion.usage import Usage
from control_plane.gateway.pricing.prices import money, usage_json
from control_plane.gateway.reading.chunks import ChunkReader
from control_plane.gateway.relay.targets import Target
from control_plane.ids import CallId
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)


def litellms_cost(target: Target, chunks: ChunkReader, usage: Usage, call_id: CallId) -> NanoUsd | None:
    """The cost that LiteLLM would have reported for an answer; None without one. Takes about a millisecond."""
    import litellm  # noqa: PLC0415  # see litellm_setup.py
    from litellm.litellm_core_utils.litellm_logging import Logging  # noqa: PLC0415

    now = datetime.now(UTC)
    response = litellm.ModelResponse(model=chunks.told_model or target.model)
    said = {} if chunks.usage.cost is None else {"cost": chunks.usage.cost}
    response.usage = litellm.Usage(**usage_json(usage), **said)
    response._hidden_params["model_id"] = target.known_as  # noqa: SLF001  # where LiteLLM keeps it
    logger = Logging(
        model=target.model,
        messages=[],
        stream=False,
        call_type="acompletion",
        start_time=now,
        litellm_call_id=str(call_id),
        function_id="",
    )
    info = {"id": target.known_as, **target.info}
    logger.update_environment_variables(
        model=target.model,
        user=None,
        optional_params={},
        litellm_params={"model_info": info, "metadata": {"model_info": info}, "api_base": str(target.url)},
        custom_llm_provider=target.provider,
    )
    try:
        cost = logger._response_cost_calculator(result=response)  # noqa: SLF001  # the cost that its callbacks get
    except Exception:
        log.exception("relay_unchecked", extra={"call_id": str(call_id)})
        return None
    return None if cost is None else money(cost)
