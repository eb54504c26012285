"""The reconciliation, as an operator runs it: against the embedded Router's reports, and against a proxy's logs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import text

from control_plane.cli.spend import moment_of
from control_plane.errors import Unprocessable
from control_plane.reconciliation import proxy_store
from control_plane.reconciliation.proxies import PAGE, Proxy, logs_in_database, logs_over_api
from control_plane.reconciliation.proxy_store import ProxyUnreachable
from control_plane.reconciliation.rules import LATE, Finding, Reconciled
from control_plane.reconciliation.service import ReconciliationService
from control_plane.settings import Settings
from tests.acceptance.processes.process import run_arguments
from tests.support.ledger import Books
from tests.support.patience import PATIENCE_S
from tests.support.provider import Provider
from tests.support.server import (
    COST_NANO_USD,
    Server,
    Team,
    call_body,
    config_for,
    new_team,
    serving,
    settings_for,
    write_config,
)
from tests.support.services import Watch

PROXY_TABLE = """CREATE TABLE "LiteLLM_SpendLogs" (
    request_id text PRIMARY KEY, call_type text NOT NULL, api_key text NOT NULL DEFAULT '',
    spend double precision NOT NULL DEFAULT 0.0, total_tokens int NOT NULL DEFAULT 0, prompt_tokens int NOT NULL DEFAULT 0,
    completion_tokens int NOT NULL DEFAULT 0, "startTime" timestamp(3) NOT NULL, "endTime" timestamp(3) NOT NULL,
    "completionStartTime" timestamp(3), model text NOT NULL DEFAULT '', model_id text DEFAULT '',
    model_group text DEFAULT '', custom_llm_provider text DEFAULT '', api_base text DEFAULT '', "user" text DEFAULT '',
    metadata jsonb DEFAULT '{}', cache_hit text DEFAULT '', cache_key text DEFAULT '', request_tags jsonb DEFAULT '[]',
    team_id text, end_user text, requester_ip_address text, messages jsonb DEFAULT '{}', response jsonb DEFAULT '{}',
    proxy_server_request jsonb DEFAULT '{}', session_id text, status text, mcp_namespaced_tool_name text, agent_id text,
    request_duration_ms int, created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, litellm_call_id text, billing_agent_id text)"""
"""As LiteLLM's migrations leave it."""


def service(server: Server, **more: Any) -> ReconciliationService:
    """A reconciliation that is made when no report is late any more."""
    return ReconciliationService(server.services.db, clock=lambda: datetime.now(UTC) + LATE, **more)


async def reconciled(server: Server) -> Reconciled:
    return await service(server).reconcile("embedded", datetime.now(UTC) - timedelta(hours=1))


