"""The five APIs as their clients use them: how the corpus's requests are asked, and what came back, in one shape."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.corpus.cases import Call, Form
from tests.corpus.shapes import Shape, with_parsed_arguments

Json = dict[str, Any]

IMAGE = re.compile(r"!\[image\]\(([^)]*)\)")

OWN_CODES = {"content_policy_violation": "content_policy", "rate_limit_exceeded": "rate_limited"}
"""Our codes by OpenAI's names for them."""

JOB_ASKS = frozenset({"temperature", "max_tokens", "top_p", "stop", "tools", "tool_choice", "response_format", "seed"})
CHAT_ASKS = JOB_ASKS | {
    "n",
    "parallel_tool_calls",
    "logprobs",
    "top_logprobs",
    "modalities",
    "audio",
    "thinking",
    "reasoning_effort",
}

TOOL_HISTORY: Sequence[Json] = (
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_before", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_before", "content": "done"},
)


@dataclass(frozen=True)
class Request:
    path: str
    body: Json


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.headers.get("Content-Type", "").startswith("text/event-stream")

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[tuple[str, Any]]:
        """Every event's name and data; `[DONE]` as None. Raises: AssertionError for what is no event."""
        found: list[tuple[str, Any]] = []
        for written in self.body.decode().split("\n\n"):
            if not written or written.startswith(":"):
                continue
            name, lines = "", written.split("\n")
            if lines[0].startswith("event: "):
                name = lines.pop(0).removeprefix("event: ")
            (line,) = lines
            assert line.startswith("data: "), written
            data = line.removeprefix("data: ")
            found.append((name, None if data == "[DONE]" else json.loads(data)))
        assert self.body.endswith(b"\n\n"), "the last event has no end"
        return found


class Api(ABC):
    """One API. `shown`: the fields of a shape that it can show, `counts`: of its usage."""

    name: str
    asks: frozenset[str]
    shown: Sequence[str]
    counts: Sequence[str]

    def can_ask(self, asked: Mapping[str, Any]) -> bool:
        return asked.keys() <= self.asks

    def view(self, shape: Shape) -> Shape:
        """What this API makes of it."""
        return shape

    @abstractmethod
    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request: ...

    @abstractmethod
    def whole(self, response: Response) -> Shape: ...

    @abstractmethod
    def stream(self, response: Response) -> Shape: ...

    @abstractmethod
    def failed(self, response: Response) -> str:
        """The code of an answer with an error status."""

    def read(self, response: Response) -> Shape:
        if response.status != 200:
            return Shape(error=self.failed(response))
        return self.stream(response) if response.is_stream else self.whole(response)


class ChatApi(Api):
    name = "chat"
    asks = CHAT_ASKS
    shown = ("text", "reasoning", "refusal", "pictures", "citations", "finish", "native_finish", "answers")
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request:
        body: Json = {"model": group, "messages": messages(prompt, history), **asked}
        if form == "stream":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Request("/v1/chat/completions", body)

    def whole(self, response: Response) -> Shape:
        body = response.json()
        choices = sorted(body["choices"], key=lambda choice: int(choice["index"]))
        first, *others = [
            replace(
                shape_of_message(choice["message"]),
                finish=choice["finish_reason"],
                native_finish=choice.get("native_finish_reason"),
            )
            for choice in choices
        ]
        usage = body["usage"]
        return replace(
            first, usage=chat_usage(usage), cost_usd=usage.get("cost_usd"), answers=tuple(others), error=None
        )

    def stream(self, response: Response) -> Shape:
        *events, done = [data for _, data in response.events()]
        assert done is None, "no [DONE]"
        messages_: dict[int, DeltaMessage] = {}
        usage: Json = {}
        error = None
        for event in events:
            assert error is None, "something follows an error"
            if "error" in event:
                error = event["error"]["code"]
                continue
            for choice in event["choices"]:
                messages_.setdefault(choice["index"], DeltaMessage()).take(choice)
            usage = event.get("usage") or usage
        first, *others = [messages_[index].shape() for index in sorted(messages_)] or [Shape()]
        return replace(
            first,
            usage=chat_usage(usage),
            cost_usd=usage.get("cost_usd"),
            answers=tuple(others),
            error=OWN_CODES.get(error or "", error),
        )

    def failed(self, response: Response) -> str:
        code: str = response.json()["error"]["code"]
        return OWN_CODES.get(code, code)


