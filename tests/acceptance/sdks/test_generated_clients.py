"""Clients that generators make of the OpenAPI document compile, authenticate and run a job."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.acceptance.sdks.programs import CLIENTS_PYTHON, NODE_MODULES, ran
from tests.support.server import Server, Team

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PYTHON = """
import sys
from generated import AuthenticatedClient
from generated.api.jobs import complete_job, create_job, llm_call
from generated.models import CallBody, ChatMessage, ChatMessageRole, CompleteJob, CompleteJobStatus, CreateJob

with AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True) as client:
    job = create_job.sync(client=client, body=CreateJob(job_type="generated"), idempotency_key="generated-1")
    body = CallBody(messages=[ChatMessage(role=ChatMessageRole.USER, content="Hello")], model_group="ok")
    call = llm_call.sync(job.job_id, client=client, body=body)
    bill = complete_job.sync(job.job_id, client=client, body=CompleteJob(status=CompleteJobStatus.COMPLETED))
    print(job.job_id, call.response.content, bill.costs.credits_charged)
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };
const [baseUrl, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
// @ts-expect-error: a job has a type
const untyped: paths["/api/jobs/create"]["post"]["requestBody"]["content"]["application/json"] = {};
void untyped;

const created = await client.POST("/api/jobs/create", {
  body: { job_type: "generated", on_cap: "refuse" },
  params: { header: { "Idempotency-Key": "generated-2" } },
});
if (created.error) throw new Error(created.error.error.message);
const path = { job_id: created.data.job_id };
const call = await client.POST("/api/jobs/{job_id}/llm-call", {
  params: { path },
  body: { model_group: "ok", messages: [{ role: "user", content: "Hello" }] },
});
const bill = await client.POST("/api/jobs/{job_id}/complete", { params: { path }, body: { status: "completed" } });
console.log(path.job_id, call.data?.response.content, bill.data?.costs.credits_charged);
"""

COMPILER = {"strict": True, "target": "es2022", "module": "nodenext", "lib": ["es2022", "dom"], "types": []}


async def check(printed: str, team: Team) -> None:
    """The generated client's job is the team's, was answered and is charged once."""
    job_id, *answer, charged = printed.split()
    assert answer
    assert charged == "1"
    job = (await team.http.get(f"/api/jobs/{job_id}")).json()
    assert (job["job_type"], job["status"]) == ("generated", "completed")


async def document_in(folder: Path, team: Team) -> Path:
    file = folder / "openapi.json"
    file.write_text(json.dumps((await team.http.get("/openapi.json")).json()))
    return file


@pytest.mark.skipif(not CLIENTS_PYTHON.exists(), reason="`make test` installs the generator")
async def test_openapi_python_client_makes_a_client(server: Server, team: Team, tmp_path: Path) -> None:
    file = await document_in(tmp_path, team)
    path = os.pathsep.join((str(CLIENTS_PYTHON.parent), os.environ["PATH"]))  # it formats with the ruff it needs
    options = ("--path", str(file), "--output-path", str(tmp_path / "generated"), "--meta", "none", "--fail-on-warning")
    await ran(str(CLIENTS_PYTHON), "-m", "openapi_python_client", "generate", *options, PATH=path, PYTHONPATH="")
    program = tmp_path / "program.py"
    program.write_text(PYTHON)
    await check(await ran(str(CLIENTS_PYTHON), str(program), server.url, team.key, PYTHONPATH=""), team)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_openapi_typescript_makes_types_that_a_program_is_checked_by(
    server: Server, team: Team, tmp_path: Path
) -> None:
    file = await document_in(tmp_path, team)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.ts").write_text(TYPESCRIPT)
    bin_ = NODE_MODULES / ".bin"
    await ran(str(bin_ / "openapi-typescript"), str(file), "-o", str(tmp_path / "api.d.ts"))
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER, "files": ["program.ts"]}))
    await ran("sh", "-c", f"{bin_ / 'tsc'} --project {tmp_path} >&2")  # it prints what is wrong as a result
    await check(await ran("node", str(tmp_path / "program.js"), server.url, team.key), team)
