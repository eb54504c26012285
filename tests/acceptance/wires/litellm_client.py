"""LiteLLM as a client of a server: prints what it saw, as JSON."""

import json
import sys
from typing import Any

import litellm

URL, KEY = sys.argv[1:]
HELLO = [{"role": "user", "content": "Hello"}]

seen: dict[str, Any] = {}
litellm.suppress_debug_info = True
asked: dict[str, Any] = {"model": "openai/ok", "messages": HELLO, "api_base": f"{URL}/v1", "api_key": KEY}
answer = litellm.completion(**asked)
seen["litellm"] = [answer.choices[0].message.content, answer.usage.total_tokens]
seen["litellm_stream"] = "".join(
    chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True)
)
try:
    litellm.completion(**{**asked, "model": "openai/nothing"}, num_retries=0)
except litellm.NotFoundError as error:
    seen["litellm_error"] = error.status_code
print(json.dumps(seen))  # noqa: T201 - the test reads it
