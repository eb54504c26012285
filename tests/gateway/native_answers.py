"""One answer in the wire of each provider that LiteLLM speaks to: whole, and as a stream."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from control_plane.gateway.deployments import Deployment
from tests.gateway.native_provider import (
    EVENT_STREAM,
    JSON,
    NDJSON,
    NativeProvider,
    Reply,
    frames,
    invoked,
    ndjson,
    sse,
)

Json = Mapping[str, Any]

AWS = {"aws_access_key_id": "AKIDUMMY", "aws_secret_access_key": "dummy", "aws_region_name": "us-east-1"}


@dataclass(frozen=True)
class Call:
    """A tool call; wires without ids leave it out."""

    name: str
    arguments: Json
    id: str = "call_1"


@dataclass(frozen=True)
class Said:
    """What an answer holds. `finish` and `usage` in the provider's own words; None: the usual."""

    texts: Sequence[str] = ()
    thought: str = ""
    signature: str = ""
    calls: Sequence[Call] = ()
    finish: str | None = None
    usage: Any = None
    more: Json = field(default_factory=dict)
    is_cut: bool = False

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Wire(Protocol):
    """How one provider writes."""

    name: str
    params: ClassVar[Json]
    finish: str
    finish_calls: str
    usage: ClassVar[Json]

    def base(self, url: str) -> str: ...
    def whole(self, said: Said) -> Reply: ...
    def stream(self, said: Said) -> Reply: ...


def deployment(wire: Wire, provider: NativeProvider, *, name: str = "", **params: Any) -> Deployment:
    """A deployment that speaks this wire."""
    name = name or wire.name
    base = wire.base(provider.url(name))
    key = "aws_bedrock_runtime_endpoint" if "aws_region_name" in wire.params else "api_base"
    return Deployment(f"{name}#1", name, {**wire.params, key: base, **params})


def end_of(wire: Wire, said: Said) -> str:
    """The provider's reason."""
    return said.finish if said.finish is not None else wire.finish_calls if said.calls else wire.finish


def used(wire: Wire, said: Said) -> Any:
    """The provider's usage."""
    return wire.usage if said.usage is None else said.usage