class JobApi(ChatApi):
    name = "job"
    asks = JOB_ASKS
    shown = ("text", "reasoning", "refusal", "pictures", "citations", "finish", "native_finish")
    counts = ("prompt_tokens", "completion_tokens")

    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request:
        body: Json = {"model_group": group, "messages": messages(prompt, history), **asked}
        return Request(f"/api/jobs/{job_id}/llm-call{'-stream' if form == 'stream' else ''}", body)

    def whole(self, response: Response) -> Shape:
        body = response.json()
        said, metadata = dict(body["response"]), body["metadata"]
        if said["content"] == said.get("refusal"):
            said["content"] = ""
        usage = {name: metadata[name] for name in self.counts}
        shape = replace(
            shape_of_message(said),
            finish=said["finish_reason"],
            native_finish=said.get("native_finish_reason"),
            usage=usage,
        )
        return shape if metadata.get("unpriced") else replace(shape, cost_usd=metadata["cost_usd"])

    def failed(self, response: Response) -> str:
        return str(response.json()["error"]["code"])


class ResponsesApi(Api):
    name = "responses"
    asks = frozenset({"temperature", "top_p", "max_tokens", "tools", "parallel_tool_calls", "reasoning_effort"})
    shown = ("text", "reasoning", "refusal", "pictures", "citations", "finish", "native_finish")
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

    def view(self, shape: Shape) -> Shape:
        pictures = tuple(url.partition(";base64,")[2] or url for url in shape.pictures)
        return replace(shape, pictures=pictures)

    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request:
        items: list[Json] = [{"role": "user", "content": prompt}]
        if history == "tool":
            items += [
                {"type": "function_call", "call_id": "call_before", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_before", "output": "done"},
            ]
        body: Json = {"model": group, "input": items, "stream": form == "stream"}
        for name, value in asked.items():
            match name:
                case "tools":
                    body["tools"] = [{"type": "function", **tool["function"]} for tool in value]
                case "max_tokens":
                    body["max_output_tokens"] = value
                case "reasoning_effort":
                    body["reasoning"] = {"effort": value}
                case _:
                    body[name] = value
        return Request("/v1/responses", body)

    def whole(self, response: Response) -> Shape:
        return self._shape(response.json())

    def stream(self, response: Response) -> Shape:
        events = response.events()
        assert all(name == data["type"] for name, data in events)
        numbers = [data["sequence_number"] for _, data in events]
        assert numbers == list(range(len(numbers))), "numbers of events"
        deltas: dict[int, list[str]] = {}
        added, done = {}, {}
        for name, data in events:
            if name == "response.output_item.added":
                added[data["output_index"]] = data["item"]
            elif name == "response.output_item.done":
                assert data["item"]["id"] == added[data["output_index"]]["id"]
                done[data["output_index"]] = data["item"]
            elif name.endswith(".delta"):
                assert data["output_index"] in added
                deltas.setdefault(data["output_index"], []).append(data["delta"])
        name, last = events[-1]
        if name == "error":
            found = Shape(error=OWN_CODES.get(last["code"], last["code"]))
            items = [{**added[index], "said": "".join(deltas.get(index, ()))} for index in sorted(added)]
            text = "".join(item["said"] for item in items if item["type"] == "message")
            reasoning = "".join(item["said"] for item in items if item["type"] == "reasoning")
            calls = tuple(
                Call(item["name"], item["said"], item["call_id"]) for item in items if item["type"] == "function_call"
            )
            return replace(found, text=text, reasoning=reasoning, tool_calls=calls)
        whole = last["response"]
        assert name == f"response.{whole['status']}"
        assert [done[index] for index in sorted(done)] == whole["output"], (
            "the items of the stream are not the answer's"
        )
        for index, pieces in deltas.items():
            assert "".join(pieces) in written_in(whole["output"][index]), "the pieces are not the item's text"
        return self._shape(whole)

    def failed(self, response: Response) -> str:
        code: str = response.json()["error"]["code"]
        return OWN_CODES.get(code, code)

    def _shape(self, body: Json) -> Shape:
        texts: dict[str, list[str]] = {"output_text": [], "refusal": [], "reasoning_text": []}
        calls, pictures, citations = [], [], []
        for item in body["output"]:
            match item["type"]:
                case "message" | "reasoning":
                    for part in item["content"]:
                        texts[part["type"]].append(part["refusal"] if part["type"] == "refusal" else part["text"])
                        citations += [annotation["url"] for annotation in part.get("annotations", ())]
                case "function_call":
                    calls.append(Call(item["name"], item["arguments"], item["call_id"]))
                case "custom_tool_call":
                    calls.append(Call(item["name"], item["input"], item["call_id"], "custom"))
                case "image_generation_call":
                    pictures.append(item["result"])
                case kind:
                    raise AssertionError(f"an item of type {kind}")
        why = (body["incomplete_details"] or {}).get("reason")
        ended = {"max_output_tokens": "length", "content_filter": "content_filter"}
        assert (body["status"] == "incomplete") == (why in ended)
        usage = body["usage"]
        counts = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "cached_tokens": usage["input_tokens_details"]["cached_tokens"],
            "cache_write_tokens": usage["input_tokens_details"]["cache_write_tokens"],
            "reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"],
        }
        return Shape(
            text="".join(texts["output_text"]),
            reasoning="".join(texts["reasoning_text"]),
            refusal="".join(texts["refusal"]),
            tool_calls=tuple(calls),
            pictures=tuple(pictures),
            citations=tuple(citations),
            finish=ended.get(why) or ("tool_calls" if calls else "stop"),
            native_finish=body.get("native_finish_reason"),
            usage=counts,
            cost_usd=usage.get("cost_usd"),
        )


