"""LangChain and LiteLLM as clients of a server: prints what each of them saw, as JSON."""

import json
import sys
from typing import Any

import litellm
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

URL, KEY = sys.argv[1:]
HELLO = [{"role": "user", "content": "Hello"}]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int
    email: str


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def chain(model: str) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{URL}/v1", api_key=SecretStr(KEY), model=model, max_retries=0)


seen: dict[str, Any] = {}
said: Any = chain("ok").invoke("Hello")
seen["invoke"] = [said.content, said.usage_metadata and said.usage_metadata["total_tokens"]]
seen["stream"] = "".join(str(piece.content) for piece in chain("ok").stream("Hello"))
called: Any = chain("tools").bind_tools([get_weather]).invoke("Hello")
seen["tools"] = called.tool_calls[0]["args"]
person: Any = chain("json").with_structured_output(Person).invoke("Hello")
seen["structured"] = person.name
vectors = OpenAIEmbeddings(
    openai_api_base=f"{URL}/v1", openai_api_key=SecretStr(KEY), model="ok", check_embedding_ctx_length=False
).embed_documents(["a", "b"])
seen["embeddings"] = vectors

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
