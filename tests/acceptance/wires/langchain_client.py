"""LangChain as a client of a server: prints what it saw, as JSON."""

import json
import sys
from typing import Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

URL, KEY = sys.argv[1:]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int
    email: str


@tool  # type: ignore[untyped-decorator]  # LangChain's types are not installed where ours are checked
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
print(json.dumps(seen))  # noqa: T201 - the test reads it
