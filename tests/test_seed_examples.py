"""Every example of the seed documents runs as it is printed: only address and key are put in.

S0 is "LLM Calls API" (`seeds/llm_calls`), S1 "Non-Streaming LLM Calls" (`seeds/non_streaming_calls`).
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.provider import Provider
from tests.support.seed_runner import MESSAGES, SEEDS, TEXT, Acme, StartAcme, needs, starting

STORY = "[{role: 'user', content: 'Tell me a story'}]"
RUN_STREAM_CHAT = f"console.log('Returned: ' + await streamChat(jobId, {STORY}));"
HELLO = f"messages = {MESSAGES!r}\n"


@pytest_asyncio.fixture
async def start_acme(database_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[StartAcme]:
    async with starting(database_url, provider, tmp_path) as start:
        yield start


@pytest_asyncio.fixture
async def acme(start_acme: StartAcme) -> Acme:
    """acme-corp with every model answering."""
    return await start_acme()


def test_every_example_is_here() -> None:
    files = {str(file.relative_to(SEEDS)) for file in SEEDS.glob("*/*.*")}
    here = Path(__file__).parent
    tests = "".join(
        file.read_text(encoding="utf-8")
        for file in (*here.glob("test_seed_*.py"), *here.glob("acceptance/respond/test_*.py"))
    )
    assert files
    assert {file for file in files if f'"{file}"' not in tests} == set()


# S0: a buffered call.


@pytest.mark.parametrize(
    "example", ["llm_calls/llm_call.py", pytest.param("llm_calls/llm_call.mjs", marks=needs("node"))]
)
async def test_a_call_prints_answer_tokens_and_latency(acme: Acme, example: str) -> None:
    ran = await acme.run(example, job_id=await acme.team.create_job())
    assert re.fullmatch(rf"{TEXT}\nTokens used: 21\nLatency: \d+ms\n", ran.out)
    asked = acme.seen()[0].body
    assert asked["model"] == "gpt-4-turbo"
    assert asked["temperature"] == 0.3
    assert asked["messages"] == [
        {"role": "system", "content": "You are a resume parsing assistant."},
        {"role": "user", "content": "Extract key skills from this resume: ..."},
    ]


@needs("curl")
async def test_a_call_with_curl(acme: Acme) -> None:
    ran = await acme.run("llm_calls/llm_call.sh", job_id=await acme.team.create_job())
    assert json.loads(ran.out)["response"]["content"] == TEXT


# S0: a stream.


async def test_a_stream_is_printed_and_accumulated(acme: Acme) -> None:
    ran = await acme.run("llm_calls/stream.py", job_id=await acme.team.create_job())
    assert ran.out == f"{TEXT}\n\nStream complete!\n\n\nFull response: {TEXT}\n"
    assert acme.seen()[0].body["temperature"] == 0.8


@needs("node")
@pytest.mark.parametrize(("behaviour", "said"), [("ok", TEXT), ("long200", "".join(f" {n}" for n in range(200)))])
async def test_a_stream_in_javascript_loses_nothing(start_acme: StartAcme, behaviour: str, said: str) -> None:
    # its parser takes what one read gives for whole events
    acme = await start_acme({"gpt-3.5-turbo": behaviour})
    ran = await acme.run("llm_calls/stream.mjs", job_id=await acme.team.create_job(), after=RUN_STREAM_CHAT)
    assert ran.out == f"{said}\nStream complete\nReturned: {said}\n"


@pytest.mark.parametrize(
    ("example", "after", "expected"),
    [
        ("llm_calls/stream.py", "", " 0 1 2 3\n\nStream complete!\n\n\nFull response:  0 1 2 3\n"),
        pytest.param(
            "llm_calls/stream.mjs",
            RUN_STREAM_CHAT,
            " 0 1 2 3\nStream complete\nReturned:  0 1 2 3\n",
            marks=needs("node"),
        ),
    ],
)
async def test_a_stream_that_fails_still_ends(start_acme: StartAcme, example: str, after: str, expected: str) -> None:
    acme = await start_acme({"gpt-3.5-turbo": "break4"})
    ran = await acme.run(example, job_id=await acme.team.create_job(), after=after)
    assert ran.out == expected


async def test_the_typed_client_streams(acme: Acme) -> None:
    # V13: its module is ours under the name the document gives it
    (acme.folder / "examples").mkdir()
    (acme.folder / "examples" / "typed_client.py").write_text("from control_plane.client import SaaSLLMClient\n")
    ran = await acme.run("llm_calls/typed_client.py")
    assert ran.out == f"{TEXT}\n\nFull response: {TEXT}\nCredits remaining: 99\n"
    assert acme.seen()[0].body["temperature"] == 0.8


# S0: parameters and messages.


async def test_each_call_has_its_temperature(acme: Acme) -> None:
    await acme.run("llm_calls/temperature.py", job_id=await acme.team.create_job())
    assert [(seen.body["model"], seen.body["temperature"]) for seen in acme.seen()] == [
        ("gpt-4-turbo", 0.2),
        ("gpt-3.5-turbo", 1.2),
    ]


async def test_each_call_has_its_max_tokens(acme: Acme) -> None:
    await acme.run("llm_calls/max_tokens.py", job_id=await acme.team.create_job())
    assert [seen.body["max_tokens"] for seen in acme.seen()] == [150, 2000]


async def test_a_conversation_reaches_the_model_as_it_was_sent(acme: Acme) -> None:
    after = (
        "response = requests.post(f'{API_URL}/jobs/{job_id}/llm-call', headers=headers, "
        "json={'model_group': 'ChatAgent', 'messages': messages})\n"
        "print(response.status_code, json.dumps(messages))"
    )
    ran = await acme.run(
        "llm_calls/multi_turn.py", job_id=await acme.team.create_job(), before="import json", after=after
    )
    status, messages = ran.out.split(" ", 1)
    assert status == "200"
    assert acme.seen()[0].body["messages"] == json.loads(messages)
    assert len(json.loads(messages)) == 4


# S0: "Model Group Resolution".


@pytest.mark.parametrize("route", ["llm-call", "llm-call-stream"])
@pytest.mark.parametrize(
    ("failing", "asked"),
    [
        ({}, ["gpt-4-turbo"]),
        ({"gpt-4-turbo": "e500"}, ["gpt-4-turbo", "gpt-3.5-turbo"]),
        ({"gpt-4-turbo": "e500", "gpt-3.5-turbo": "e429"}, ["gpt-4-turbo", "gpt-3.5-turbo", "claude-3-sonnet"]),
    ],
    ids=["primary", "first-fallback", "second-fallback"],
)
async def test_the_next_model_answers_when_one_fails(
    start_acme: StartAcme, failing: dict[str, str], asked: list[str], route: str
) -> None:
    acme = await start_acme(failing)
    job_id = await acme.team.create_job()
    body = {"model_group": "ResumeAgent", "messages": MESSAGES}
    answer = await acme.team.http.post(f"/api/jobs/{job_id}/{route}", json=body)
    if route == "llm-call":
        metadata = answer.json()["metadata"]
        assert metadata["model_group"] == "ResumeAgent"
        served = metadata["model"]
    else:
        served = json.loads(answer.text.split("\n")[0].removeprefix("data: "))["model"]
    assert served == asked[-1]
    assert [seen.body["model"] for seen in acme.seen()] == asked


# S0: "Complete Example: Multi-Step Job".


async def test_a_job_of_three_steps_costs_one_credit(acme: Acme) -> None:
    ran = await acme.run("llm_calls/multi_step_job.py")
    steps = "".join(
        f"{purpose}: {TEXT}...\n  Tokens: 21\n"
        for purpose in ("Parse document", "Classify content", "Generate summary")
    )
    bill = (
        "\nJob completed!\nTotal calls: 3\nTotal tokens: 63\nTotal cost: $0.0012\n"
        "Credit deducted: True\nCredits remaining: 99\n"
    )
    assert re.fullmatch(r"Created job: \S+\n" + re.escape(steps + bill), ran.out)
    assert (await acme.team.credits())["credits_remaining"] == 99


# S1: calls that name no model group: the team's default answers.


async def test_the_complete_workflow(acme: Acme) -> None:
    ran = await acme.run("non_streaming_calls/complete_workflow.py")
    said = rf"Created job: \S+\nResponse: {TEXT}\nJob completed. Credits remaining: 99\n"
    assert re.fullmatch(said, ran.out)
    assert acme.seen()[0].body["model"] == "gpt-3.5-turbo"


async def test_the_second_turn_carries_the_first(acme: Acme) -> None:
    ran = await acme.run("non_streaming_calls/multi_turn.py", job_id=await acme.team.create_job())
    assert ran.out == f"{TEXT}\n"
    assert acme.seen()[1].body["messages"] == [
        {"role": "user", "content": "What is Python?"},
        {"role": "assistant", "content": TEXT},
        {"role": "user", "content": "What are its main uses?"},
    ]


async def test_a_system_prompt_reaches_the_model(acme: Acme) -> None:
    after = "print(response['response']['content'])"
    ran = await acme.run("non_streaming_calls/system_prompt.py", job_id=await acme.team.create_job(), after=after)
    assert ran.out == f"{TEXT}\n"
    assert [message["role"] for message in acme.seen()[0].body["messages"]] == ["system", "user"]


async def test_temperatures_reach_the_model(acme: Acme) -> None:
    after = "print(creative['response']['content'], factual['response']['content'], sep='\\n')"
    ran = await acme.run("non_streaming_calls/temperature.py", job_id=await acme.team.create_job(), after=after)
    assert ran.out == f"{TEXT}\n{TEXT}\n"
    assert [seen.body["temperature"] for seen in acme.seen()] == [1.5, 0.2]


async def test_a_limit_of_tokens_reaches_the_model(acme: Acme) -> None:
    await acme.run("non_streaming_calls/max_tokens.py", job_id=await acme.team.create_job())
    assert acme.seen()[0].body["max_tokens"] == 100


async def test_stop_sequences_reach_the_model(acme: Acme) -> None:
    after = "print(response['response']['finish_reason'])"
    ran = await acme.run("non_streaming_calls/stop.py", job_id=await acme.team.create_job(), after=after)
    assert ran.out == "stop\n"
    assert acme.seen()[0].body["stop"] == ["\n6.", "END"]


async def test_a_structured_output_is_json(acme: Acme) -> None:
    job_id = await acme.team.create_job(model_group="json")
    ran = await acme.run("non_streaming_calls/structured_output.py", job_id=job_id)
    assert ran.out == "John Smith\n"


# S1: "Error Handling". Each failure is told apart, raised, and free.


async def test_a_call_that_works_is_silent(acme: Acme) -> None:
    after = "print(result['response']['content'])"
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id=await acme.team.create_job(), after=after)
    assert ran.out == f"{TEXT}\n"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("e400", r"Bad request: \{'detail': '.+', 'error': \{'code': 'invalid_request', .+\}\}"),
        ("e429", "Rate limit exceeded"),
        ("e500", "HTTP error: 500 Server Error: .+"),
        ("e503", "HTTP error: 503 Server Error: .+"),
    ],
)
async def test_each_failure_is_told_apart_and_free(acme: Acme, group: str, said: str) -> None:
    job_id = await acme.team.create_job(model_group=group)
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id=job_id, status=1)
    assert re.fullmatch(f"{said}\n", ran.out)
    assert "requests.exceptions.HTTPError" in ran.err
    assert (await acme.team.complete(job_id)).json()["costs"]["credits_remaining"] == 100


async def test_a_group_that_was_taken_away_is_told_apart(acme: Acme) -> None:
    access = f"/api/teams/{acme.team.id}/model-groups"
    assert (await acme.team.admin.put(access, json={"model_groups": ["GPT4Agent"]})).is_success
    job_id = await acme.team.create_job(model_group="GPT4Agent")
    assert (await acme.team.admin.put(access, json={"model_groups": []})).is_success
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id=job_id, status=1)
    assert ran.out == "Insufficient credits or access denied\n"


async def test_a_wrong_key_is_told_apart(acme: Acme) -> None:
    job_id = await acme.team.create_job()
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id=job_id, key="sk-wrong", status=1)
    assert ran.out == "Authentication failed\n"


async def test_an_unknown_job_is_told_apart(acme: Acme) -> None:
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id="job_abc", status=1)
    assert ran.out.startswith("HTTP error: 404 Client Error: Not Found")


async def test_credits_that_run_out_are_told_apart(start_acme: StartAcme) -> None:
    # given one credit for ten tokens, four credits, and a job whose first call took 21 tokens
    acme = await start_acme(budget_mode="consumption_tokens", tokens_per_credit=10, credits_allocated=4)
    job_id = await acme.team.create_job()
    await acme.run("non_streaming_calls/error_handling.py", job_id=job_id)
    ran = await acme.run("non_streaming_calls/error_handling.py", job_id=job_id, status=1)
    assert ran.out == "Insufficient credits or access denied\n"
    assert len(acme.seen()) == 1


# S1: "Best Practices".


async def test_related_calls_in_one_job_cost_one_credit(acme: Acme) -> None:
    # the document leaves these functions to its reader
    before = """
