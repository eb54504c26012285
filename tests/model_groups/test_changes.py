"""What is said of a new version of the file: everything that matters, and no secret."""

from pathlib import Path
from typing import Any

import yaml

from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.diff import changes

ADDRESS = "https://user:secret-1@example.com/v1"


def version(tmp_path: Path, **more: Any) -> Catalog:
    file = tmp_path / "config.yaml"
    content = {
        "model_list": [
            {
                "model_name": "big",
                "litellm_params": {"model": "openai/gpt-4o", "api_key": "secret-2", "api_base": ADDRESS},
                "model_info": {"id": "big-1"},
            }
        ],
        "model_groups": {"Agent": {"models": ["big"], "teams": ["acme-*"], "rpm": 10}},
        **more,
    }
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_catalog(file, {})


def test_every_change_is_said_and_secrets_are_not(tmp_path: Path) -> None:
    before = version(
        tmp_path,
        router_settings={"num_retries": 2, "redis_url": "redis://:secret-3@host/0"},
        environment_variables={"SOME_KEY": "secret-4"},
    )
    after = version(
        tmp_path,
        model_list=[
            {
                "model_name": "big",
                "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "secret-5", "timeout": 7},
                "model_info": {"id": "big-1", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
            },
            {"model_name": "new", "litellm_params": {"model": "openai/gpt-4o", "api_key": "secret-6"}},
        ],
        model_groups={
            "Agent": {"models": ["big", "new"], "teams": ["acme-*"], "cache": True},
            "Other": {"models": ["new"]},
        },
        router_settings={"num_retries": 3},
        litellm_settings={"cache": False, "cache_params": {"ttl": 60}},
        environment_variables={"SOME_KEY": "secret-7"},
    )
    said = changes(before, after)
    new = next(each.id for each in after.router.deployments if each.model_name == "new")
    assert sorted(said) == sorted(
        [
            "model group Agent: models [big] → [big, new]",
            "model group Agent: rpm 10 → unset",
            "model group Agent: cache unset → True",
            "model group Other is new",
            "deployment big-1: litellm_params.model 'openai/gpt-4o' → 'openai/gpt-4o-mini'",
            "deployment big-1: litellm_params.api_key changed",
            "deployment big-1: litellm_params.api_base is unset",
            "deployment big-1: litellm_params.timeout unset → 7.0",
            "deployment big-1: model_info.input_cost_per_token unset → 1e-06",
            "deployment big-1: model_info.output_cost_per_token unset → 2e-06",
            f"deployment {new} is new",
            "router_settings: num_retries 2 → 3",
            "router_settings: redis_url is unset",
            "litellm_settings: cache unset → False",
            "litellm_settings: cache_params.ttl 600.0 → 60.0",
            "environment_variables: SOME_KEY changed",
        ]
    )
    assert "secret" not in " ".join([*said, *changes(after, before), *changes(None, before)])
    assert "model group Other is gone" in changes(after, before)


def test_a_version_is_no_change_of_itself(tmp_path: Path) -> None:
    assert changes(version(tmp_path), version(tmp_path)) == []