class Anthropic:
    name = "anthropic"
    params: ClassVar[Json] = {"model": "anthropic/claude-sonnet-4-5-20250929", "api_key": "k"}
    finish, finish_calls = "end_turn", "tool_use"
    usage: ClassVar[Json] = {
        "input_tokens": 25,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 15,
    }

    def base(self, url: str) -> str:
        return f"{url}/v1/messages"

    def whole(self, said: Said) -> Reply:
        return Reply([json.dumps(self.message(said)).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        return Reply([sse(*self.events(said))])

    def message(self, said: Said) -> Json:
        thought = {"type": "thinking", "thinking": said.thought, "signature": said.signature}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [
                *([thought] if said.thought else []),
                *([{"type": "text", "text": said.text}] if said.texts else []),
                *({"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in said.calls),
            ],
            "stop_reason": end_of(self, said),
            "stop_sequence": None,
            "usage": used(self, said),
            **said.more,
        }

    def events(self, said: Said) -> list[Json]:
        whole = dict(self.message(said))
        stop = {name: whole[name] for name in ("stop_reason", "stop_sequence")}
        usage = whole["usage"]
        first = {**usage, "output_tokens": 1} if isinstance(usage, dict) and "output_tokens" in usage else usage
        start = {**whole, "content": [], "stop_reason": None, "stop_sequence": None, "usage": first}
        events: list[Json] = [{"type": "message_start", "message": start}]
        for index, block in enumerate(whole["content"]):
            empty, deltas = self.deltas(block, said)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        if said.is_cut:
            return events
        last = (
            {"output_tokens": usage["output_tokens"]} if isinstance(usage, dict) and "output_tokens" in usage else usage
        )
        return [*events, {"type": "message_delta", "delta": stop, "usage": last}, {"type": "message_stop"}]

    def deltas(self, block: Json, said: Said) -> tuple[Json, list[Json]]:
        match block["type"]:
            case "thinking":
                signed = {"type": "signature_delta", "signature": said.signature}
                return {"type": "thinking", "thinking": "", "signature": ""}, [
                    {"type": "thinking_delta", "thinking": said.thought},
                    *([signed] if said.signature else []),
                ]
            case "text":
                return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in said.texts]
            case _:
                written = json.dumps(block["input"])
                pieces = (written[:4], written[4:])
                return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in pieces]


class Invoke(Anthropic):
    """Anthropic's documents inside of Bedrock's `invoke`."""

    name = "invoke"
    params: ClassVar[Json] = {"model": "bedrock/invoke/anthropic.claude-sonnet-4-5-20250929-v1:0", **AWS}

    def base(self, url: str) -> str:
        return url

    def stream(self, said: Said) -> Reply:
        return Reply([invoked(*self.events(said))], EVENT_STREAM)


class Gemini:
    name = "gemini"
    params: ClassVar[Json] = {"model": "gemini/gemini-2.5-flash", "api_key": "k"}
    finish = finish_calls = "STOP"
    usage: ClassVar[Json] = {
        "promptTokenCount": 20,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 37,
        "cachedContentTokenCount": 8,
    }

    def base(self, url: str) -> str:
        return f"{url}/v1beta/models/gemini-2.5-flash"

    def whole(self, said: Said) -> Reply:
        return Reply([json.dumps(self.document(self.parts(said), said)).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        pieces = [self.document([part], None) for part in self.parts(said)]
        return Reply([sse(*pieces, *([] if said.is_cut else [self.document([], said)]))])

    def parts(self, said: Said) -> list[Json]:
        signed = {"thoughtSignature": said.signature} if said.signature else {}
        return [
            *([{"text": said.thought, "thought": True}] if said.thought else []),
            *({"text": text} for text in said.texts),
            *({"functionCall": {"name": c.name, "args": c.arguments}, **signed} for c in said.calls),
        ]

    def document(self, parts: Sequence[Json], said: Said | None) -> Json:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
        head = {"modelVersion": "gemini-2.5-flash", "responseId": "r1"}
        if said is None:
            return {"candidates": [candidate], **head}
        candidate["finishReason"] = end_of(self, said)
        return {"candidates": [candidate], **head, "usageMetadata": used(self, said), **said.more}


class Converse:
    name = "converse"
    params: ClassVar[Json] = {"model": "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0", **AWS}
    finish, finish_calls = "end_turn", "tool_use"
    usage: ClassVar[Json] = {
        "inputTokens": 20,
        "outputTokens": 9,
        "totalTokens": 129,
        "cacheReadInputTokens": 60,
        "cacheWriteInputTokens": 40,
        "cacheDetails": [{"inputTokens": 30, "ttl": "1h"}, {"inputTokens": 10, "ttl": "5m"}],
    }

    def base(self, url: str) -> str:
        return url

    def whole(self, said: Said) -> Reply:
        thought = {"reasoningContent": {"reasoningText": {"text": said.thought, "signature": said.signature}}}
        content = [
            *([thought] if said.thought else []),
            *([{"text": said.text}] if said.texts else []),
            *({"toolUse": {"toolUseId": c.id, "name": c.name, "input": c.arguments}} for c in said.calls),
        ]
        document = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": end_of(self, said),
            "usage": used(self, said),
            "metrics": {"latencyMs": 1},
            **said.more,
        }
        return Reply([json.dumps(document).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        blocks: list[tuple[Json | None, list[Json]]] = []
        if said.thought:
            signed = [{"reasoningContent": {"signature": said.signature}}] if said.signature else []
            blocks.append((None, [{"reasoningContent": {"text": said.thought}}, *signed]))
        if said.texts:
            blocks.append((None, [{"text": text} for text in said.texts]))
        for c in said.calls:
            written = json.dumps(c.arguments)
            pieces: list[Json] = [{"toolUse": {"input": written[:4]}}, {"toolUse": {"input": written[4:]}}]
            blocks.append(({"toolUse": {"toolUseId": c.id, "name": c.name}}, pieces))
        events: list[Json] = [{"messageStart": {"role": "assistant"}}]
        for index, (start, deltas) in enumerate(blocks):
            if start is not None:
                events.append({"contentBlockStart": {"contentBlockIndex": index, "start": start}})
            events += [{"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}} for delta in deltas]
            events.append({"contentBlockStop": {"contentBlockIndex": index}})
        if not said.is_cut:
            events.append({"messageStop": {"stopReason": end_of(self, said)}})
            events.append({"metadata": {"usage": used(self, said), "metrics": {"latencyMs": 1}}})
        return Reply([frames(*events)], EVENT_STREAM)


class Ollama:
    name = "ollama"
    params: ClassVar[Json] = {"model": "ollama_chat/llama3"}
    finish = finish_calls = "stop"
    usage: ClassVar[Json] = {"prompt_eval_count": 26, "eval_count": 12}

    def base(self, url: str) -> str:
        return url

    def whole(self, said: Said) -> Reply:
        message: dict[str, Any] = {"content": said.text}
        if said.thought:
            message["thinking"] = said.thought
        if said.calls:
            message["tool_calls"] = self.calls(said)
        return Reply([json.dumps(self.document(message, said)).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        pieces: list[Json] = [{"content": "", "thinking": said.thought}] if said.thought else []
        pieces += [{"content": text} for text in said.texts]
        pieces += [{"content": "", "tool_calls": self.calls(said)}] if said.calls else []
        end = [] if said.is_cut else [self.document({"content": ""}, said)]
        return Reply([ndjson(*(self.document(piece, None) for piece in pieces), *end)], NDJSON)

    def calls(self, said: Said) -> list[Json]:
        return [{"function": {"name": c.name, "arguments": c.arguments}} for c in said.calls]

    def document(self, message: Json, said: Said | None) -> Json:
        head = {"model": "llama3", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", **message}}
        if said is None:
            return {**head, "done": False}
        usage = used(self, said)
        counts = usage if isinstance(usage, dict) else dict.fromkeys(self.usage, usage)
        return {**head, "done": True, "done_reason": end_of(self, said), "total_duration": 1, **counts, **said.more}


class Cohere:
    name = "cohere"
    params: ClassVar[Json] = {"model": "cohere_chat/command-r-08-2024", "api_key": "k"}
    finish, finish_calls = "COMPLETE", "TOOL_CALL"
    usage: ClassVar[Json] = {
        "billed_units": {"input_tokens": 5, "output_tokens": 6},
        "tokens": {"input_tokens": 71, "output_tokens": 8},
    }

    def base(self, url: str) -> str:
        return f"{url}/v2/chat"

    def whole(self, said: Said) -> Reply:
        content = [
            *([{"type": "thinking", "thinking": said.thought}] if said.thought else []),
            *([{"type": "text", "text": said.text}] if said.texts else []),
        ]
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if said.calls:
            message["tool_calls"] = [self.call(c, json.dumps(c.arguments)) for c in said.calls]
        document = {"id": "c1", "finish_reason": end_of(self, said), "message": message, "usage": used(self, said)}
        return Reply([json.dumps({**document, **said.more}).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
        events: list[Json] = [{"type": "message-start", "id": "c1", "delta": start}]
        for index, (kind, texts) in enumerate((("thinking", [said.thought]), ("text", said.texts))):
            if any(texts):
                empty = {"message": {"content": {"type": kind, kind: ""}}}
                events.append({"type": "content-start", "index": index, "delta": empty})
                events += [
                    {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: text}}}}
                    for text in texts
                ]
                events.append({"type": "content-end", "index": index})
        for index, c in enumerate(said.calls):
            written = json.dumps(c.arguments)
            begun = {"message": {"tool_calls": self.call(c, "")}}
            events.append({"type": "tool-call-start", "index": index, "delta": begun})
            events += [
                {
                    "type": "tool-call-delta",
                    "index": index,
                    "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}},
                }
                for piece in (written[:4], written[4:])
            ]
            events.append({"type": "tool-call-end", "index": index})
        if not said.is_cut:
            end = {"finish_reason": end_of(self, said), "usage": used(self, said)}
            events.append({"type": "message-end", "id": "c1", "delta": end})
        return Reply([sse(*events)])

    def call(self, call: Call, arguments: str) -> Json:
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


class Responses:
    name = "responses"
    params: ClassVar[Json] = {"model": "openai/responses/gpt-5.1", "api_key": "k"}
    finish = finish_calls = "completed"
    usage: ClassVar[Json] = {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 42,
    }

    def base(self, url: str) -> str:
        return f"{url}/v1"

    def whole(self, said: Said) -> Reply:
        return Reply([json.dumps(self.response(said)).encode()], JSON)

    def items(self, said: Said) -> list[dict[str, Any]]:
        summary = [{"type": "summary_text", "text": said.thought}]
        part = {"type": "output_text", "text": said.text, "annotations": []}
        message = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}
        return [
            *([{"type": "reasoning", "id": "rs_1", "summary": summary}] if said.thought else []),
            *([message] if said.texts else []),
            *(
                {
                    "type": "function_call",
                    "id": f"fc_{c.id}",
                    "call_id": c.id,
                    "name": c.name,
                    "arguments": json.dumps(c.arguments),
                    "status": "completed",
                }
                for c in said.calls
            ),
        ]

    def response(self, said: Said, **changed: Any) -> Json:
        end = end_of(self, said)
        is_over = end in ("completed", "failed", "cancelled")
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": end if is_over else "incomplete",
            "model": "gpt-5.1-2026-01-01",
            "output": self.items(said),
            "usage": used(self, said),
            "error": None,
            "incomplete_details": None if is_over else {"reason": end},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            **said.more,
            **changed,
        }

    def stream(self, said: Said) -> Reply:
        begun = self.response(said, status="in_progress", output=[], usage=None, error=None, incomplete_details=None)
        events: list[Json] = [{"type": "response.created", "response": begun}]
        for place, item in enumerate(self.items(said)):
            empty = {name: [] if isinstance(value, list) else value for name, value in item.items()}
            if "arguments" in item:
                empty["arguments"] = ""
            events.append({"type": "response.output_item.added", "output_index": place, "item": empty})
            events += [{"output_index": place, "item_id": item["id"], **delta} for delta in self.deltas(item, said)]
            events.append({"type": "response.output_item.done", "output_index": place, "item": item})
        if not said.is_cut:
            whole = self.response(said)
            kind = whole["status"] if whole["status"] in ("completed", "failed") else "incomplete"
            events.append({"type": f"response.{kind}", "response": whole})
        return Reply([sse(*({"sequence_number": n, **event} for n, event in enumerate(events)))])

    def deltas(self, item: Json, said: Said) -> list[Json]:
        match item["type"]:
            case "reasoning":
                return [{"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": said.thought}]
            case "message":
                return [
                    {"type": "response.output_text.delta", "content_index": 0, "delta": text} for text in said.texts
                ]
            case _:
                written = item["arguments"]
                return [
                    {"type": "response.function_call_arguments.delta", "delta": piece}
                    for piece in (written[:4], written[4:])
                ]


class Azure:
    """OpenAI's wire, through OpenAI's SDK."""

    name = "azure"
    params: ClassVar[Json] = {"model": "azure/gpt-4o", "api_key": "k", "api_version": "2024-10-21"}
    finish, finish_calls = "stop", "tool_calls"
    usage: ClassVar[Json] = {
        "prompt_tokens": 19,
        "completion_tokens": 7,
        "total_tokens": 26,
        "prompt_tokens_details": {"cached_tokens": 4},
    }

    def base(self, url: str) -> str:
        return url

    def whole(self, said: Said) -> Reply:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.thought:
            message["reasoning_content"] = said.thought
        if said.calls:
            message["tool_calls"] = [self.call(n, c, json.dumps(c.arguments)) for n, c in enumerate(said.calls)]
        choice = {"index": 0, "message": message, "finish_reason": end_of(self, said)}
        return Reply([json.dumps(self.document("", [choice], usage=used(self, said), **said.more)).encode()], JSON)

    def stream(self, said: Said) -> Reply:
        filtered = {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": said.thought}] if said.thought else []
        deltas += [{"content": text} for text in said.texts]
        for place, c in enumerate(said.calls):
            written = json.dumps(c.arguments)
            deltas.append({"tool_calls": [self.call(place, c, "")]})
            deltas += [
                {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
                for piece in (written[:4], written[4:])
            ]
        chunks = [self.document(".chunk", [{"index": 0, "delta": d, "finish_reason": None}]) for d in deltas]
        if said.is_cut:
            return Reply([sse(filtered, *chunks)])
        end = {"index": 0, "delta": {}, "finish_reason": end_of(self, said)}
        last = self.document(".chunk", [], usage=used(self, said))
        return Reply([sse(filtered, *chunks, self.document(".chunk", [end]), last) + b"data: [DONE]\n\n"])

    def call(self, place: int, call: Call, arguments: str) -> Json:
        function = {"name": call.name, "arguments": arguments}
        return {"index": place, "id": call.id, "type": "function", "function": function}

    def document(self, kind: str, choices: Sequence[Json], **more: Any) -> Json:
        head = {"id": "chatcmpl-1", "object": f"chat.completion{kind}", "created": 1, "model": "gpt-4o-2024-11-20"}
        return {**head, "choices": choices, **more}


WIRES: Mapping[str, Wire] = {
    wire.name: wire for wire in (Anthropic(), Invoke(), Gemini(), Converse(), Ollama(), Cohere(), Responses(), Azure())
}


def in_pieces(reply: Reply, size: int) -> Reply:
    """The same, cut where no provider would."""
    body = b"".join(reply.pieces)
    return replace(reply, pieces=[body[start : start + size] for start in range(0, len(body), size)])