def create_job(job_type):
    job = requests.post(f"{API_URL}/jobs/create", headers=headers, json={"job_type": job_type})
    return job.json()["job_id"]

def call(job_id):
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    requests.post(f"{API_URL}/jobs/{job_id}/llm-call", headers=headers, json=body).raise_for_status()

def complete_job(job_id):
    job = requests.post(f"{API_URL}/jobs/{job_id}/complete", headers=headers, json={"status": "completed"})
    print(job.json()["costs"]["total_calls"], job.json()["costs"]["credits_remaining"])

extract_text = classify_content = generate_summary = call
"""
    ran = await acme.run("non_streaming_calls/reuse_jobs.py", before=before)
    assert ran.out == "3 99\n1 98\n1 97\n"


async def test_a_call_with_a_timeout(acme: Acme) -> None:
    job_id = await acme.team.create_job()
    after = "print(response.status_code)"
    ran = await acme.run("non_streaming_calls/timeouts.py", job_id=job_id, before=HELLO, after=after)
    assert ran.out == "200\n"


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("ChatAgent", ""),
        (
            "reason-length",
            "Warning: Response ended with length\nResponse was truncated. Consider increasing max_tokens.\n",
        ),
        ("filter", "Warning: Response ended with content_filter\n"),
    ],
)
async def test_a_response_says_why_it_ended(acme: Acme, group: str, said: str) -> None:
    job_id = await acme.team.create_job(model_group=group)
    examples = ("non_streaming_calls/error_handling.py", "non_streaming_calls/validate_response.py")
    ran = await acme.run(*examples, job_id=job_id, before=HELLO)
    assert ran.out == said


async def test_a_cache_of_the_clients_own(acme: Acme) -> None:
    examples = ("non_streaming_calls/error_handling.py", "non_streaming_calls/caching.py")
    after = "for _ in range(2): print(make_cached_llm_call(job_id, messages)['response']['content'])"
    ran = await acme.run(*examples, job_id=await acme.team.create_job(), before=HELLO, after=after)
    assert ran.out == f"{TEXT}\nCache hit!\n{TEXT}\n"


async def test_metrics_are_in_every_answer(acme: Acme) -> None:
    examples = ("non_streaming_calls/error_handling.py", "non_streaming_calls/monitoring.py")
    after = "make_llm_call_with_metrics(job_id, messages)"
    ran = await acme.run(*examples, job_id=await acme.team.create_job(), before=HELLO, after=after)
    assert re.fullmatch(r"Tokens used: 21\nLatency: \d+ms\n", ran.out)


# S1: "Complete Example".


async def test_a_document_is_analysed(acme: Acme) -> None:
    ran = await acme.run("non_streaming_calls/document_analysis.py", after="print(result['job_id'])")
    said, job_id = ran.out.removesuffix("\n").rsplit("\n", 1)
    assert said == f"Summary: {TEXT}\nKey Points:\n{TEXT}\nCredits remaining: 99"
    job = (await acme.team.http.get(f"/api/jobs/{job_id}")).json()
    assert job["status"] == "completed"
    assert job["metadata"] == {"document_length": 81, "success": True}
    assert [seen.body["max_tokens"] for seen in acme.seen()] == [500, 200]


async def test_an_analysis_that_fails_costs_nothing(start_acme: StartAcme) -> None:
    # V8: complete with status failed and metadata.error
    acme = await start_acme({"gpt-3.5-turbo": "e500"})
    ran = await acme.run("non_streaming_calls/document_analysis.py", status=1)
    assert ran.out == ""
    jobs = (await acme.team.http.get("/api/teams/acme-corp/jobs")).json()["jobs"]
    assert [(job["status"], job["error_message"], job["credits_charged"]) for job in jobs] == [
        ("failed", "'response'", 0)
    ]
    assert (await acme.team.credits())["credits_available"] == 100