class MessagesApi(Api):
    name = "messages"
    asks = frozenset({"temperature", "top_p", "max_tokens", "stop", "tools", "thinking"})
    shown = ("text", "reasoning", "pictures", "citations", "finish", "native_finish", "stop_sequence")
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens")

    FINISHES: Mapping[str, str] = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }

    def view(self, shape: Shape) -> Shape:
        """Refusals are text here, and words of Anthropic's own are the reason itself."""
        native = None if shape.native_finish in self.FINISHES else shape.native_finish
        return with_parsed_arguments(replace(shape, text=shape.text + shape.refusal, refusal="", native_finish=native))

    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request:
        said: list[Json] = [{"role": "user", "content": prompt}]
        if history == "tool":
            said += [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "call_before", "name": "look", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "call_before", "content": "done"}],
                },
            ]
        body: Json = {"model": group, "messages": said, "max_tokens": 500, "stream": form == "stream"}
        for name, value in asked.items():
            match name:
                case "tools":
                    body["tools"] = [
                        {
                            "name": tool["function"]["name"],
                            "input_schema": tool["function"].get("parameters") or {"type": "object"},
                        }
                        for tool in value
                    ]
                case "stop":
                    body["stop_sequences"] = [value] if isinstance(value, str) else value
                case _:
                    body[name] = value
        return Request("/v1/messages", body)

    def whole(self, response: Response) -> Shape:
        return self._shape(response.json())

    def stream(self, response: Response) -> Shape:
        events = response.events()
        assert all(name == data["type"] for name, data in events)
        begun, *pieces, ended = [data for _, data in events]
        assert begun["type"] == "message_start"
        if ended["type"] == "error":
            shape = self._said({"content": assembled_blocks(pieces)})
            return replace(shape, error=ended["error"]["code"])
        assert ended["type"] == "message_stop"
        *pieces, delta = pieces
        assert delta["type"] == "message_delta"
        said = {"content": assembled_blocks(pieces), "usage": delta["usage"], **delta["delta"]}
        return self._shape({**begun["message"], **said})

    def failed(self, response: Response) -> str:
        return str(response.json()["error"]["code"])

    def _shape(self, body: Json) -> Shape:
        usage = body["usage"]
        counts = {
            "prompt_tokens": usage["input_tokens"]
            + usage["cache_creation_input_tokens"]
            + usage["cache_read_input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "cached_tokens": usage["cache_read_input_tokens"],
            "cache_write_tokens": usage["cache_creation_input_tokens"],
        }
        return replace(
            self._said(body),
            finish=self.FINISHES[body["stop_reason"]],
            native_finish=body.get("native_finish_reason"),
            stop_sequence=body["stop_sequence"],
            usage=counts,
            cost_usd=usage.get("cost_usd"),
        )

    def _said(self, body: Json) -> Shape:
        text, reasoning, calls, citations = "", "", [], []
        for block in body["content"]:
            match block["type"]:
                case "text":
                    text += block["text"]
                    citations += [citation["url"] for citation in block.get("citations", ())]
                case "thinking":
                    reasoning += block["thinking"]
                case "redacted_thinking":
                    assert block["data"]
                case "tool_use":
                    given = block.get("partial_json")
                    arguments = json.dumps(block["input"]) if given is None else given
                    calls.append(Call(block["name"], arguments, block["id"]))
                case kind:
                    raise AssertionError(f"a block of type {kind}")
        return Shape(
            text=IMAGE.sub("", text),
            reasoning=reasoning,
            tool_calls=tuple(calls),
            pictures=tuple(IMAGE.findall(text)),
            citations=tuple(citations),
        )


class RespondApi(Api):
    name = "respond"
    asks = JOB_ASKS
    shown = ("text", "reasoning", "pictures", "citations", "finish", "native_finish")
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

    def view(self, shape: Shape) -> Shape:
        return with_parsed_arguments(replace(shape, text=shape.text or shape.refusal, refusal=""))

    def request(
        self, group: str, prompt: str, asked: Mapping[str, Any], form: Form, *, history: str, job_id: str
    ) -> Request:
        body: Json = {"model": group, "messages": messages(prompt, history), "stream": form == "stream", **asked}
        return Request("/api/v1/llm/respond", body)

    def whole(self, response: Response) -> Shape:
        return self._shape(response.json())

    def stream(self, response: Response) -> Shape:
        *events, (_, nothing) = response.events()
        assert nothing is None, "no [DONE]"
        tokens = "".join(data["text"] for name, data in events if name == "token")
        name, last = events[-1]
        if name == "error":
            return Shape(text=tokens, error=last["error"]["code"])
        assert name == "done"
        assert [data for name, data in events if name == "tool_call"] == last["tool_calls"]
        shape = self._shape(last)
        assert tokens.startswith(shape.text), "the tokens are not the text"
        return shape

    def failed(self, response: Response) -> str:
        return str(response.json()["error"]["code"])

    def _shape(self, body: Json) -> Shape:
        said = body["message"]
        calls = [
            Call(
                call["name"],
                call["arguments"] if isinstance(call["arguments"], str) else json.dumps(call["arguments"]),
                call["id"],
            )
            for call in body["tool_calls"]
        ]
        return Shape(
            text="".join(part["text"] for part in said["content"] if part["type"] == "text"),
            reasoning=said.get("reasoning_content") or "",
            tool_calls=tuple(calls),
            pictures=tuple(part["image_url"]["url"] for part in said["content"] if part["type"] == "image_url"),
            citations=tuple(urls_of(said.get("annotations") or ())),
            finish=body["finish_reason"],
            native_finish=body.get("native_finish_reason"),
            usage={name: body["usage"].get(name) or 0 for name in self.counts},
        )


APIS: Sequence[Api] = (JobApi(), ChatApi(), ResponsesApi(), MessagesApi(), RespondApi())


def messages(prompt: str, history: str) -> list[Json]:
    return [{"role": "user", "content": prompt}, *(TOOL_HISTORY if history == "tool" else ())]


def chat_usage(usage: Json) -> Json:
    inputs, outputs = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return {
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cached_tokens": inputs.get("cached_tokens"),
        "cache_write_tokens": inputs.get("cache_write_tokens"),
        "reasoning_tokens": outputs.get("reasoning_tokens"),
    }


def shape_of_message(said: Json) -> Shape:
    return Shape(
        text=said.get("content") or "",
        reasoning=said.get("reasoning_content") or "",
        refusal=said.get("refusal") or "",
        tool_calls=tuple(call_of(call) for call in said.get("tool_calls") or ()),
        pictures=tuple(image["image_url"]["url"] for image in said.get("images") or ()),
        citations=tuple(urls_of(said.get("annotations") or ())),
    )


def call_of(call: Json) -> Call:
    function = call[call["type"]]
    return Call(function["name"], function.get("arguments", function.get("input", "")), call["id"], call["type"])


def urls_of(annotations: Sequence[Json]) -> Iterator[str]:
    for annotation in annotations:
        about = annotation.get("url_citation")
        yield (about if isinstance(about, dict) else annotation).get("url") or ""


def written_in(item: Json) -> str:
    texts = [item.get("arguments") or "", item.get("input") or ""]
    texts += [part.get("text") or part.get("refusal") or "" for part in item.get("content") or ()]
    return "\n".join(texts)


class DeltaMessage:
    """Puts a message together as OpenAI's SDKs do."""

    def __init__(self) -> None:
        self.said: Json = {"role": None, "content": "", "reasoning_content": "", "refusal": ""}
        self.calls: dict[int, Json] = {}
        self.finish: str | None = None
        self.native: str | None = None

    def take(self, choice: Json) -> None:
        assert self.finish is None, "something follows the end of a choice"
        delta = choice["delta"]
        if self.said["role"] is None:
            assert delta.get("role") == "assistant" or choice["finish_reason"], "the first delta has the role"
            self.said["role"] = "assistant"
        for name in ("content", "reasoning_content", "refusal"):
            self.said[name] += delta.get(name) or ""
        for name in ("images", "annotations"):
            self.said.setdefault(name, []).extend(delta.get(name) or ())
        for piece in delta.get("tool_calls") or ():
            self._take_call(piece)
        self.finish, self.native = choice["finish_reason"], choice.get("native_finish_reason")

    def _take_call(self, piece: Json) -> None:
        index = piece["index"]
        if index not in self.calls:
            assert index == len(self.calls), "calls are numbered in their order"
            self.calls[index] = {**piece, piece["type"]: dict(piece[piece["type"]])}
            return
        call = self.calls[index]
        assert "id" not in piece, "the id is repeated"
        name = "input" if call["type"] == "custom" else "arguments"
        call[call["type"]][name] += piece[call["type"]][name]

    def shape(self) -> Shape:
        said = {**self.said, "tool_calls": [self.calls[index] for index in sorted(self.calls)]}
        return replace(shape_of_message(said), finish=self.finish, native_finish=self.native)


def assembled_blocks(events: Sequence[Json]) -> list[Json]:
    """The blocks of a stream of Anthropic's, put together as its SDKs do."""
    blocks: dict[int, Json] = {}
    open_: set[int] = set()
    for data in events:
        match data["type"]:
            case "content_block_start":
                assert data["index"] == len(blocks), "blocks are numbered in their order"
                blocks[data["index"]] = dict(data["content_block"])
                open_.add(data["index"])
            case "content_block_delta":
                assert data["index"] in open_, "a piece of a block that has ended"
                _add_delta(blocks[data["index"]], data["delta"])
            case "content_block_stop":
                open_.remove(data["index"])
            case kind:
                raise AssertionError(f"{kind} between the blocks")
    return list(blocks.values())


def _add_delta(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["partial_json"] = block.get("partial_json", "") + delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case kind:
            raise AssertionError(f"a delta of type {kind}")
