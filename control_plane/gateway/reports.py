"""Converts LiteLLM's callback to spend reports: one for each attempt at a deployment, failed ones too.

LiteLLM's callbacks are global to the process. Each gateway writes its own mark into the metadata of its calls and takes
only the reports that carry it. LiteLLM does not report streams that the client abandons.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from control_plane.chat import CHAT_PARAMETERS, SpendReport
from control_plane.completion.usage import Usage
from control_plane.gateway.dialects import Dialect
from control_plane.gateway.history import prepare_messages, prepare_parameters
from control_plane.gateway.pricing.prices import money
from control_plane.ids import CallId
from control_plane.units import NanoUsd

log = logging.getLogger(__name__)

MARK = "gateway"
"""The key in `litellm_metadata` under which a gateway's mark travels."""

ATTEMPT = "attempt"
"""The key under which a call's Attempt travels."""


@dataclass(slots=True)
class Attempt:
    """The deployment that a call is trying, or was served by.

    LiteLLM names the wrong one for a stream that falls back twice before its first chunk. `cost`: OpenRouter's own
    charge; LiteLLM treats a 0 as missing.
    """

    deployment_id: str = ""
    cost: NanoUsd | None = None


def spend_report(payload: Mapping[str, Any], ids: Mapping[str, str], cost: NanoUsd | None = None) -> SpendReport:
    """One row of the spend log. `payload`: LiteLLM's standard_logging_object; `ids`: of the deployments, by LiteLLM's;
    `cost`: the provider's own word about it.

    Raises: KeyError, TypeError, ValueError when it is not what LiteLLM sends.
    """
    is_cached = payload.get("cache_hit") is True
    is_success = payload["status"] == "success"
    if cost is None or not is_success:
        cost = money(payload.get("response_cost") or 0)
    return SpendReport(
        call_id=CallId(UUID(payload["litellm_call_id"])),
        request_id=str(payload["id"]),
        status="success" if is_success else "failure",
        model=str(payload.get("model") or ""),
        model_group=str(payload.get("model_group") or ""),
        deployment_id=ids.get(str(payload.get("model_id")), ""),
        provider=str(payload.get("custom_llm_provider") or ""),
        cost=NanoUsd(0) if is_cached else cost,
        usage=reported_usage(payload),
        started_at=datetime.fromtimestamp(payload["startTime"], UTC),
        ended_at=datetime.fromtimestamp(payload["endTime"], UTC),
        is_cached=is_cached,
        error_class=(payload.get("error_information") or {}).get("error_class") or None,
    )


def reported_usage(payload: Mapping[str, Any]) -> Usage:
    """The tokens of an attempt, by kind. What LiteLLM does not count, or counts as no number of tokens, is 0."""
    reported = _part(payload.get("metadata"), "usage_object")
    prompt, completion = _part(reported, "prompt_tokens_details"), _part(reported, "completion_tokens_details")
    written = _part(prompt, "cache_creation_token_details")
    written_1h = _count(written, "ephemeral_1h_input_tokens")
    return Usage(
        prompt_tokens=int(payload.get("prompt_tokens") or 0),
        completion_tokens=int(payload.get("completion_tokens") or 0),
        cached_tokens=_count(prompt, "cached_tokens") or _count(reported, "cache_read_input_tokens"),
        cache_write_tokens=_count(prompt, "cache_write_tokens")
        or _count(prompt, "cache_creation_tokens")
        or _count(reported, "cache_creation_input_tokens")
        or _count(written, "ephemeral_5m_input_tokens") + written_1h,
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=_count(completion, "reasoning_tokens"),
        audio_input_tokens=_count(prompt, "audio_tokens"),
        audio_output_tokens=_count(completion, "audio_tokens"),
        image_input_tokens=_count(prompt, "image_tokens"),
        image_output_tokens=_count(completion, "image_tokens"),
        units=_units(payload.get("response")),
        service_tier=_tier(reported) or _tier(payload.get("cost_breakdown")) or _tier(payload.get("response")),
    )


