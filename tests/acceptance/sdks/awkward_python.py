"""OpenAI's and Anthropic's Python SDKs as their readers use them: whole, with the helpers for streams, and once more with
the answer sent back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anthropic
import openai

from tests.acceptance.sdks.awkward import Json, Outcome

TIMEOUT_S = 120
AT_ONCE = 8

Ask = Callable[[Any, str, Json], Awaitable[Any]]
"""Asks an SDK's client in a form with a body, for its final object."""


async def chat(client: openai.AsyncOpenAI, form: str, body: Json) -> Any:
    if form == "whole":
        return await client.chat.completions.create(**body)
    if "tools" in body:
        body = {**body, "tools": [_strict(tool) for tool in body["tools"]]}
    async with client.chat.completions.stream(**body) as stream:
        try:
            return await stream.get_final_completion()
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):  # raised for every such reason
            return stream.current_completion_snapshot


def _strict(tool: Json) -> Json:
    """As the helper for streams wants tools."""
    return {**tool, "function": {**tool["function"], "strict": True}}


async def responses(client: openai.AsyncOpenAI, form: str, body: Json) -> Any:
    if form == "whole":
        return await client.responses.create(**body)
    async with client.responses.stream(**body) as stream:
        last = None
        async for event in stream:
            last = event
        assert last is not None
        if last.type == "response.incomplete":  # for which the SDK has no final response
            return last.response
        return await stream.get_final_response()


async def messages(client: anthropic.AsyncAnthropic, form: str, body: Json) -> Any:
    if form == "whole":
        return await client.messages.create(**body)
    async with client.messages.stream(**body) as stream:
        return await stream.get_final_message()


def chat_body_behind(body: Json, final: Any) -> Json:
    said = final.choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in said.tool_calls or ()]
    return {**body, "messages": [*body["messages"], said, *(results or [{"role": "user", "content": "And?"}])]}


def responses_body_behind(body: Json, final: Any) -> Json:
    results = [
        {"type": f"{item.type}_output", "call_id": item.call_id, "output": "done"}
        for item in final.output
        if item.type in ("function_call", "custom_tool_call")
    ]
    asked = results or [{"role": "user", "content": "And?"}]
    return {**body, "input": [*body["input"], *final.output, *asked]}


def messages_body_behind(body: Json, final: Any) -> Json:
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "done"}
        for block in final.content
        if block.type == "tool_use"
    ]
    said = {"role": "assistant", "content": final.content}
    return {**body, "messages": [*body["messages"], said, {"role": "user", "content": results or "And?"}]}


SPOKEN: dict[str, tuple[Ask, Callable[[Json, Any], Json]]] = {
    "chat": (chat, chat_body_behind),
    "responses": (responses, responses_body_behind),
    "messages": (messages, messages_body_behind),
}


async def ask_all(client: Any, own: type[Exception], asked: Sequence[Json]) -> dict[str, Outcome]:
    """The outcomes by key. `own`: the class of the SDK's own exceptions."""
    places = asyncio.Semaphore(AT_ONCE)

    async def outcome(question: Json) -> tuple[str, Outcome]:
        ask, body_behind = SPOKEN[question["api"]]
        async with places:
            try:
                final = await _bounded(ask(client, question["form"], question["body"]))
                found: Outcome = {"final": final.to_dict()}
            except Exception as error:  # noqa: BLE001 - whatever an SDK raises is its outcome
                return question["key"], {"error": error_of(error, own)}
            if question["isSentBack"]:
                try:
                    body = body_behind(question["body"], final)
                    again = await _bounded(ask(client, question["form"], body))
                    found["second"] = {"final": again.to_dict()}
                except Exception as error:  # noqa: BLE001 - as above
                    found["second"] = {"error": error_of(error, own)}
            return question["key"], found

    return dict(await asyncio.gather(*(outcome(question) for question in asked)))


async def _bounded(asking: Awaitable[Any]) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        return await asking


def error_of(error: Exception, own: type[Exception]) -> Json:
    return {
        "is_own": isinstance(error, own),
        "name": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "message": str(error)[:1000],
    }
