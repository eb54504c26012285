"""What the scripted provider says for each behaviour: plans and OpenAI-shaped bodies, without any I/O.

A behaviour is a path segment (`…/e500/v1`). Numbers are fixed so that tests can work out prices: 11 prompt tokens, 10
completion tokens, ten content chunks.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

PROMPT_TOKENS = 11
COMPLETION_TOKENS = 10
CACHED_TOKENS = 8
WORDS = ("one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten")
PERSON = '{"name": "John Smith", "age": 35, "email": "john@example.com"}'
WEATHER_ARGUMENTS = ('{"ci', 'ty": "Par', 'is"}')
RETRY_AFTER_S = 7
SLOW_S = 0.05

Json = dict[str, Any]

USAGE: Json = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call, its arguments in the pieces they are streamed in."""

    id: str
    fragments: Sequence[str]
    name: str = "get_weather"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is answered. Positions count stream events: 0 before the role chunk, 1 after it, 4 after three words.

    `hold_at`: waits there until the test releases the behaviour; `break_at`: drops the connection there; `error_at`:
    sends an error event there and ends; `is_cut`: the stream ends cleanly before its finish chunk. `thoughts`: reasoning before
    the words. `calls`: tool calls after the words, streamed in turns, a piece of each. `is_refusal`: the words are one.
    """

    status: int = 200
    headers: Mapping[str, str] | None = None
    raw: str | None = None
    words: Sequence[str] = WORDS
    is_tool_call: bool = False
    calls: Sequence[Called] = ()
    thoughts: Sequence[str] = ()
    is_refusal: bool = False
    finish_reason: str = "stop"
    usage: Json | None = None
    holds_headers: bool = False
    hold_at: int | None = None
    break_at: int | None = None
    error_at: int | None = None
    is_cut: bool = False
    pause_s: float = 0.0


def _refusal(status: int, kind: str, message: str, code: str | None = None, **headers: str) -> Plan:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Plan(status=status, raw=json.dumps({"error": error}), headers=headers)


OK = Plan(usage=USAGE)
INTERNAL_ERROR = _refusal(500, "server_error", "The server had an error while processing your request.")

PLANS: Mapping[str, Plan] = {
    "ok": OK,
    "json": replace(OK, words=(PERSON[:20], PERSON[20:40], PERSON[40:])),
    "tools": replace(OK, words=WEATHER_ARGUMENTS, is_tool_call=True, finish_reason="tool_calls"),
    "tools-two": replace(
        OK,
        words=("Let me", " look."),
        calls=(
            Called("call_paris", ('{"location": ', '"Paris", "days": 12345678901234567890}')),
            Called("call_rome", ('{"loca', 'tion": "Rome"}')),
        ),
        finish_reason="tool_calls",
    ),
    "tools-odd": replace(
        OK,
        words=(),
        calls=(
            Called("call_cut", ('{"location": "Par',)),
            Called("call_list", ("[1, 2]",)),
            Called("call_half", ('{"location": "\\ud800"}',)),
            Called("call_deep", ('{"a":' * 150 + "1" + "}" * 150,)),
            Called("call_none", ("",)),
        ),
        finish_reason="tool_calls",
    ),
    "refuse": replace(OK, words=("I can", "not."), is_refusal=True),
    "think": replace(OK, thoughts=("Let me", " think.")),
    "reason-length": replace(OK, finish_reason="length"),
    "filter": replace(OK, finish_reason="content_filter"),
    "cached": replace(OK, usage={**USAGE, "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS}}),
    "kinds": replace(
        OK,
        usage={
            **USAGE,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 1},
        },
    ),
    "nousage": replace(OK, usage=None),
    "slow": replace(OK, pause_s=SLOW_S),
    "timeout": replace(OK, holds_headers=True),
    "hold0": replace(OK, hold_at=0),
    "rolehold": replace(OK, hold_at=1),
    "hold": replace(OK, hold_at=4),
    "rolebreak": replace(OK, break_at=1),
    "errchunk": replace(OK, error_at=4),
    "eof": replace(OK, is_cut=True),
    "garbage": Plan(raw="this is not JSON"),
    "context": _refusal(
        400,
        "invalid_request_error",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "context_length_exceeded",
    ),
    "policy": _refusal(
        400,
        "invalid_request_error",
        "Your request was rejected as a result of our safety system.",
        "content_policy_violation",
    ),
    "e400": _refusal(400, "invalid_request_error", "Invalid value for 'messages'."),
    "e401": _refusal(401, "invalid_request_error", "Incorrect API key provided: sk-prov***.", "invalid_api_key"),
    "e403": _refusal(403, "invalid_request_error", "You are not allowed to use this model."),
    "e404": _refusal(404, "invalid_request_error", "The model does not exist.", "model_not_found"),
    "e408": _refusal(408, "timeout", "The request timed out."),
    "e422": _refusal(422, "invalid_request_error", "Unprocessable."),
    "e429": _refusal(
        429, "rate_limit_error", "Rate limit reached.", "rate_limit_exceeded", **{"Retry-After": str(RETRY_AFTER_S)}
    ),
    "e500": INTERNAL_ERROR,
    "e502": Plan(
        status=502,
        raw="<html><body><h1>502 Bad Gateway</h1></body></html>",
        headers={"Content-Type": "text/html"},
    ),
    "e503": _refusal(503, "server_error", "The engine is currently overloaded."),
}
TOOL_THEN_TEXT = replace(
    OK, words=(), calls=(Called("call_123", ('{"location": ', '"San Francisco, CA"}')),), finish_reason="tool_calls"
)
NUMBERED = re.compile(r"(flaky|break|long)(\d+)")


def plan_of(behaviour: str, earlier_requests: int = 0) -> Plan:
    """The plan of a behaviour's next request.

    `flakyN` fails N times, then answers; `breakN` drops the connection after N content chunks; `longN` streams N;
    `tool-then-text` calls a tool first and answers then.
    Raises: KeyError for a behaviour nobody wrote.
    """
    if behaviour == "tool-then-text":
        return OK if earlier_requests else TOOL_THEN_TEXT
    numbered = NUMBERED.fullmatch(behaviour)
    if numbered is None:
        return PLANS[behaviour]
    number = int(numbered[2])
    match numbered[1]:
        case "flaky":
            return INTERNAL_ERROR if earlier_requests < number else OK
        case "break":
            return replace(OK, words=tuple(f" {n}" for n in range(max(number + 1, 10))), break_at=number + 1)
        case _:
            return replace(OK, words=tuple(f" {n}" for n in range(number)))


def embeddings(plan: Plan, asked: Json) -> Json:
    """One vector for each text."""
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    times = (asked.get("dimensions") or 2) // 2
    vectors = [
        {"object": "embedding", "index": index, "embedding": [0.25, -0.5] * times} for index in range(len(texts))
    ]
    body: Json = {"object": "list", "model": asked["model"], "data": vectors}
    return body if plan.usage is None else {**body, "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": 11}}


def moderated(asked: Json) -> Json:
    """Each text is violent."""
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    categories = {"violence": True, "harassment/threatening": True, "self-harm": False}
    scores = {"violence": 0.9, "harassment/threatening": 0.8, "self-harm": 0.1}
    result = {"flagged": True, "categories": categories, "category_scores": scores}
    return {"id": "modr-1", "model": asked.get("model") or "omni-moderation-latest", "results": [result] * len(texts)}


def reranked(asked: Json) -> Json:
    """The last document is the best, and it is one search."""
    order = range(len(asked["documents"]) - 1, -1, -1)
    results = [{"index": index, "relevance_score": 0.9 - 0.1 * place} for place, index in enumerate(order)]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return {"id": "rr-1", "results": results[: asked.get("top_n")], "meta": meta}


def scanned(asked: Json) -> Json:
    """What Mistral's OCR reads on the pages it is asked for; two where it is asked for all."""
    pages = asked.get("pages") or [0, 1]
    return {
        "pages": [{"index": page, "markdown": f"# Scan, page {page + 1}", "images": []} for page in pages],
        "model": asked["model"],
        "usage_info": {"pages_processed": len(pages), "doc_size_bytes": 1000},
    }


