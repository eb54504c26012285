"""The configuration file that is shipped works as it stands, its commented examples too, and LiteLLM agrees with it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from control_plane.gateway.pricing.price_list import PRICE_LIST, has_price, is_price
from control_plane.ids import TeamId
from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.access import usable_groups
from control_plane.model_groups.config import load_catalog
from control_plane.model_groups.deployments import NEARLY
from control_plane.model_groups.problems import nearest
from control_plane.model_groups.schema import AllowedFailsPolicy, RetryPolicy, json_schema

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "litellm_config.yaml"
SCHEMA = ROOT / "control_plane/model_groups/litellm_config.schema.json"

EXAMPLES = re.findall(r"^# - model_name:.*(?:\n#   .*)+", SHIPPED.read_text(encoding="utf-8"), re.MULTILINE)


def uncommented(example: str) -> str:
    return "".join(f"  {line.removeprefix('# ')}\n" for line in example.splitlines())


def test_the_shipped_file_needs_no_environment() -> None:
    catalog = load_catalog(SHIPPED, {})
    assert list(catalog.groups) == [
        "ResumeAgent",
        "ChatAgent",
        "AnalysisAgent",
        "SummaryAgent",
        "WritingAgent",
        "AppAgent",
        "FallbackDemo",
    ]
    assert catalog.groups["ResumeAgent"].models == ("gpt-4-turbo", "gpt-3.5-turbo", "claude-3-sonnet")


def test_the_shipped_groups_are_for_the_demo_and_nobody_else() -> None:
    catalog = load_catalog(SHIPPED, {})
    assert usable_groups(catalog, TeamId("acme-corp"), frozenset()) == list(catalog.groups)
    assert usable_groups(catalog, TeamId("umbrella"), frozenset()) == []


def test_every_provider_promised_has_an_example() -> None:
    models = "\n".join(EXAMPLES)
    for provider in ("openai/", "anthropic/", "azure/", "bedrock/", "ollama_chat/", "hosted_vllm/"):
        assert f"model: {provider}" in models


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_commented_example_works_when_taken_out_of_its_comment(example: str, tmp_path: Path) -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    file = tmp_path / "litellm_config.yaml"
    file.write_text(shipped.replace("model_list:\n", f"model_list:\n{uncommented(example)}", 1), encoding="utf-8")
    wanted = re.findall(r"os\.environ/(\w+)", example)
    catalog = load_catalog(file, dict.fromkeys(wanted, "value"))
    assert len(catalog.router.deployments) == len(load_catalog(SHIPPED, {}).router.deployments) + 1


def test_the_schema_in_the_first_line_is_the_checkers_own() -> None:
    assert SHIPPED.read_text(encoding="utf-8").startswith(
        f"# yaml-language-server: $schema={SCHEMA.relative_to(ROOT).as_posix()}\n"
    )
    assert SCHEMA.read_text(encoding="utf-8") == json_schema(), "run `control-plane config schema` into the file"


def test_the_shipped_file_and_its_examples_fit_the_schema() -> None:
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    file = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    file["model_list"] += yaml.safe_load("".join(uncommented(example) for example in EXAMPLES))
    jsonschema.validate(file, schema)
    file["model_groups"]["ChatAgent"]["modles"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(file, schema)


def test_checking_a_file_does_not_import_litellm() -> None:
    code = "import sys, control_plane.cli.config; assert not {'litellm', 'sqlalchemy', 'fastapi'} & sys.modules.keys()"
    check = "control_plane.cli.config.check(__import__('pathlib').Path('litellm_config.yaml'))"
    subprocess.run(
        [sys.executable, "-c", f"{code}; {check}; assert 'litellm' not in sys.modules"],
        cwd=ROOT,
        check=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def litellm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm  # noqa: PLC0415  # takes seconds; only these tests pay for it
    return litellm


def test_the_routers_arguments_are_those_of_the_installed_litellm(litellm: Any) -> None:
    assert set(names.ROUTER_ARGUMENTS) == set(litellm.Router.get_valid_args())
    assert set(names.REFUSED_ROUTER_ARGUMENTS) <= set(names.ROUTER_ARGUMENTS)


def test_the_words_of_the_routers_arguments_are_those_of_the_installed_litellm(litellm: Any) -> None:
    router_types, params_types = litellm.types.router, sys.modules["litellm.types.litellm_params"]
    assert set(names.ROUTING_STRATEGIES) == set(get_args(params_types.RoutingStrategyName))
    assert set(names.PRE_CALL_CHECKS) == set(get_args(get_args(router_types.OptionalPreCallChecks)[0]))
    assert set(RetryPolicy.model_fields) == set(router_types.RetryPolicy.model_fields)
    assert set(AllowedFailsPolicy.model_fields) == set(router_types.AllowedFailsPolicy.model_fields)


def test_no_name_that_litellm_knows_is_called_a_typo(litellm: Any) -> None:
    from litellm.types.router import LiteLLM_Params, ModelInfo  # noqa: PLC0415
    from litellm.types.utils import all_litellm_params  # noqa: PLC0415

    in_prices = {key for entry in litellm.model_cost.values() for key in entry}
    known = (
        (names.PARAMETERS, NEARLY, {*LiteLLM_Params.model_fields, *all_litellm_params}),
        (names.PARAMETERS, NEARLY, set(litellm.OPENAI_CHAT_COMPLETION_PARAMS)),
        (names.INFO_NAMES, NEARLY, {*ModelInfo.model_fields, *in_prices}),
        (names.PROVIDERS, NEARLY - 0.04, {str(getattr(each, "value", each)) for each in litellm.provider_list}),
    )
    for ours, cutoff, theirs in known:
        assert not {
            name: meant
            for name in theirs - ours
            if (meant := nearest(name, ours, cutoff=0.95 if is_price(name) else cutoff)) is not None
        }


@pytest.mark.filterwarnings("ignore:Items? .* on TypedDict:UserWarning")  # litellm's own types
def test_no_price_is_claimed_that_litellm_does_not_know(litellm: Any) -> None:
    litellm.suppress_debug_info = True
    prefixes = ("openai", "azure", "anthropic", "bedrock", "gemini", "hosted_vllm", "openrouter", "azure_ai", "groq")
    providers = {str(getattr(each, "value", each)) for each in litellm.provider_list}
    shipped = json.loads((Path(litellm.__file__).parent / PRICE_LIST).read_text())  # other tests add to its own copy
    listed = [name for name, entry in shipped.items() if entry.get("litellm_provider") in providers]
    models = [f"{prefix}/{name.rpartition('/')[2]}" for name in listed[::40] for prefix in prefixes]
    models += [name for name in listed[::10] if name.partition("/")[0] in providers]
    ours = {model for model in models if has_price(model, {})}
    theirs = {model for model in models if is_priced_by(litellm, model)}
    assert len(theirs) > 200
    assert ours <= theirs
    assert len(theirs - ours) <= 0.01 * len(theirs)  # it also tries names without their date; we ask for a base_model


def is_priced_by(litellm: Any, model: str) -> bool:
    try:
        key = litellm.get_model_info(model)["key"]
    except Exception:  # noqa: BLE001  # of several kinds, all of which mean no
        return False
    return any(is_price(name) for name in litellm.model_cost.get(key, {}))


@pytest.mark.filterwarnings("ignore:Items? .* on TypedDict:UserWarning")
async def test_litellms_router_serves_the_shipped_file_and_charges_for_it(litellm: Any) -> None:
    catalog = load_catalog(SHIPPED, {})
    router = litellm.Router(
        model_list=[
            {"model_name": each.model_name, "litellm_params": dict(each.params), "model_info": dict(each.info)}
            for each in catalog.router.deployments
        ],
        **catalog.router.router_settings,
    )
    try:
        for group in catalog.groups.values():
            primary, *rest = group.models
            answer = await router.acompletion(primary, [{"role": "user", "content": "Hello"}], fallbacks=[*rest])
            assert answer.choices[0].message.content.startswith("This is a demo answer.")
            assert answer._hidden_params["response_cost"] > 0
        assert answer._hidden_params["model_id"] == "demo-gpt-3.5-turbo"  # FallbackDemo, the last one
    finally:
        router.discard()
