"""A picture that a tool answered with reaches the model as a picture, however the tool wrote it."""

import base64
import json
from typing import Any

import pytest

from control_plane.api.wires.respond.tool_content import tool_content
from tests.acceptance.respond.server import GPT_4O, App
from tests.support.pdfs import PNG

Json = dict[str, Any]

DATA = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{DATA}"
PICTURE: Json = {"type": "image_url", "image_url": {"url": URL}}

SHAPES: dict[str, Any] = {
    "a part of OpenAI's": [{"type": "text", "text": "A map"}, PICTURE],
    "a part with its address alone": [{"type": "image_url", "image_url": URL}],
    "a part of OpenAI's responses": [{"type": "input_image", "image_url": URL}],
    "a part alone": PICTURE,
    "a block of Anthropic's": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
    ],
    "a part of MCP": [{"type": "image", "data": DATA, "mimeType": "image/png"}],
    "a resource of MCP": [
        {"type": "text", "text": "A map"},
        {"type": "resource", "resource": {"uri": "file:///a.png", "mimeType": "image/png", "blob": DATA}},
    ],
    "a result of MCP": {"content": [{"type": "image", "data": DATA, "mimeType": "image/png"}], "isError": False},
    "a data URL": URL,
    "a data URL in JSON": {"page": {"screenshot": URL, "title": "Home"}},
    "a data URL in JSON as text": json.dumps({"screenshot": URL}),
    "a data URL in a sentence": f"Here it is: {URL} (as asked)",
    "Gemini's inline data": {"inlineData": {"mimeType": "image/png", "data": DATA}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_taken_out_of_the_text(shape: str) -> None:
    content = tool_content(SHAPES[shape])
    assert isinstance(content, list)
    assert [part for part in content if part["type"] == "image_url"] == [PICTURE]
    assert DATA not in json.dumps([part for part in content if part["type"] == "text"])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        ("sunny", "sunny"),
        ({"temperature": 21}, '{"temperature":21}'),
        ([1, "a"], '[1,"a"]'),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ({"type": "image", "data": "no picture", "mimeType": "image/png"}, None),
        ("data:image/png;base64,bm8gcGljdHVyZQ==", "data:image/png;base64,bm8gcGljdHVyZQ=="),
        ([{"type": "wind", "speed": 3}], '[{"type":"wind","speed":3}]'),
    ],
)
def test_everything_else_is_text_as_before(given: Any, text: str | None) -> None:
    assert tool_content(given) == (text or (json.dumps(given, separators=(",", ":")) if given else ""))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_sees_the_picture_behind_the_results(app: App, stream: bool) -> None:
    """It was 200 kB of base64 in the prompt, billed as tokens."""
    messages = [
        {"role": "user", "content": "What is on the page?"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "name": "screenshot", "arguments": {}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": {"screenshot": URL}},
    ]
    answer = await app.respond({"model": GPT_4O, "messages": messages, "stream": stream})
    assert answer.status_code == 200, answer.text
    (seen,) = app.provider.seen("ok")
    assert [message["role"] for message in seen.body["messages"]] == ["user", "assistant", "tool", "user"]
    assert seen.body["messages"][2]["content"] == '{"screenshot":"[picture 1]"}'
    assert seen.body["messages"][3]["content"][1] == PICTURE
