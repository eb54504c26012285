"""`config import`: files of LiteLLM's proxy become ours. What is lost is reported; the result can be used."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from control_plane.cli.config import config_app
from control_plane.model_groups.config import inspect
from control_plane.model_groups.importing import import_file

FILES = Path(__file__).parent / "litellm_files"


def imported(name: str) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The new file, and action and reason by place; of a place with several entries, the last."""
    made = import_file(yaml.safe_load((FILES / name).read_text()), ["*"])
    assert made.mistakes == []
    return yaml.safe_load(made.text), {entry.path: (entry.action, entry.why) for entry in made.report.entries}


def test_names_aliases_and_fallbacks_become_groups_and_protection_that_is_lost_is_reported() -> None:
    file, report = imported("gateway.yaml")
    groups = file["model_groups"]
    assert groups["openai/gpt-4o"] == groups["gpt-4"] == {"models": ["openai/gpt-4o"], "teams": ["*"]}
    assert groups["quick"] == groups["fast"] == {"models": ["fast", "house-model"], "teams": ["*"]}
    assert file["model_list"][-1]["model_info"]["output_cost_per_token"] == 0, "of one's own machine"
    assert file["litellm_settings"]["cache_params"] == {"ttl": 600}
    assert [each["litellm_params"]["api_key"] for each in file["model_list"] if each["model_name"] == "fast"] == [
        "os.environ/GROQ_API_KEY"
    ]
    for lost in (
        "model_list[1]",  # "*", which has no price
        "model_list[2]",  # a model that nobody knows the price of would be billed 0
        "litellm_settings.max_budget",
        "litellm_settings.success_callback",
        "general_settings.allowed_ips",
        "general_settings.master_key",
        "guardrails",
        "mcp_servers",
        "model_group_alias.gone",
    ):
        assert report[lost][0] == "dropped", lost
    assert "unguarded" in report["guardrails"][1]


def test_mistakes_of_the_old_file_cost_as_little_as_can_be() -> None:
    file, report = imported("azure.yaml")
    assert [each["model_name"] for each in file["model_list"]] == ["gpt-4o", "embeddings", "bad-timeout"]
    assert "timeout" not in file["model_list"][2]["litellm_params"]
    assert report["model_list[3].litellm_params.timeout"][0] == "dropped"
    assert file["router_settings"]["retry_policy"] == {"RateLimitErrorRetries": 3}
    assert file["router_settings"]["optional_pre_call_checks"] == ["enforce_model_rate_limits"]
    assert file["model_groups"]["bad-timeout"]["models"] == ["bad-timeout", "gpt-4o"]


def test_a_model_that_litellm_keeps_for_some_is_for_nobody_until_somebody_says_so() -> None:
    file, _ = imported("local.yaml")
    assert {name: group["teams"] for name, group in file["model_groups"].items()} == {
        "llama3": [],  # it falls back to gpt, which falls back to sonnet
        "coder": ["*"],
        "gpt": [],
        "sonnet": [],
    }


def test_the_result_passes_the_check_and_the_report_is_for_machines_too(tmp_path: Path) -> None:
    for file in sorted(FILES.iterdir()):
        new = tmp_path / file.name
        run = CliRunner().invoke(config_app, ["import", str(file), "--output", str(new), "--json"])
        assert run.exit_code == 0, run.output
        report = json.loads(run.stdout)
        assert (report["ok"], report["mistakes"]) == (True, [])
        assert report["dropped"] == sum(entry["action"] == "dropped" for entry in report["report"]) > 0
        assert inspect(new, None).catalog is not None
        again = CliRunner().invoke(config_app, ["import", str(file), "--output", str(new)])
        assert (again.exit_code, "is there already" in again.output) == (1, True)


def test_a_key_in_the_old_file_is_not_shown_to_others_by_the_new_one(tmp_path: Path) -> None:
    keyless = "model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o, api_key: os.environ/KEY}}]"
    keyed = keyless.replace("os.environ/KEY", "sk-live-0123456789")
    address = keyless.replace("api_key: os.environ/KEY", "api_base: 'https://me:pass@models.example'")
    for text, before, after in (
        (keyless, 0o640, 0o640),
        (keyless, 0o444, 0o444),
        (keyed, 0o644, 0o600),
        (keyed, 0o400, 0o400),
        (address, 0o644, 0o600),
    ):
        file, new = tmp_path / f"{before}-{after}.yaml", tmp_path / "new.yaml"
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(before)
        run = CliRunner().invoke(config_app, ["import", str(file), "--output", str(new)])
        assert (new.stat().st_mode & 0o777, "Traceback" in run.output) == (after, False), run.output
        new.unlink()
    os.mkfifo(pipe := tmp_path / "pipe", 0o644)
    writing = threading.Thread(target=pipe.write_text, args=(keyless,))
    writing.start()
    CliRunner().invoke(config_app, ["import", str(pipe), "--output", str(new)])
    writing.join()
    assert new.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "[]", "model_list: [", "model_list: {}", "1", "model_list: [1, {}, {model_name: x}]"]
)
def test_what_is_no_such_file_is_said_in_a_sentence(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "x.yaml").write_text(text)
    run = CliRunner().invoke(config_app, ["import", str(file)])
    assert run.exit_code == 1
    assert "Traceback" not in run.output
    assert run.output.strip()
