"""No connection but to the provider: what a message links to, and what LiteLLM would like to look up, is left alone."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio

from control_plane.chat import EndpointRequest
from control_plane.completion.faults import log_fields
from control_plane.errors import ProviderError
from control_plane.gateway.deployments import Deployment
from tests.gateway.conftest import Opener, make_call
from tests.gateway.native_answers import WIRES, Said, deployment
from tests.gateway.native_gateways import Native
from tests.gateway.native_provider import NativeProvider, Reply
from tests.support.files import Files
from tests.support.pdfs import PNG

Json = dict[str, Any]


@dataclass
class Connections:
    """Where this process connects to and which names it looks up, while it is watched."""

    is_watching: bool = False
    seen: set[Any] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_watching and event in ("socket.connect", "socket.getaddrinfo"):
            self.seen.add(arguments[1] if event == "socket.connect" else arguments[0:2])

    @contextmanager
    def watched(self) -> Iterator["Connections"]:
        self.seen.clear()
        self.is_watching = True
        try:
            yield self
        finally:
            self.is_watching = False


WATCH = Connections()
sys.addaudithook(WATCH.note)  # which cannot be taken out again


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def provider_of_wires() -> AsyncIterator[NativeProvider]:
    async with NativeProvider.start() as started:
        yield started


def with_links(url: str) -> list[list[Json]]:
    """Conversations with a link in each place that LiteLLM follows for some provider."""
    image: Json = {"type": "image_url", "image_url": {"url": url}}
    file: Json = {"type": "file", "file": {"file_id": url, "format": "application/pdf"}}
    user: Json = {"role": "user", "content": "hi"}
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": "{}"}}
    others: list[Json] = [
        {"type": "image_url", "image_url": url},
        {"type": "file", "file": {"file_data": url, "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
    ]
    conversations: list[list[Json]] = [[{"role": "user", "content": [part]}] for part in (image, file, *others)]
    for part in (image, file):
        result = {"role": "tool", "tool_call_id": "c", "content": [part]}
        conversations += [
            [{"role": "system", "content": [part]}, user],
            [user, {"role": "assistant", "content": [part]}, user],
            [user, {"role": "assistant", "content": None, "tool_calls": [call]}, result],
        ]
    return [*conversations, [user, {"role": "assistant", "content": "Look", "images": [image]}, user]]


MORE = {
    "openai": {"model": "openai/gpt-4o", "api_key": "k"},
    "huggingface": {"model": "huggingface/someone/model", "api_key": "k"},
    "lemonade": {"model": "lemonade/model"},
    "vllm": {"model": "hosted_vllm/llama", "api_key": "k"},
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_litellm_connects_to_nobody_but_the_provider(
    provider_of_wires: NativeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm  # noqa: PLC0415  # takes seconds

    monkeypatch.setattr(litellm, "user_url_validation", False)  # its own policy, which loopback does not pass
    provider = provider_of_wires
    more = [
        Deployment(f"{name}#1", name, {**params, "api_base": provider.url(name) + "/v1"})
        for name, params in MORE.items()
    ]
    azure = WIRES["azure"]
    for wire in WIRES.values():
        provider.replies[wire.name] = wire.whole(Said(("Hi",)))
    for name in MORE:
        provider.replies[name] = azure.whole(Said(("Hi",)))
    async with Files.start({"a.png": PNG}) as files:
        with WATCH.watched() as connections:
            async with Native.over(provider, *more) as native:
                for name in (*WIRES, *MORE):
                    for messages in with_links(files.url("files/a.png")):
                        try:
                            await native.gateway.complete(make_call(name, messages=messages))
                        except ProviderError:
                            continue  # refused by LiteLLM for want of the file
        assert files.asked == []
        assert {address for address in connections.seen if address[1] != provider.port} == set()
        assert provider.requests, "nothing was asked, so nothing was shown"


@pytest.mark.parametrize("status", [302, 308])
@pytest.mark.parametrize("is_stream", [False, True], ids=["buffered", "streamed"])
async def test_a_prompt_never_follows_a_providers_redirect(
    gateway_for: Opener, provider_of_wires: NativeProvider, status: int, *, is_stream: bool
) -> None:
    provider = provider_of_wires
    elsewhere = WIRES["azure"]
    provider.replies["elsewhere"] = elsewhere.whole(Said(("stolen",)))
    provider.replies["leading"] = Reply(
        [b"moved"], "text/plain", status, {"Location": provider.url("elsewhere") + "/v1/chat/completions"}
    )
    params = {"model": "openai/gpt-4o", "api_key": "k", "api_base": provider.url("leading") + "/v1"}
    claude = deployment(WIRES["anthropic"], provider, name="leading")
    gateway = await gateway_for(Deployment("a#1", "gpt", params), Deployment("b#1", "claude", claude.params))
    provider.requests.clear()
    for model in ("gpt", "claude"):
        with pytest.raises(ProviderError) as caught:
            await (gateway.stream(make_call(model)) if is_stream else gateway.complete(make_call(model)))
        assert caught.value.code == "provider_unavailable"
        assert log_fields(caught.value.fault)["provider_code"] == "redirected"
    call = make_call("gpt")
    with pytest.raises(ProviderError):
        await gateway.call_endpoint(
            replace(call, request=EndpointRequest("embeddings", {"input": ["secret"]}, ["secret"]))
        )
    assert {seen.path.split("/")[1] for seen in provider.requests} == {"leading"}
