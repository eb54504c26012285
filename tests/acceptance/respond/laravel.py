"""Document S4's Laravel service as it is on the wire: what its `Http::…->post()` and `->withBody()->send()` write, byte
for byte as PHP's `json_encode` does, and what it makes of the answer.

It runs as a program of its own: `python laravel.py URL KEY chat|stream|tools`.
"""
# ruff: noqa: T201 - what the program says

import http.client
import json
import sys
from typing import Any
from urllib.parse import urlsplit

MODEL = "meta/llama-3-70b-instruct"


def json_encode(value: Any) -> str:
    """As PHP: ASCII, slashes escaped, and an empty array is a list, for PHP does not know objects."""
    return json.dumps(_as_arrays(value), separators=(",", ":")).replace("/", "\\/")


def _as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_arrays(inner) for key, inner in value.items()} or []
    return [_as_arrays(inner) for inner in value] if isinstance(value, list) else value


def send(url: str, key: str, body: dict[str, Any]) -> str:
    """Guzzle's request. Raises when it was not successful, as the service does."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    headers = {"x-api-key": key, "Content-Type": "application/json", "User-Agent": "GuzzleHttp/7"}
    connection.request("POST", "/api/v1/llm/respond", json_encode(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if not 200 <= answer.status < 300:
        raise RuntimeError(f"LLM API request failed: {answer.status} {text}")
    return text


def respond(url: str, key: str, messages: list[Any], **options: Any) -> Any:
    """`LLMService::respond()`."""
    body = {
        "model": MODEL,
        "messages": messages,
        "temperature": options.get("temperature", 0.7),
        "max_tokens": options.get("max_tokens", 1000),
        "stream": False,
        "tools": options.get("tools"),
        "tool_choice": options.get("tool_choice", "auto"),
    }
    return json.loads(send(url, key, body))


def stream(url: str, key: str, messages: list[Any]) -> None:
    """`LLMService::stream()`, which reads the whole body and walks its lines."""
    body = {"model": MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 1000, "stream": True}
    kind = ""
    for line in send(url, key, body).split("\n"):
        if line.startswith("event: "):
            kind = line[7:].strip()
        elif line.startswith("data: "):
            text = line[6:].strip()
            if text == "[DONE]":
                continue
            told = json.loads(text)
            print(kind, told.get("text", told.get("name", "")))


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the current weather",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string", "description": "The city and state"}},
                "required": ["location"],
            },
        },
    },
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
]


def loop(url: str, key: str) -> None:
    """The document's loop of tools."""
    messages: list[Any] = [user("What is the weather in San Francisco?")]
    while True:
        response = respond(url, key, messages, tools=TOOLS, tool_choice="auto")
        if "message" in response:
            messages.append(response["message"])
        if not response.get("tool_calls"):
            break
        for call in response["tool_calls"]:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "content": f"{call['name']} is done", "tool_call_id": call["id"]})
    print(messages[-1]["content"][0]["text"])


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def main(url: str, key: str, what: str) -> None:
    match what:
        case "chat":
            system = {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
            response = respond(url, key, [system, user("Grüße/Hello")])
            print(response["message"]["content"][0]["text"], response["usage"]["total_tokens"])
        case "stream":
            stream(url, key, [user("Hello")])
        case _:
            loop(url, key)


if __name__ == "__main__":
    main(*sys.argv[1:])
