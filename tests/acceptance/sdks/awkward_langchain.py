"""LangChain against a server: asks every question of a file and prints the outcomes, as JSON. See `awkward.py`."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

URL, KEY, FILE = sys.argv[1:]
AT_ONCE = 8
TIMEOUT_S = 120
CONNECTIONS = {"http_client": httpx.Client(), "http_async_client": httpx.AsyncClient()}
"""Of all models: each would make its own, which takes long."""

BEFORE = [
    AIMessage("", tool_calls=[{"id": "call_before", "name": "look", "args": {}}]),
    ToolMessage("done", tool_call_id="call_before"),
]


def model_for(question: dict[str, Any]) -> Any:
    more = {name: value for name, value in question["asks"].items() if name not in ("tools", "stop")}
    chat: Any = ChatOpenAI(
        base_url=f"{URL}/v1",
        api_key=SecretStr(KEY),
        model=question["model"],
        max_retries=0,
        timeout=TIMEOUT_S,
        use_responses_api=question["api"] == "responses",
        **CONNECTIONS,
        **more,
    )
    if "tools" in question["asks"]:
        chat = chat.bind_tools(question["asks"]["tools"])
    return chat.bind(stop=question["asks"]["stop"]) if "stop" in question["asks"] else chat


async def ask(question: dict[str, Any], messages: list[Any]) -> Any:
    model = model_for(question)
    if question["form"] == "whole":
        return await model.ainvoke(messages)
    said = None
    async for piece in model.astream(messages):
        said = piece if said is None else said + piece
    return said


def final_of(said: Any) -> dict[str, Any]:
    calls = [*said.tool_calls, *said.invalid_tool_calls]
    refusals = [part["refusal"] for part in said.content if isinstance(part, dict) and part.get("type") == "refusal"]
    return {
        "text": said.text,
        "refusal": said.additional_kwargs.get("refusal") or "".join(refusals),
        "calls": [{"id": call["id"], "name": call["name"], "input": call["args"]} for call in calls],
    }


def behind(said: Any) -> list[Any]:
    calls = [*said.tool_calls, *said.invalid_tool_calls]
    return [ToolMessage("done", tool_call_id=call["id"]) for call in calls] or [HumanMessage("And?")]


def error_of(error: Exception) -> dict[str, Any]:
    return {
        "is_own": isinstance(error, openai.APIError),
        "name": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "message": str(error)[:1000],
    }


async def outcome_of(question: dict[str, Any]) -> dict[str, Any]:
    begun = [HumanMessage(question["prompt"]), *(BEFORE if question["history"] == "tool" else ())]
    try:
        said = await ask(question, begun)
        found: dict[str, Any] = {"final": final_of(said)}
    except Exception as error:  # noqa: BLE001 - whatever it raises is the outcome
        return {"error": error_of(error)}
    if question["isSentBack"]:
        try:
            found["second"] = {"final": final_of(await ask(question, [*begun, said, *behind(said)]))}
        except Exception as error:  # noqa: BLE001 - as above
            found["second"] = {"error": error_of(error)}
    return found


async def main() -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(question: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        async with places:
            return question["key"], await outcome_of(question)

    questions = json.loads(Path(FILE).read_text(encoding="utf-8"))  # noqa: ASYNC240 - before anything is asked
    outcomes = dict(await asyncio.gather(*(one(question) for question in questions)))
    print(json.dumps(outcomes))  # noqa: T201 - the test reads it


asyncio.run(main())
