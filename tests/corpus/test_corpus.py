"""Whatever a provider answers, a customer gets the right answer of every API, in both lanes, and pays what it cost.

Each answer is asked for in both lanes, buffered and streamed, at one of the five APIs, another for each; with
`CORPUS=all`, or where a run selects only a few cases, at all of them. That every API renders every answer right is
tested without HTTP, in `test_rendering.py`.
"""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from tests.corpus.cases import Case, all_cases
from tests.corpus.provider import CorpusProvider
from tests.corpus.runner import Found, config_of, requests_of, run_corpus
from tests.support.server import serving, settings_for, write_config

pytestmark = pytest.mark.timeout(600)

CASES = all_cases()

FEW = 25


@pytest_asyncio.fixture(scope="module")
async def found(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Found:
    """What is wrong with the cases that this run selects: all are asked at once, which is much faster."""
    asked = (item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec"))
    selected = {case for case in asked if isinstance(case, Case)}
    cases = [(number, case) for number, case in enumerate(CASES) if case in selected]
    folder = tmp_path_factory.mktemp("corpus")
    file = folder / "control_plane.db"
    await asyncio.to_thread(shutil.copy, sqlite_template, file)
    async with CorpusProvider.start(CASES) as provider:
        config = write_config(folder, config_of([case for _, case in cases], provider))
        async with serving(settings_for(f"sqlite:///{file}", config)) as server:
            is_complete = len(cases) <= FEW or os.environ.get("CORPUS") == "all"
            requests = list(requests_of(cases, is_complete=is_complete))
            found = await run_corpus(server, provider, file, requests)
        assert not provider.unknown, provider.unknown
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_an_answer_of_a_provider_comes_out_right_everywhere(case: Case, found: Found) -> None:
    problems = found.problems[case.name]
    assert not problems, f"tests/corpus/{case.name}.yaml: {case.why}\n" + "\n".join(problems)


async def test_nothing_is_held_when_every_call_has_ended(found: Found) -> None:
    assert found.credits["credits_held"] == 0