def _part(whole: Any, name: str) -> Mapping[str, Any]:
    part = whole.get(name) if isinstance(whole, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _count(reported: Mapping[str, Any], name: str) -> int:
    count = reported.get(name)
    return count if isinstance(count, int) and count > 0 else 0


def _units(response: Any) -> int:
    """Searches of a reranking, or pages that were read, as the answers of these endpoints count them."""
    searches = _count(_part(_part(response, "meta"), "billed_units"), "search_units")
    return searches or _count(_part(response, "usage_info"), "pages_processed")


def _tier(source: Any) -> str | None:
    tier = source.get("service_tier") if isinstance(source, Mapping) else None
    return tier if isinstance(tier, str) and tier else None


def proxy_headers(kwargs: Mapping[str, Any]) -> dict[str, str]:
    """A LiteLLM proxy's headers for its own spend log, so that a fleet of proxies is reconciled by call and job.

    Only proxies get them: other providers do not get our ids.
    """
    call_id = str(kwargs["litellm_call_id"])
    ours = {**kwargs["litellm_metadata"]["spend_logs_metadata"], "call_id": call_id}
    return {
        **(kwargs.get("extra_headers") or {}),
        "x-litellm-call-id": call_id,
        "x-litellm-spend-logs-metadata": json.dumps(ours),
    }


def prepared(kwargs: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """LiteLLM's arguments of a chat, as the deployment it has chosen accepts them."""
    messages = prepare_messages(kwargs["messages"], dialect)
    asked = {name: value for name, value in kwargs.items() if name in CHAT_PARAMETERS and value is not None}
    parameters = prepare_parameters(asked, messages, dialect)
    kept = {name: value for name, value in kwargs.items() if name not in asked}
    if "service_tier" in parameters and dialect.tier_is_unlisted:
        kept["allowed_openai_params"] = ["service_tier", *(kwargs.get("allowed_openai_params") or ())]
    return {**kept, **parameters, "messages": messages}


def for_deployment(kwargs: Mapping[str, Any], dialect: Dialect | None) -> dict[str, Any]:
    """LiteLLM's arguments for the chosen deployment. `dialect`: none inside its bridges between APIs."""
    is_chat = isinstance(kwargs.get("messages"), list)
    arguments = prepared(kwargs, dialect) if is_chat and dialect is not None else dict(kwargs)
    if str(kwargs.get("model")).startswith("litellm_proxy/"):
        arguments["extra_headers"] = proxy_headers(kwargs)
    return arguments


def spend_reporter(
    mark: str,
    report: Callable[[SpendReport], None],
    ids: Mapping[str, str],
    dialects: Mapping[str, Dialect] | None = None,
) -> Any:
    """A LiteLLM callback that hands every report carrying `mark` to `report`, which must not block.

    `ids`: of the deployments, by LiteLLM's ids. `dialects`: by the same, the accepted form; a chat is converted to it
    when its deployment is chosen.
    """
    from litellm.integrations.custom_logger import CustomLogger  # noqa: PLC0415  # see litellm_setup.py

    known = dialects or {}

    class SpendReporter(CustomLogger):  # type: ignore[misc]  # litellm is not type-checked
        """Parameter names are LiteLLM's: it passes them by keyword and swallows the TypeError of other names."""

        def __init__(self) -> None:
            super().__init__()
            self.deployments = frozenset(ids)
            self.mark = mark  # LiteLLM drops a callback whose class and public attributes it has seen before

        async def async_pre_call_deployment_hook(
            self,
            kwargs: Mapping[str, Any],
            call_type: Any,  # noqa: ARG002
        ) -> dict[str, Any] | None:
            metadata = kwargs.get("litellm_metadata") or {}
            attempt = metadata.get(ATTEMPT)
            deployment_id = (kwargs.get("model_info") or {}).get("id")
            if attempt is not None and deployment_id is not None:  # it has none inside LiteLLM's bridges between APIs
                attempt.deployment_id = deployment_id
            if metadata.get(MARK) != mark:
                return None
            return for_deployment(kwargs, known.get(str(deployment_id)))

        async def async_log_success_event(
            self,
            kwargs: Mapping[str, Any],
            response_obj: Any,  # noqa: ARG002
            start_time: Any,  # noqa: ARG002
            end_time: Any,  # noqa: ARG002
        ) -> None:
            self._hand_over(kwargs)

        async def async_log_failure_event(
            self,
            kwargs: Mapping[str, Any],
            response_obj: Any,  # noqa: ARG002
            start_time: Any,  # noqa: ARG002
            end_time: Any,  # noqa: ARG002
        ) -> None:
            self._hand_over(kwargs)

        def _hand_over(self, kwargs: Mapping[str, Any]) -> None:
            try:
                metadata = (kwargs.get("litellm_params") or {}).get("litellm_metadata") or {}
                if metadata.get(MARK) == mark:
                    attempt = metadata.get(ATTEMPT)
                    cost = attempt.cost if isinstance(attempt, Attempt) else None
                    report(spend_report(kwargs["standard_logging_object"], ids, cost))
            except Exception:
                # LiteLLM would swallow it. Of kwargs only the id is logged: they hold the provider's key.
                log.exception("spend_report_lost", extra={"call_id": kwargs.get("litellm_call_id")})

    return SpendReporter()
