"""Files that messages link to are fetched by us or by a vendor's servers, never by a provider's code in our network."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from control_plane.calls.remote_files import RemoteFiles
from control_plane.chat import ChatRequest, EndpointRequest
from control_plane.errors import FileRefused
from control_plane.fetching.addresses import PrivateHosts
from control_plane.fetching.data_urls import data_url
from control_plane.fetching.fetcher import Fetcher
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.documents import fetches_itself, reads_pdf
from control_plane.ids import TeamId
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.service import ModelGroupService
from control_plane.storage.database import Database
from tests.support.files import Files
from tests.support.patience import PATIENCE_S
from tests.support.pdfs import PNG, pdf
from tests.support.provider import Provider
from tests.support.server import Team, call_body, config_for, new_team, serving, settings_for, write_config

Json = dict[str, Any]

IMAGE = data_url("image/png", PNG)


@pytest_asyncio.fixture
async def files() -> AsyncIterator[Files]:
    async with Files.start({"photo.png": PNG, "a.pdf": pdf("Hello"), "page": b"<html>secret"}) as started:
        yield started


def body(part: Json) -> Json:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    return {**call_body(), "messages": messages}


def image(url: Any) -> Json:
    return {"type": "image_url", "image_url": url}


def file(**given: Any) -> Json:
    return {"type": "file", "file": given}


async def test_a_link_of_the_job_api_reaches_the_provider_as_the_file(
    database_url: str, provider: Provider, files: Files, tmp_path: Path
) -> None:
    config = write_config(tmp_path, config_for(provider))
    photo, document = files.url("files/photo.png"), files.url("files/a.pdf")
    document_data = data_url("application/pdf", pdf("Hello"))
    async with (
        serving(settings_for(database_url, config, private_file_hosts=files.host)) as server,
        new_team(server) as team,
    ):
        job_id = await team.create_job()
        for given, sent in (
            (image({"url": photo, "detail": "low"}), image({"url": IMAGE, "detail": "low"})),
            (image({"url": IMAGE}), image({"url": IMAGE})),
            (file(file_id=document, filename="a.pdf"), file(file_data=document_data, filename="a.pdf")),
            (file(file_data=document, filename="b.pdf"), file(file_data=document_data, filename="b.pdf")),
            (file(file_data=document_data, filename="c.pdf"), file(file_data=document_data, filename="c.pdf")),
            (file(file_id="file-abc"), file(file_id="file-abc")),
            (image({"url": IMAGE, "x": [photo]}), image({"url": IMAGE})),
            (file(file_id="file-abc", y={"url": photo}), file(file_id="file-abc")),
        ):
            answer = await team.http.post(f"/api/jobs/{job_id}/llm-call", json=body(given))
            assert answer.status_code == 200, answer.text
            assert provider.seen("ok")[-1].body["messages"][0]["content"][1] == sent
        assert len(files.asked) == 3
        events = await team.http.post(f"/api/jobs/{job_id}/llm-call-stream", json=body(image({"url": photo})))
        assert "[DONE]" in events.text
        assert provider.seen("ok")[-1].body["messages"][0]["content"][1]["image_url"]["url"] == IMAGE
        refused = await team.http.post(
            f"/api/jobs/{job_id}/llm-call", json=body(image({"url": files.url("files/page")}))
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "file_refused")
        assert "secret" not in refused.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "path", ["/api/jobs/{job_id}/llm-call", "/api/jobs/{job_id}/llm-call-stream", "/api/jobs/create-and-call"]
)
async def test_what_only_this_machine_reaches_is_refused_by_every_route(
    team: Team, provider: Provider, files: Files, path: str
) -> None:
    job_id = await team.create_job()
    for url in (
        *(files.url("files/photo.png"), f"http://localhost:{files.port}/files/photo.png", "http://169.254.169.254/"),
        *("file:///etc/passwd", "gs://bucket/photo.png", "s3://bucket/photo.png", "photo.png", "http://[::1]/", ""),
    ):
        parts = [image({"url": url}), image(url), file(file_data=url), file(file_id=url)]
        for part in parts if "://" in url else parts[:2]:
            answer = await team.http.post(path.format(job_id=job_id), json={"job_type": "x", **body(part)})
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "file_refused"), (url, answer.text)
    for nonsense in ({}, {"url": 3}, {"url": None}):
        answer = await team.http.post(path.format(job_id=job_id), json={"job_type": "x", **body(image(nonsense))})
        assert answer.status_code == 422
    assert provider.requests == []
    assert files.asked == []
    assert (await team.http.get(f"/api/jobs/{job_id}")).json()["status"] == "pending"


def deployment(name: str, model: str, *, info: Json | None = None, **params: Any) -> Deployment:
    return Deployment(id=f"{name}#1", model_name=name, params={"model": model, **params}, info=info or {})


ROUTER = RouterConfig(
    deployments=[
        deployment("gpt", "openai/gpt-4o"),
        deployment("claude", "anthropic/claude-sonnet-4-5"),
        deployment("azure", "azure/ours", base_model="azure/gpt-4o", api_base="https://ours.openai.azure.com/"),
        deployment("gateway", "azure/ours", api_base="https://gateway.internal"),
        deployment("llama", "hosted_vllm/llama", api_base="http://10.0.0.5:8000/v1"),
        deployment("compatible", "openai/llama", api_base="http://10.0.0.5:8000/v1"),
        deployment("gemini", "gemini/gemini-2.5-pro"),
        deployment("old", "openai/gpt-3.5-turbo"),
        deployment("unknown", "openai/nobody-lists-this"),
        deployment("said", "openai/nobody-lists-this", info={"supports_pdf_input": True}),
        deployment("denied", "openai/gpt-4o", info={"supports_pdf_input": False}),
        deployment("mixed", "openai/gpt-4o"),
        deployment("mixed", "openai/gpt-3.5-turbo"),
    ]
)


def test_only_vendors_fetch_for_themselves_far_from_our_network() -> None:
    alone = {name for name in {each.model_name for each in ROUTER.deployments} if fetches_itself(ROUTER, [name])}
    assert alone == {"gpt", "claude", "azure", "old", "unknown", "said", "denied", "mixed"}
    assert not fetches_itself(ROUTER, ["gpt", "llama"]), "its fallback would fetch it here"


def test_a_model_reads_pdfs_when_its_list_or_our_file_says_so_of_all_its_deployments() -> None:
    reading = {name for name in {each.model_name for each in ROUTER.deployments} if reads_pdf(ROUTER, name)}
    assert reading == {"gpt", "claude", "gemini", "said"}


async def test_a_link_stays_one_only_where_it_is_a_vendors_to_fetch(db: Database, files: Files) -> None:
    hosts = PrivateHosts.listed(f"{files.host}, files.example.com")
    fetcher = Fetcher(private_hosts=hosts, max_bytes=10_000, timeout_s=PATIENCE_S)
    remote = RemoteFiles(fetcher, ModelGroupService(db, Catalog({}, ROUTER, "1")))

    async def brought(url: str, *models: str) -> str:
        request = ChatRequest([{"role": "user", "content": [image({"url": url})]}])
        made = await remote.inlined(request, models, team=TeamId("acme"))
        assert isinstance(made, ChatRequest)
        sent: str = made.messages[0]["content"][0]["image_url"]["url"]
        return sent

    public = "https://example.com/photo.png"
    assert await brought(public, "gpt", "claude") == public
    assert await brought(files.url("files/photo.png"), "gpt") == IMAGE, "a private host that the operator lists"
    for url in ("http://example.invalid/photo.png", "https://localhost/photo.png", "https://127.0.0.1/photo.png"):
        with pytest.raises(FileRefused):
            await brought(url, "gpt")
    for models in (["llama"], ["gpt", "llama"], ["compatible"], ["gemini"], ["gateway"]):
        with pytest.raises(FileRefused):
            await brought("https://example.invalid/photo.png", *models)
    for part in (file(file_id=public), file(file_data=public), file(file_id="www.example.com/a.pdf")):
        request = ChatRequest([{"role": "tool", "tool_call_id": "c", "content": [image({"url": public}), part]}])
        with pytest.raises(FileRefused):  # LiteLLM would fetch it for the vendor, here
            await remote.inlined(request, ["gpt"], team=TeamId("acme"))
    both = ChatRequest([{"role": "user", "content": [image(public), file(file_id=files.url("files/a.pdf"))]}])
    made = await remote.inlined(both, ["gpt"], team=TeamId("acme"))
    assert isinstance(made, ChatRequest)
    assert made.messages[0]["content"] == [image(public), file(file_data=data_url("application/pdf", pdf("Hello")))]
    plain = EndpointRequest("embeddings", {"input": [public]}, [public])
    assert await remote.inlined(plain, ["gpt"], team=TeamId("acme")) is plain
    await fetcher.aclose()


async def test_data_with_line_breaks_reaches_the_provider_of_every_api_without_them(
    team: Team, provider: Provider
) -> None:
    broken = base64.encodebytes(PNG).decode().rstrip("=\n")
    for part in (image({"url": f"data:image/png;base64,{broken}"}), file(file_data=f"DATA:image/png;base64, {broken}")):
        answer = await team.http.post("/v1/chat/completions", json={**body(part), "model": "ok"})
        assert answer.status_code == 200, answer.text
        sent = provider.requests[-1].body["messages"][0]["content"][1]
        assert (sent.get("image_url") or {"url": sent["file"]["file_data"]})["url"] == IMAGE