async def until_reported(server: Server, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await scalar(server, "SELECT count(*) FROM spend_logs") < count:  # noqa: ASYNC110 - reports tell nobody
            await asyncio.sleep(0.05)


async def scalar(server: Server, statement: str) -> int:
    async with server.services.db.reader() as reader:
        return int((await reader.execute(text(statement))).scalar_one())


async def change(server: Server, statement: str) -> None:
    async with server.services.db.transaction() as tx:
        await tx.execute(text(statement))


async def a_history(team: Team) -> None:
    """Calls of every kind: 6 that succeed, of which one falls back, one has no usage; one fails, one is left."""
    job_id = await team.create_job()
    for group in ("ok", "cached", "tools", "Falling", "nousage", "e400"):
        await team.call(job_id, group)
    path = f"/api/jobs/{job_id}/llm-call-stream"
    assert (await team.http.post(path, json=call_body())).status_code == 200
    async with team.http.stream("POST", path, json=call_body("hold")) as stream:
        await anext(stream.aiter_lines())
    await team.complete(job_id)


async def test_a_normal_history_needs_no_explanation(server: Server, team: Team) -> None:
    await a_history(team)
    await until_reported(server, 8)
    found = await reconciled(server)
    assert found.unexplained == 0, found.examples
    counts = {finding: each.calls for finding, each in found.by_finding.items()}
    assert sum(counts.values()) == 8
    is_relayed = server.services.settings.lane == "auto"
    assert counts[Finding.COST_DIFFERS] == (0 if is_relayed else 1), "an answer without usage, which LiteLLM prices 0"
    assert counts[Finding.CALL_WITHOUT_LOG] == 1, "the stream that was left"
    assert counts[Finding.MATCHED] == (7 if is_relayed else 6)
    assert found.by_team.keys() == {team.id}
    listed = await team.admin.get("/api/spend/reconciliations")
    assert listed.json()["reconciliations"][0]["findings"]["matched"]["calls"] == counts[Finding.MATCHED]
    assert (await team.http.get("/api/spend/reconciliations")).status_code == 403


async def test_what_does_not_fit_is_found_to_the_nano_dollar(server: Server, team: Team) -> None:
    job_id = await team.create_job()
    calls = [(await team.call(job_id)).json()["call_id"] for _ in range(4)]
    await until_reported(server, 4)
    hexes = [UUID(each).hex if server.services.db.is_sqlite else each for each in calls]
    await change(server, f"UPDATE spend_logs SET cost_nano_usd = cost_nano_usd + 1 WHERE call_id = '{hexes[0]}'")
    await change(server, f"DELETE FROM spend_logs WHERE call_id = '{hexes[1]}'")
    await change(server, f"DELETE FROM calls WHERE id = '{hexes[2]}'")
    found = await reconciled(server)
    assert found.unexplained == 3
    assert {each["finding"]: each["call_id"] for each in found.examples} == {
        "cost_differs": calls[0],
        "call_without_log": calls[1],
        "log_without_call": calls[2],
    }
    assert found.drift == 1 + COST_NANO_USD
    assert found.by_job[job_id].unexplained == 2
    assert found.by_job[job_id].calls == 3, "the one that matched, too"


async def test_the_command_prints_a_table_or_json_and_exits_with_1_when_something_is_unexplained(
    settings: Settings, tmp_path: Path
) -> None:
    async with serving(settings) as server, new_team(server) as team:
        job_id = await team.create_job()
        await team.call(job_id)
        await until_reported(server, 1)
    known = {"database_url": settings.database_url, "config": settings.config}
    ran = await run_arguments(["spend", "reconcile"], tmp_path, **known)
    assert ran.code == 0, ran.output
    assert "matched" in ran.output
    assert "1 jobs, of which 0 do not fit" in ran.output
    assert "0 unexplained" in ran.output
    assert "WARNING" not in ran.output, "what LiteLLM thinks of the prices belongs into the server's log"
    async with serving(settings) as server:
        await change(server, "UPDATE spend_logs SET cost_nano_usd = 5")
    ran = await run_arguments(["spend", "reconcile", "--json", "--since", "7d", "--no-prices"], tmp_path, **known)
    assert ran.code == 1
    said = json.loads(ran.output)
    assert said["unexplained"] == 1
    assert said["by_job"][job_id]["reported"] == 5
    assert said["drift_nano_usd"] == 5 - COST_NANO_USD
    ran = await run_arguments(["spend", "reconcile", "--no-prices"], tmp_path, **known)
    assert f"job {job_id}" in ran.output
    ran = await run_arguments(["spend", "lost"], tmp_path, database_url=settings.database_url)
    assert ran.code == 0, ran.output


async def test_a_recorded_cost_above_price_times_usage_is_found_where_nothing_was_reported(
    server: Server, team: Team
) -> None:
    """The third witness: what the tokens cost by the price list, of a stream that LiteLLM says nothing about."""
    job_id = await team.create_job()
    async with team.http.stream("POST", f"/api/jobs/{job_id}/llm-call-stream", json=call_body("hold")) as stream:
        await anext(stream.aiter_lines())
    await team.complete(job_id)
    priced = service(server, price=server.services.calls.gateway.price)
    since = datetime.now(UTC) - timedelta(hours=1)
    assert (await priced.reconcile("embedded", since)).unexplained == 0
    await change(server, "UPDATE calls SET cost_nano_usd = cost_nano_usd + 1")
    found = await priced.reconcile("embedded", since)
    assert [each["finding"] for each in found.examples] == ["call_without_log"]
    without = found.by_finding[Finding.CALL_WITHOUT_LOG]
    assert without.recorded == without.priced + 1


async def test_once_an_hour_is_enough(server: Server, team: Team) -> None:
    clock = Watch(datetime.now(UTC))
    made = ReconciliationService(server.services.db, clock=clock)
    await made.reconcile_hourly()
    await made.reconcile_hourly()
    await made.reconcile_proxy_hourly()
    assert await scalar(server, "SELECT count(*) FROM reconciliations") == 1
    clock.move(timedelta(hours=1))
    await made.reconcile_hourly()
    path = "/api/spend/reconciliations"
    first = (await team.admin.get(path, params={"limit": 1})).json()
    second = (await team.admin.get(path, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert second["next_cursor"] is None
    assert first["reconciliations"][0]["created_at"] > second["reconciliations"][0]["created_at"]
    assert (await team.admin.get(path, params={"cursor": "x"})).status_code == 422


async def test_dropping_old_spend_logs_changes_no_bill_and_no_usage(server: Server, team: Team) -> None:
    await a_history(team)
    await until_reported(server, 8)
    usage = (await team.http.get(f"/api/teams/{team.id}/usage")).json()
    books = await Books.of(team)
    dropping = service(server, kept_for=timedelta(days=30))
    await dropping.import_logs([proxy_store.log_of(proxy_row(str(UUID(int=1)), 1, 0.5))])
    assert await dropping.drop_old_logs() == 0
    assert await scalar(server, "SELECT count(*) FROM proxy_spend_logs") == 1
    assert await dropping.drop_logs(datetime.now(UTC) + timedelta(hours=1)) >= 8
    assert await scalar(server, "SELECT count(*) FROM spend_logs") == 0
    assert await scalar(server, "SELECT count(*) FROM proxy_spend_logs") == 0, "what was imported is dropped, too"
    assert await Books.of(team) == books
    assert (await team.http.get(f"/api/teams/{team.id}/usage")).json() == usage


@pytest.mark.parametrize("wrong", ["yesterday", "", "7w", "2026-13-01"])
def test_a_time_that_is_none_is_explained(wrong: str) -> None:
    with pytest.raises(Unprocessable, match="24h"):
        moment_of(wrong, datetime.now(UTC))


def test_times_may_be_given_as_ages() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert moment_of("90m", now) == now - timedelta(minutes=90)
    assert moment_of("7d", now) == now - timedelta(days=7)
    assert moment_of("2026-02-01", now) == datetime(2026, 2, 1, tzinfo=UTC)


# A LiteLLM proxy behind the Router.


@pytest_asyncio.fixture
async def proxied(provider: Provider, tmp_path: Path, database_url: str) -> AsyncIterator[Server]:
    """A server of which one group runs on a LiteLLM proxy, played by the scripted provider."""
    config = config_for(provider)
    deployment = next(each for each in config["model_list"] if each["model_name"] == "ok")
    deployment["litellm_params"]["model"] = "litellm_proxy/model-ok"
    async with serving(settings_for(database_url, write_config(tmp_path, config))) as running:
        yield running


async def test_only_a_proxy_is_told_call_and_job(proxied: Server, provider: Provider) -> None:
    async with new_team(proxied) as team:
        job_id = await team.create_job()
        for route in ("llm-call", "llm-call-stream"):
            answer = await team.http.post(f"/api/jobs/{job_id}/{route}", json=call_body())
            headers = provider.requests[-1].headers
            assert headers["x-litellm-call-id"] == answer.headers["X-Call-Id"]
            told = json.loads(headers["x-litellm-spend-logs-metadata"])
            assert told == {"job_id": job_id, "team_id": team.id, "call_id": answer.headers["X-Call-Id"]}
        await team.call(job_id, "cached")
        assert not [name for name in provider.requests[-1].headers if name.startswith("x-litellm")]


def proxy_row(call_id: str, number: int, spend: float) -> dict[str, Any]:
    """As a proxy writes a call that came with our headers."""
    return {
        "request_id": f"chatcmpl-{number}",
        "call_type": "acompletion",
        "spend": spend,
        "prompt_tokens": 11,
        "completion_tokens": 10,
        "startTime": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "endTime": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "model": "openai/model-ok",
        "model_group": "ok",
        "metadata": {"spend_logs_metadata": {"call_id": call_id}},
        "cache_hit": "False",
        "status": "success",
        "litellm_call_id": call_id,
    }


@asynccontextmanager
async def proxy_database(url: str, rows: list[dict[str, Any]]) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(PROXY_TABLE)
        for row in rows:
            values = row | {"metadata": json.dumps(row["metadata"])}
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join("%s" for _ in values)
            await connection.execute(
                f'INSERT INTO "LiteLLM_SpendLogs" ({names}) VALUES ({marks})', list(values.values())
            )
        yield


@asynccontextmanager
async def proxy_api(rows: list[dict[str, Any]], *, size: int = 1, counted: int = 10_000) -> AsyncIterator[str]:
    """Gives `size` logs a page, as long as there are any, and counts no more than `counted`, as LiteLLM does."""

    async def logs(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer sk-proxy"
        assert {"start_date", "end_date"} <= request.query.keys()
        page = int(request.query["page"])
        total = min(len(rows), counted)
        of_page = rows[(page - 1) * size : page * size]
        return web.json_response({"data": of_page, "total": total, "page": page, "total_pages": -(-total // size)})

    app = web.Application()
    app.router.add_get("/spend/logs/v2", logs)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_proxys_logs_are_matched_and_importing_them_twice_changes_nothing(
    proxied: Server, postgres_url: str
) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    async with new_team(proxied) as team:
        job_id = await team.create_job()
        calls = [(await team.call(job_id)).json()["call_id"] for _ in range(3)]
        await team.call(job_id, "cached")  # not the proxy's
        rows = [proxy_row(calls[0], 1, COST_NANO_USD / 1e9), proxy_row(calls[1], 2, 2 * COST_NANO_USD / 1e9)]
        rows.append(proxy_row(str(UUID(int=7)), 3, 0.5))
        reconciling = service(proxied)
        found = {}
        for name in ("database", "database again", "api"):
            async with proxy_api(rows) as url:
                if name == "database":
                    async with proxy_database(postgres_url, rows):
                        pass
                source = (
                    logs_over_api(url, "sk-proxy", since, datetime.now(UTC))
                    if name == "api"
                    else logs_in_database(postgres_url, since)
                )
                async for logs in source:
                    await reconciling.import_logs(logs)
            found[name] = await reconciling.reconcile("proxy", since, deployments=["ok-1"])
            assert await scalar(proxied, "SELECT count(*) FROM proxy_spend_logs") == 3
        for each in found.values():
            counts = {finding.value: one.calls for finding, one in each.by_finding.items() if one.calls}
            assert counts == {"matched": 1, "cost_differs": 1, "call_without_log": 1, "log_without_call": 1}
            assert each.drift == COST_NANO_USD + 500_000_000
            assert each.unexplained == 3


async def test_a_proxys_logs_are_compared_in_the_background_too(
    proxied: Server, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Watch(datetime.now(UTC))
    async with new_team(proxied) as team:
        call_id = (await team.call(await team.create_job())).json()["call_id"]
        async with proxy_api([proxy_row(call_id, 1, 2 * COST_NANO_USD / 1e9)]) as url:
            proxy = Proxy(["ok-1"], url=url, key="sk-proxy")
            made = ReconciliationService(proxied.services.db, clock=clock, proxy=lambda: proxy)
            await made.reconcile_hourly()
            await made.reconcile_proxy_hourly()
            await made.reconcile_proxy_hourly()
        listed = (await team.admin.get("/api/spend/reconciliations")).json()["reconciliations"]
        assert [(each["source"], each["drift_nano_usd"]) for each in listed[:1]] == [("proxy", COST_NANO_USD)]
        assert [each["source"] for each in listed].count("proxy") == 1
        # a proxy that is away is asked again an hour later, and keeps nobody from being swept
        clock.move(timedelta(hours=1))
        for _ in range(2):
            await made.reconcile_proxy_hourly()
        assert caplog.text.count("proxy_unreachable") == 1


async def test_every_log_is_read_however_many_a_proxy_counts() -> None:
    """LiteLLM says that there are 10,000 logs when there are more: the calls of all others were without log."""
    rows = [proxy_row(str(UUID(int=number)), number, 0.1) for number in range(2 * PAGE + 1)]
    now = datetime.now(UTC)
    for count in (PAGE - 1, PAGE, 2 * PAGE, 2 * PAGE + 1):
        async with proxy_api(rows[:count], size=PAGE, counted=PAGE) as url:
            pages = [logs async for logs in logs_over_api(url, "sk-proxy", now - timedelta(hours=1), now)]
        assert len({log.request_id for logs in pages for log in logs}) == count


async def test_a_database_that_is_no_proxys_is_a_sentence(postgres_url: str) -> None:
    with pytest.raises(ProxyUnreachable, match="has no spend logs"):
        _ = [logs async for logs in logs_in_database(postgres_url, datetime.now(UTC))]


async def test_a_proxy_that_is_nowhere_is_a_sentence(tmp_path: Path, sqlite_url: str, settings: Settings) -> None:
    arguments = ["spend", "reconcile", "--source", "proxy"]
    ran = await run_arguments(arguments, tmp_path, database_url=sqlite_url, config=settings.config)
    assert ran.code == 1
    assert "CONTROL_PLANE_PROXY_DATABASE_URL" in ran.output
    assert "Traceback" not in ran.output
    known = {"proxy_url": "http://127.0.0.1:9", "proxy_key": "sk-x"}
    ran = await run_arguments(arguments, tmp_path, database_url=sqlite_url, config=settings.config, **known)
    assert ran.code == 1
    assert "cannot be reached" in ran.output
    assert "Traceback" not in ran.output
