"""The typed client as a distribution of its own: built, installed without the server, and used against a real one."""

import ast
import asyncio
import json
import re
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from control_plane.client import InvalidResponse, SaaSLLMClient, values
from control_plane.schemas import jobs
from tests.client.wheel import CLIENT, install_wheel, output_of
from tests.support.ledger import Books
from tests.support.server import Server, Team

PROGRAM = """
import asyncio, importlib.util, json, sys
sys.path[:0] = sys.argv[1:2]
from control_plane_client import SaaSLLMClient, ServerFailed, __version__

async def main(url, key):
    said = {"version": __version__, "strangers": [
        name for name in ("control_plane", "fastapi", "litellm", "sqlalchemy") if importlib.util.find_spec(name)
    ]}
    messages = [{"role": "user", "content": "Hello"}]
    async with SaaSLLMClient(url, virtual_key=key, max_retries=0) as client, client.job("report") as job:
        said["whole"] = (await job.chat(messages, model_group="ok")).response.content
        said["streamed"] = "".join([chunk.text async for chunk in job.chat_stream(messages, model_group="ok")])
        try:
            await job.chat(messages, model_group="e500")
        except ServerFailed as error:
            said["failed"] = error.code
    said["job"], said["charged"] = job.id, job.bill.credits_charged
    said["calls"] = [call.error for call in job.bill.calls]
    print(json.dumps(said))

asyncio.run(main(*sys.argv[2:]))
"""


def link_required(name: str, folder: Path, seen: set[str]) -> None:
    """Makes a distribution importable from the folder, and with it what it requires, and nothing else."""
    if name in seen:
        return
    seen.add(name)
    found = distribution(name)
    for top in {Path(file).parts[0] for file in found.files or () if ".." not in Path(file).parts}:
        link, real = folder / top, Path(str(found.locate_file(top)))
        if real.exists() and not link.exists():
            link.symlink_to(real)
    for line in found.requires or ():
        if "extra ==" not in line and "python_version" not in line:
            link_required(re.split(r"[^A-Za-z0-9._-]", line)[0].lower(), folder, seen)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_wheel_alone_makes_a_job_of_three_calls(server: Server, team: Team, tmp_path: Path) -> None:
    """Of this environment only what the wheel requires can be imported: neither the server nor its packages."""
    site = tmp_path / "site"
    await install_wheel(site, tmp_path)
    [metadata] = site.glob("control_plane_client-*.dist-info/METADATA")
    required = re.findall(r"^Requires-Dist: ([\w-]+)", metadata.read_text(), re.MULTILINE)
    assert required == ["httpx", "pydantic"]
    linked: set[str] = set()
    for name in required:
        link_required(name, site, linked)
    assert (site / "control_plane_client" / "py.typed").exists()

    said = json.loads(
        await output_of(sys.executable, "-I", "-S", "-c", PROGRAM, site, server.url, team.key, cwd=tmp_path)
    )
    assert said["strangers"] == []
    assert f"Version: {said['version']}\n" in metadata.read_text()
    assert said["whole"] == said["streamed"] != ""
    assert (said["failed"], said["calls"]) == ("llm_call_failed", [None, None, "llm_call_failed"])
    assert said["charged"] == 1
    books = await Books.of_closed_jobs(team)
    assert [str(job["job_id"]) for job in books.jobs] == [said["job"]]


def test_the_client_imports_nothing_of_the_server() -> None:
    allowed = sys.stdlib_module_names | {"httpx", "pydantic"}
    for file in CLIENT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").split(".")[0] in allowed, f"{file.name}:{node.lineno}"
            elif isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed, f"{file.name}:{node.lineno}"


COUNTERPARTS = {"ChatAnswer": "CallResult", "CompletedJob": "JobCompleted"}
OF_STREAMS = {"Value", "ChatChunk", "ChunkChoice", "ChunkUsage"}


def models_of(module: ModuleType) -> dict[str, type[BaseModel]]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", sorted(models_of(values).keys() - OF_STREAMS))
def test_the_clients_values_are_those_of_the_wire(name: str) -> None:
    """They are written down twice: a field that one side gains or changes must reach the other."""
    ours, theirs = models_of(values)[name], models_of(jobs)[COUNTERPARTS.get(name, name)]
    ours_by_field, theirs_by_field = (each.model_json_schema()["properties"] for each in (ours, theirs))
    assert ours_by_field.keys() == theirs_by_field.keys()
    for field in ours_by_field:
        assert types_in(theirs_by_field[field]) <= types_in(ours_by_field[field]), field


def types_in(schema: dict[str, object]) -> set[str]:
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return set().union(*(types_in(choice) for choice in choices))
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    return {reference or "/".join(str(schema.get(key, "")) for key in ("type", "format"))}


async def test_an_address_where_something_else_answers_is_an_error_of_the_client() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>")
        await writer.drain()
        writer.close()

    pages = await asyncio.start_server(page, "127.0.0.1", 0)
    port = pages.sockets[0].getsockname()[1]
    with pytest.raises(ValueError, match="virtual_key"):
        SaaSLLMClient(f"http://127.0.0.1:{port}")
    async with pages, SaaSLLMClient(f"http://127.0.0.1:{port}", virtual_key="sk-x", max_retries=0) as client:
        with pytest.raises(InvalidResponse, match=f"127.0.0.1:{port}"):
            await client.create_job("report")
