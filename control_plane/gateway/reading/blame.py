"""Classifies a provider's refusal: the client's fault, the conversation's length, the operator's fault, or the
provider's. Pure.

Code, type and status decide; wording only where providers give nothing else: some report an empty account or a full
context as an ordinary invalid request.
"""

from typing import Literal

from control_plane.completion.events import ProviderFault

Blame = Literal[
    "context", "policy", "request", "operator", "rate_limit", "overloaded", "unavailable", "timeout", "provider"
]

CONTEXT_CODES = (
    "context_length",
    "contextlength",
    "context_window",
    "contextwindow",
    "context_size",
    "string_above_max_length",
    "prompt_too_long",
    "prompttoolong",
    "input_too_long",
    "max_tokens_exceeded",
    "tokens_limit_reached",
)
CONTEXT_WORDS = (
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "too many tokens",
    "too many input tokens",
    "input token count",
    "maximum number of tokens",
    "exceeds the maximum tokens",
    "exceed context limit",
    "reduce the length of the",
    "maximum prompt length",
    "input length and `max_tokens` exceed",
    "input length should be",
    "`inputs` tokens + `max_new_tokens`",
    "model token limit",
    "maximum model length",
    "exceeds max length",
    "reduce your message size",
    "longer than the model",
)

POLICY_CODES = (
    "content_filter",
    "contentfilter",
    "content_policy",
    "contentpolicy",
    "responsibleai",
    "responsible_ai",
    "moderation",
    "data_inspection",
    "datainspection",
    "content_blocked",
    "safety",
    "sensitive",
    "guardrail",
)
POLICY_WORDS = (
    "content management policy",
    "content policy",
    "safety system",
    "usage policies",
    "data may contain inappropriate content",
    "flagged as potentially",
    "input was flagged",
    "blocked by our content",
    "content exists risk",
    "敏感",
)

OPERATOR_CODES = (
    "insufficient_quota",
    "insufficientquota",
    "billing",
    "insufficient_balance",
    "insufficient_credit",
    "insufficient_funds",
    "payment_required",
    "arrearage",
    "invalid_api_key",
    "api_key_invalid",
    "authentication",
    "unauthenticated",
    "unauthorized",
    "permission",
    "access_denied",
    "accessdenied",
    "account_deactivated",
    "model_not_found",
    "deploymentnotfound",
    "unrecognizedclient",
    "invalidsignature",
    "expiredtoken",
    "unsupported_country",
)
OPERATOR_WORDS = (
    "credit balance",
    "api key not valid",
    "invalid api key",
    "incorrect api key",
    "api key expired",
    "insufficient balance",
    "insufficient credit",
    "insufficient funds",
    "exceeded your current quota",
    "exceeded your monthly",
    "account is not active",
    "account has been",
    "account is suspended",
    "billing",
    "payment required",
    "purchase credits",
    "purchase more credits",
    "used all available credits",
    "monthly spending limit",
    "not a valid model",
    "欠费",
    "余额不足",
    "security token included in the request",
)
BAD_REQUESTS = (400, 413, 422)
OPERATORS_STATUSES = (401, 402, 403, 404)
TIMEOUTS = (408, 504, 524)
UNAVAILABLE = (502, 503, 520, 521, 522, 523)
RATE_LIMIT, OVERLOADED = 429, 529
OVERLOADS = ("overload", "capacity_exceeded", "over_capacity")


def blame(fault: ProviderFault) -> Blame:
    """Whose fault it is."""
    names = f"{fault.code or ''} {fault.type or ''}".lower()
    text = fault.text.lower()
    is_request = fault.status in BAD_REQUESTS
    if _any(OPERATOR_CODES, names) or fault.status in OPERATORS_STATUSES:
        return "policy" if fault.status not in (401, 402) and _any(POLICY_CODES, names) else "operator"
    if _any(CONTEXT_CODES, names) or (is_request and _any(CONTEXT_WORDS, text)):
        return "context"
    if _any(POLICY_CODES, names) or (is_request and _any(POLICY_WORDS, text)):
        return "policy"
    if fault.status == RATE_LIMIT and _any(OPERATOR_WORDS, text):
        return "operator"
    if is_request:
        return "operator" if _any(OPERATOR_WORDS, text) else "request"
    return _by_status(fault.status, names)


def _by_status(status: int, names: str) -> Blame:
    if status == OVERLOADED or _any(OVERLOADS, names):
        return "overloaded"
    if status == RATE_LIMIT:
        return "rate_limit"
    if status in TIMEOUTS:
        return "timeout"
    return "unavailable" if status in UNAVAILABLE else "provider"


def _any(parts: tuple[str, ...], text: str) -> bool:
    return any(part in text for part in parts)