def completion(plan: Plan, asked: Json, *, response_id: str) -> Json:
    """The buffered answer, as many times as asked for."""
    text = "".join(plan.words)
    message: Json = {"role": "assistant", "content": text}
    if plan.is_tool_call:
        function = {"name": "get_weather", "arguments": text}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_weather", "type": "function", "function": function}],
        }
    if plan.calls:
        message = {"role": "assistant", "content": text or None, "tool_calls": [_call(call) for call in plan.calls]}
    if plan.is_refusal:
        message = {"role": "assistant", "content": None, "refusal": text}
    if plan.thoughts:
        message["reasoning_content"] = "".join(plan.thoughts)
    answers = asked.get("n") or 1
    choice = {"message": message, "finish_reason": plan.finish_reason, **_logprobs(asked, text)}
    body: Json = {
        "id": response_id,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked["model"],
        "choices": [{"index": index, **choice} for index in range(answers)],
    }
    return body if plan.usage is None else {**body, "usage": _times(plan.usage, answers)}


def _logprobs(asked: Json, text: str) -> Json:
    """As many likely tokens as asked for in the place of each; a text counts as one."""
    if not asked.get("logprobs"):
        return {}
    likely = {"token": text, "logprob": -0.5, "bytes": None}
    return {"logprobs": {"content": [{**likely, "top_logprobs": [likely] * (asked.get("top_logprobs") or 0)}]}}


