"""The spend log is what ops reconcile bills with: a row per attempt, of this gateway only, without a word said."""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.chat import SpendReport
from control_plane.completion.usage import Usage
from control_plane.errors import LlmCallFailed
from control_plane.gateway.deployments import Deployment, RouterConfig
from control_plane.gateway.factory import open_gateway
from control_plane.gateway.reports import spend_report
from control_plane.gateway.shutdown import close_clients
from tests.gateway.conftest import Deploy, Opener, make_call
from tests.gateway.raw_provider import RawProvider
from tests.gateway.test_complete import demo
from tests.gateway.test_stream import read


async def test_an_answer_is_reported_at_its_cost(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("ok")
    call = make_call("ok")
    began = datetime.now(UTC)
    answer = await gateway.complete(call)
    await gateway.aclose()
    (report,) = reports
    assert report.call_id == call.call_id
    assert report.status == "success"
    assert report.request_id.startswith("chatcmpl-")
    assert (report.model, report.model_group, report.provider) == ("openai/gpt-4o", "ok", "openai")
    assert report.deployment_id == answer.served.deployment_id
    assert report.cost == answer.cost
    assert (report.prompt_tokens, report.completion_tokens) == (11, 10)
    assert began <= report.started_at <= report.ended_at <= datetime.now(UTC)
    assert not report.is_cached
    assert report.error_class is None


async def test_a_stream_is_reported_at_its_cost(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("ok")
    stream = await gateway.stream(make_call("ok"))
    await read(stream)
    await stream.aclose()
    await gateway.aclose()
    assert [report.cost for report in reports] == [(await stream.settle())[1]]


@pytest.mark.parametrize("lane", ["litellm"], indirect=True)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_litellm_reports_tokens_by_kind(gateway_for: Opener, reports: list[SpendReport], is_stream: bool) -> None:
    gateway = await gateway_for("kinds")
    if is_stream:
        await read(await gateway.stream(make_call("kinds")))
    else:
        await gateway.complete(make_call("kinds"))
    await gateway.aclose()
    assert [report.usage for report in reports] == [
        Usage(
            11,
            10,
            cached_tokens=4,
            cache_write_tokens=3,
            reasoning_tokens=5,
            audio_input_tokens=2,
            audio_output_tokens=1,
        )
    ]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_each_attempt_is_reported_once(gateway_for: Opener, reports: list[SpendReport], is_stream: bool) -> None:
    gateway = await gateway_for("e500", "e429", "ok")
    call = make_call("e500", "e429", "ok")
    if is_stream:
        await read(await gateway.stream(call))
    else:
        await gateway.complete(call)
    await gateway.aclose()
    assert {report.call_id for report in reports} == {call.call_id}
    assert sorted((report.deployment_id, report.status, report.error_class, report.cost) for report in reports) == [
        ("e429#1", "failure", "RateLimitError", 0),
        ("e500#1", "failure", "InternalServerError", 0),
        ("ok#1", "success", None, 31_000),
    ]


async def test_retries_are_attempts_too(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("flaky1", num_retries=1)
    await gateway.complete(make_call("flaky1"))
    await gateway.aclose()
    assert [report.status for report in reports] == ["failure", "success"]


async def test_a_broken_stream_is_reported_with_what_it_cost(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("break4")
    stream = await gateway.stream(make_call("break4"))
    with pytest.raises(LlmCallFailed):
        await read(stream)
    await gateway.aclose()
    (report,) = reports
    assert report.status == "failure"
    assert report.cost > 0


async def test_a_fallback_before_content_is_two_attempts(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("rolebreak", "ok")
    await read(await gateway.stream(make_call("rolebreak", "ok")))
    await gateway.aclose()
    assert [(report.deployment_id, report.status) for report in reports] == [
        ("rolebreak#1", "failure"),
        ("ok#1", "success"),
    ]


async def test_a_demo_call_is_reported(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for(demo("Hello"))
    answer = await gateway.complete(make_call("demo"))
    await gateway.aclose()
    assert [report.cost for report in reports] == [answer.cost]


async def test_closing_waits_for_every_report(gateway_for: Opener, reports: list[SpendReport]) -> None:
    gateway = await gateway_for("ok", "e500")
    calls = [make_call("e500", "ok") for _ in range(10)]

    async def streamed(number: int) -> None:
        await read(await gateway.stream(calls[number]))

    await asyncio.gather(*(gateway.complete(call) for call in calls[:5]), *(streamed(n) for n in range(5, 10)))
    await gateway.aclose()
    assert sorted(report.call_id for report in reports if report.status == "success") == sorted(
        call.call_id for call in calls
    )
    assert len(reports) == 20


async def test_two_gateways_get_their_own_reports_only(deploy: Deploy) -> None:
    config = RouterConfig([deploy("ok"), deploy("e500")], {"num_retries": 0})
    ours: list[SpendReport] = []
    theirs: list[SpendReport] = []
    one, two = await open_gateway(config, ours.append), await open_gateway(config, theirs.append)
    our_call, their_call = make_call("e500", "ok"), make_call("e500", "ok")
    await asyncio.gather(one.complete(our_call), two.complete(their_call))
    # when the first one closes, the other goes on
    await one.aclose()
    await read(await two.stream(their_call))
    await two.aclose()
    assert {report.call_id for report in ours} == {our_call.call_id}
    assert {report.call_id for report in theirs} == {their_call.call_id}
    assert (len(ours), len(theirs)) == (2, 4)


async def test_closed_gateways_leave_nothing_in_litellm(deploy: Deploy) -> None:
    import litellm  # noqa: PLC0415

    def callbacks() -> list[int]:
        lists = (
            litellm.callbacks,
            litellm.success_callback,
            litellm.failure_callback,
            litellm._async_success_callback,
            litellm._async_failure_callback,
            litellm.input_callback,
        )
        return [len(known) for known in lists]

    async def one_life() -> None:
        gateway = await open_gateway(RouterConfig([deploy("ok")]), lambda _: None)
        await gateway.complete(make_call("ok"))
        await gateway.aclose()
        await gateway.aclose()

    await one_life()
    before = callbacks()
    for _ in range(3):
        await one_life()
    assert callbacks() == before


async def test_a_report_that_cannot_be_taken_is_logged(deploy: Deploy, caplog: pytest.LogCaptureFixture) -> None:
    def full(report: SpendReport) -> None:
        raise RuntimeError(f"no space for {report.status}")

    gateway = await open_gateway(RouterConfig([deploy("ok")]), full)
    call = make_call("ok")
    await gateway.complete(call)
    await gateway.aclose()
    (record,) = [record for record in caplog.records if record.message == "spend_report_lost"]
    assert record.__dict__["call_id"] == str(call.call_id)
    assert record.levelno == logging.ERROR


def test_a_cached_answer_costs_nothing() -> None:
    report = spend_report(
        {
            "litellm_call_id": "01a206f0-d71b-76ed-b48b-401bdba8255f",
            "id": "x_cache_hit1",
            "status": "success",
            "response_cost": 0.5,
            "cache_hit": True,
            "startTime": 1.0,
            "endTime": 2.0,
        },
        {},
    )
    assert (report.cost, report.is_cached) == (0, True)


ATTEMPT = {
    "litellm_call_id": "01a206f0-d71b-76ed-b48b-401bdba8255f",
    "id": "x",
    "status": "success",
    "prompt_tokens": 100,
    "completion_tokens": 9,
    "startTime": 1.0,
    "endTime": 2.0,
}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (  # Anthropic's, as LiteLLM puts it
            {
                "metadata": {
                    "usage_object": {
                        "service_tier": "priority",
                        "cache_read_input_tokens": 40,
                        "cache_creation_input_tokens": 30,
                        "prompt_tokens_details": {
                            "cached_tokens": 40,
                            "cache_creation_tokens": 30,
                            "cache_creation_token_details": {
                                "ephemeral_5m_input_tokens": 10,
                                "ephemeral_1h_input_tokens": 20,
                            },
                        },
                    }
                }
            },
            Usage(
                100,
                9,
                cached_tokens=40,
                cache_write_tokens=30,
                cache_write_1h_tokens=20,
                service_tier="priority",
            ),
        ),
        (
            {
                "metadata": {
                    "usage_object": {
                        "prompt_tokens_details": {"image_tokens": 7},
                        "completion_tokens_details": {"image_tokens": 8, "reasoning_tokens": None},
                    }
                },
                "cost_breakdown": {"service_tier": "flex"},
            },
            Usage(100, 9, image_input_tokens=7, image_output_tokens=8, service_tier="flex"),
        ),
        ({"response": {"meta": {"billed_units": {"search_units": 2}}}}, Usage(100, 9, units=2)),
        ({"response": {"usage_info": {"pages_processed": 5}}}, Usage(100, 9, units=5)),
        (  # nothing, or nonsense: a report is kept all the same
            {
                "metadata": {
                    "usage_object": {
                        "prompt_tokens_details": [],
                        "completion_tokens_details": {"reasoning_tokens": "many", "audio_tokens": -4},
                        "service_tier": 5,
                    }
                },
                "response": "redacted",
                "cost_breakdown": None,
            },
            Usage(100, 9),
        ),
        ({"metadata": None}, Usage(100, 9)),
    ],
)
def test_a_report_has_what_litellm_counts_by_kind(more: dict[str, Any], expected: Usage) -> None:
    assert spend_report({**ATTEMPT, **more}, {}).usage == expected


async def test_reports_still_arrive_after_a_hundred_gateways_have_closed(
    gateway_for: Opener, reports: list[SpendReport]
) -> None:
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER  # noqa: PLC0415

    for _ in range(101):  # closing the last gateway stops LiteLLM's worker, and a stopped one starts again
        GLOBAL_LOGGING_WORKER.start()
        await asyncio.sleep(0)
        await close_clients()
    gateway = await gateway_for("ok")
    await gateway.complete(make_call("ok"))
    await gateway.aclose()
    assert len(reports) == 1


@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_openrouter_charges_is_reported_also_where_that_is_nothing(
    gateway_for: Opener, reports: list[SpendReport], is_stream: bool
) -> None:
    async with RawProvider.start() as raw:
        usage = {"prompt_tokens": 11, "completion_tokens": 10, "total_tokens": 21, "cost": 0, "is_byok": False}
        said = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        body = {
            "id": "gen-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [said],
            "usage": usage,
        }
        raw.pieces = [json.dumps(body).encode()]
        params = {"model": "openrouter/openai/gpt-4o", "api_base": raw.url, "api_key": "sk-test"}
        gateway = await gateway_for(Deployment("or#1", "or", params, {}))
        if is_stream:
            stream = await gateway.stream(make_call("or"))
            assert [event async for events in stream for event in events]
            await stream.aclose()
            _, cost = await stream.settle()
        else:
            cost = (await gateway.complete(make_call("or"))).cost
        await gateway.aclose()
    assert cost == 0
    assert [report.cost for report in reports] == [0]