def _call(call: Called, *, is_opening: bool = False) -> Json:
    function = {"name": call.name, "arguments": "" if is_opening else "".join(call.fragments)}
    return {"id": call.id, "type": "function", "function": function}


def _call_deltas(calls: Sequence[Called]) -> list[Json]:
    openings = [{"index": index, **_call(call, is_opening=True)} for index, call in enumerate(calls)]
    pieces = [
        {"index": index, "function": {"arguments": call.fragments[turn]}}
        for turn in range(max((len(call.fragments) for call in calls), default=0))
        for index, call in enumerate(calls)
        if turn < len(call.fragments)
    ]
    return [{"tool_calls": [said]} for said in [*openings, *pieces]]


def _times(usage: Json, answers: int) -> Json:
    completion_tokens = usage["completion_tokens"] * answers
    total = {"completion_tokens": completion_tokens, "total_tokens": usage["prompt_tokens"] + completion_tokens}
    return {**usage, **total}


def events(plan: Plan, asked: Json, *, response_id: str, include_usage: bool) -> list[Json]:
    """The streamed answer, without [DONE]: the role chunk, the pieces, the finish chunk and perhaps the usage chunk.

    Of several answers each event comes once for each.
    """
    answers = asked.get("n") or 1

    def chunk(delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": asked["model"],
            "choices": [choice],
        }

    def of(index: int, event: Json) -> Json:
        return {**event, "choices": [{**choice, "index": index} for choice in event["choices"]]}

    def piece(text: str) -> Json:
        if plan.is_tool_call:
            return chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
        said = chunk({"refusal" if plan.is_refusal else "content": text})
        said["choices"][0] |= _logprobs(asked, text)
        return said

    opening: Json = {"role": "assistant", **({"content": None, "refusal": ""} if plan.is_refusal else {"content": ""})}
    if plan.is_tool_call:
        call = {
            "index": 0,
            "id": "call_weather",
            "type": "function",
            "function": {"name": "get_weather", "arguments": ""},
        }
        opening = {"role": "assistant", "content": None, "tool_calls": [call]}
    thoughts = [chunk({"reasoning_content": thought}) for thought in plan.thoughts]
    sequence = [chunk(opening), *thoughts, *(piece(word) for word in plan.words), *map(chunk, _call_deltas(plan.calls))]
    if not plan.is_cut:
        sequence.append(chunk({}, plan.finish_reason))
    sequence = [of(index, event) for event in sequence for index in range(answers)]
    if not plan.is_cut and include_usage and plan.usage is not None:
        sequence.append({**chunk({}), "choices": [], "usage": _times(plan.usage, answers)})
    return sequence


ERROR_EVENT: Json = {"error": {"message": "The server had an error while streaming.", "type": "server_error"}}
