"""A wrong configuration file stops the start with every mistake, by line and with what was probably meant."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from control_plane.chat import CHAT_PARAMETERS
from control_plane.cli.config import config_app
from control_plane.errors import InvalidConfig
from control_plane.gateway.settings import LITELLM_SETTINGS, ROUTER_SETTINGS
from control_plane.model_groups.catalog import CachePolicy, Catalog
from control_plane.model_groups.config import inspect, load_catalog
from control_plane.model_groups.litellm_names import (
    REFUSED_MODULE_SETTINGS,
    REFUSED_ROUTER_ARGUMENTS,
    ROUTER_ARGUMENTS,
)
from control_plane.model_groups.schema import OURS, Defaults, LitellmSettings, RouterSettings, json_schema

GOOD = """\
model_list:
  - model_name: big
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/KEY}
  - model_name: big
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/KEY}
  - model_name: small
    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/KEY}
    model_info: {id: the-small-one}
model_groups:
  Agent: {description: Does things, models: [big, small], teams: ["acme-*"], defaults: {max_tokens: 10, stop: [END]}}
"""
KEY = {"KEY": "sk-very-secret"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "litellm_config.yaml"


def load(file: Path, text: str, **environ: str) -> Catalog:
    file.write_text(text, encoding="utf-8")
    return load_catalog(file, {**KEY, **environ})


def mistakes(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(InvalidConfig) as refusal:
        load(file, text, **environ)
    return [problem.removeprefix(f"{file.parent}/litellm_config.yaml:") for problem in refusal.value.facts["problems"]]


def deployment(inner: str, *, info: str = "{}") -> str:
    """A file with one deployment, in line 3."""
    return f"""\
model_list:
  - model_name: m
    litellm_params: {{{inner}}}
    model_info: {info}
model_groups: {{G: {{models: [m]}}}}
"""


def group(inner: str) -> str:
    """The good file with another group in line 11."""
    return f"{GOOD}  G: {{{inner}}}\n"


def test_a_good_file_becomes_a_catalog(file: Path) -> None:
    catalog = load(file, GOOD)
    agent = catalog.groups["Agent"]
    assert (agent.models, agent.teams) == (("big", "small"), ("acme-*",))
    assert agent.defaults == {"max_tokens": 10, "stop": ["END"]}
    assert [each.id for each in catalog.router.deployments] == ["big#1", "big#2", "the-small-one"]
    assert [each.info["id"] for each in catalog.router.deployments] == ["big#1", "big#2", "the-small-one"]
    named = load(file, GOOD.replace("model_name: big", "model_name: a/big").replace("models: [big", "models: [a/big"))
    assert [each.id for each in named.router.deployments] == ["a:big#1", "a:big#2", "the-small-one"]
    assert catalog.router.deployments[0].params == {"model": "openai/gpt-4o", "api_key": "sk-very-secret"}


def test_the_generation_changes_with_the_text_only(file: Path) -> None:
    first = load(file, GOOD).generation
    assert load(file, GOOD).generation == first
    assert load(file, GOOD + "# a comment\n").generation != first


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "1: the file is empty; it needs model_list and model_groups"),
        ("# nothing\n", "1: the file is empty; it needs model_list and model_groups"),
        ("- a\n- b\n", "1: the file must be a mapping with the sections model_list and model_groups"),
        ("a: [1\nb: 2\n", "2: not valid YAML: expected ',' or ']', but got ':'"),
        ("a:\n\t- b\n", "2: not valid YAML: indent with spaces, not with a tab"),
        ("teams: [*]\n", "1: not valid YAML: a value that begins with * needs quotes, as in \"*\" or '*-demo'"),
        ("teams: [*corp]\n", "1: not valid YAML: nothing is named 'corp'; a value that begins with * needs quotes"),
        ("a: !!python/object:os.system x\n", "1: not valid YAML: could not determine a constructor for the tag"),
        ("a: &a [*a]\n", "1: the file's aliases (*name) repeat without end; write the values out"),
        ("a: !!int os.environ/KEY\n", "1: a value does not fit the tag (!!…) in front of it"),
        ("[" * 3000, "1: the file is nested too deeply"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_said_at_its_line(file: Path, text: str, sentence: str) -> None:
    [found] = mistakes(file, text)
    assert found.startswith(sentence)


def test_aliases_that_explode_do_not_exhaust_the_process(file: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    [found] = mistakes(file, bomb)
    assert "repeat without end" in found


def test_a_missing_or_unreadable_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.yaml", "there is no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(InvalidConfig, match=said):
            load_catalog(path, {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidConfig, match="not UTF-8"):
        load_catalog(binary, {})


def test_a_file_without_model_groups_says_how_to_add_one(file: Path) -> None:
    text = GOOD.partition("model_groups:")[0]
    for ending in ("", "model_groups:\n", "model_groups: {}\n"):
        found = mistakes(file, text + ending)
        assert len(found) == 1
        assert "the file has no model_groups, so no team could call anything; add for example" in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "router_setings: {}\n",
            "11: unknown key 'router_setings' in the file; did you mean 'router_settings'?",
        ),
        (group("modles: [big], models: [big]"), "11: unknown key 'modles' in model group 'G'; did you mean 'models'?"),
        (group("modles: [big]"), "11: model group 'G' has no 'models', only 'modles'"),
        (group("models: []"), "11: 'models' in model group 'G' is empty"),
        (group("models: big"), "11: 'models' in model group 'G' must be a list, not text"),
        (group("models: [bigg]"), "11: model 'bigg' of model group 'G' is not in model_list; did you mean 'big'?"),
        (group("models: [zzz]"), "11: model 'zzz' of model group 'G' is not in model_list"),
        (group("models: [big, big]"), "11: model 'big' stands twice in model group 'G'; a model is no fallback for"),
        (group("models: [1]"), "11: models.1 of model group 'G' must be text, not a number"),
        (group("models: [big], teams: acme"), "11: 'teams' in model group 'G' must be a list, not text"),
        (
            group("models: [big], description: 2024-01-01"),
            "11: 'description' in model group 'G' must be text, not a date",
        ),
        (group("models: [big], models: [small]"), "11: the key 'models' stands twice here, first in line 11"),
        (group("models: [big], defaults: {temperatur: 1}"), "did you mean 'temperature'?"),
        (group("models: [big], defaults: {api_base: x}"), "11: unknown key 'api_base' in defaults of model group 'G'"),
        (
            group("models: [big], defaults: {temperature: 3}"),
            "11: 'temperature' in defaults of model group 'G' must be 2 or",
        ),
        (
            group("models: [big], defaults: {temperature: .nan}"),
            "11: 'temperature' in defaults of model group 'G' must be a finite number",
        ),
        (group("models: [big], defaults: {temperature: '1'}"), "must be a number, not text"),
        (group("models: [big], defaults: {max_tokens: 0}"), "must be 1 or more"),
        (group("models: [big], defaults: {max_tokens: true}"), "must be a whole number, not true or false"),
        (
            group("models: [big], defaults: {stop: [1]}"),
            "'stop' in defaults of model group 'G' must be text or a list of",
        ),
        (GOOD + "  yes: {models: [big]}\n", "11: YAML reads this key as bool, not as text; put it in quotes"),
        (GOOD + "  G:\n", "11: 'G' in model_groups must be a mapping, not empty"),
    ],
)
def test_mistakes_in_model_groups(file: Path, text: str, expected: str) -> None:
    found = mistakes(file, text)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (deployment("api_key: x"), "3: litellm_params of deployment 'm' has no 'model'"),
        (deployment("model: 4"), "3: 'model' in litellm_params of deployment 'm' must be text, not a number"),
        (deployment("model: openai/gpt-4o, api_bse: x"), "3: unknown key 'api_bse' in litellm_params; did you mean 'api_base'?"),
        (deployment("model: openai/gpt-4o, api_version: 2024-10-21"), "must be text, not a date; put it in quotes"),
        (deployment("model: openai/gpt-4o, timeout: soon"), "3: 'timeout' in litellm_params of deployment 'm' must be a number"),
        (deployment("model: opnai/gpt-4o"), "3: unknown provider 'opnai' of deployment 'm'; did you mean 'openai'?"),
        (deployment("model: my-llama"), "3: model 'my-llama' of deployment 'm' has no provider in front, as in 'openai/my-llama'"),
        (deployment("model: openai/*"), "stands for many models (*)"),
        (deployment("model: openai/gpt-4o, fallbacks: [x]"), "'fallbacks' in litellm_params of deployment 'm' cannot be used"),
        (deployment("model: openai/gpt-4o", info="{id: gpt-4o}"), "4: the deployment id 'gpt-4o' is a model of LiteLLM's price"),
        (deployment("model: openai/gpt-4o", info="{id: a/b}"), "4: the deployment id 'a/b' holds a '/'"),
        (deployment("model: openai/gpt-4o", info="{id: }"), "4: 'id' in model_info of deployment 'm' must be text, not empty"),
        (deployment("model: openai/gpt-4o", info="{base_modle: gpt-4o}"), "4: unknown key 'base_modle' in model_info; did you"),
        (deployment("model: openai/gpt-4o, litellm_credential_name: c"), "3: credential 'c' is not in credential_list"),
        ("model_list:\n  - litellm_params: {model: openai/gpt-4o}\n", "2: item 1 of model_list has no 'model_name'"),
        ("model_list:\n  - just text\n", "2: item 1 of model_list must be a mapping, not text"),
        ("model_list: {}\n", "1: 'model_list' in the file must be a list, not a mapping"),
        ("model_groups: {G: {models: [m]}}\n", "1: the file has no 'model_list'"),
        (GOOD.replace("model_info: {id:", "modelinfo: {id:"), "8: unknown key 'modelinfo' in deployment 'small'; did you mean"),
        (GOOD + "router_settings: {num_retrys: 1}\n", "11: unknown key 'num_retrys' in router_settings; did you mean 'num_retries'?"),
        (deployment("modle: openai/gpt-4o"), "3: litellm_params of deployment 'm' has no 'model', only 'modle'"),
        (deployment("model: 5, api_bse: x"), "3: unknown key 'api_bse' in litellm_params; did you mean 'api_base'?"),
        (
            GOOD + "router_settings: {retry_policy: {TimeoutRetries: 1}}\n",
            "11: unknown key 'TimeoutRetries' in retry_policy of router_settings; did you mean 'TimeoutErrorRetries'?",
        ),
        (GOOD + "router_settings: {optional_pre_call_checks: [x]}\n", "optional_pre_call_checks.1 of router_settings must be"),
        (GOOD + "router_settings: {num_retries: -1}\n", "11: 'num_retries' in router_settings must be 0 or more"),
        (GOOD + "router_settings: {routing_strategy: least-bussy}\n", "did you mean 'least-busy'?"),
        (GOOD + "router_settings: {default_fallbacks: [big]}\n", "11: 'default_fallbacks' in router_settings cannot be used"),
        (GOOD + "router_settings: {redis_host: h}\n", "11: redis_host and redis_port must both be given"),
        (GOOD + "litellm_settings: {drop_parms: true}\n", "11: unknown key 'drop_parms' in litellm_settings; did you mean 'drop_params'?"),
        (GOOD + "router_settings: {routing_groups: [x]}\n", "cannot be used: the gateway does not support it"),
        (GOOD + "litellm_settings: {callbacks: [langfuse]}\n", "11: 'callbacks' in litellm_settings cannot be used: calls are"),
        (GOOD + "litellm_settings: {set_verbose: true}\n", "11: 'set_verbose' in litellm_settings cannot be used: it prints"),
        (GOOD + "include: [more.yaml]\n", "11: 'include' in the file cannot be used: everything must stand in one file"),
        (GOOD + "guardrails: [x]\n", "calls made here would pass unguarded"),
    ],
)  # fmt: skip
def test_mistakes_in_the_sections_of_litellm(file: Path, text: str, expected: str) -> None:
    found = mistakes(file, text)
    assert any(expected in problem for problem in found), found


def test_every_mistake_is_found_at_once_in_the_order_of_lines(file: Path) -> None:
    text = GOOD.replace("os.environ/KEY", "os.environ/KEYS").replace("Agent:", "Agent: {modles: [big]}\n  Other:")
    found = mistakes(file, text.replace("the-small-one", "big#1"))
    assert found == [
        "3: the environment variable KEYS is not set; did you mean 'KEY'?",
        "5: the environment variable KEYS is not set; did you mean 'KEY'?",
        "7: the environment variable KEYS is not set; did you mean 'KEY'?",
        "8: the deployment id 'big#1' is taken by a deployment 'big' above; ids are unique",
        "10: model group 'Agent' has no 'models', only 'modles'",
        "10: unknown key 'modles' in model group 'Agent'; did you mean 'models'?",
    ]


def test_variables_are_resolved_everywhere_litellm_would_not(file: Path) -> None:
    inner = "model: openai/gpt-4o, extra_headers: {X: os.environ/NESTED}, tags: [a, os.environ/NESTED], timeout: os.environ/T"
    catalog = load(file, deployment(inner, info="{id: os.environ/NESTED}"), NESTED="found", T="7.5")
    [made] = catalog.router.deployments
    assert made.params == {
        "model": "openai/gpt-4o",
        "extra_headers": {"X": "found"},
        "tags": ["a", "found"],
        "timeout": 7.5,
    }
    assert made.id == "found"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("os.environ/MISSING", "3: the environment variable MISSING is not set"),
        ("os.environ/EMPTY", "3: the environment variable EMPTY is empty"),
        ("os.environ/", "3: os.environ/ is not followed by the name of a variable"),
        ("${SOME_KEY}", "3: environment variables are written os.environ/SOME_KEY here"),
        ("os.environ.SOME_KEY", "3: environment variables are written os.environ/SOME_KEY here"),
    ],
)
def test_a_variable_that_is_missing_is_a_mistake_wherever_it_stands(file: Path, reference: str, expected: str) -> None:
    for place in ('api_base: "{}"', 'extra_headers: {{X: "{}"}}', 'some_list: [{{deep: ["{}"]}}]'):
        inner = f"model: openai/gpt-4o, {place.format(reference)}"
        assert mistakes(file, deployment(inner), EMPTY=" ") == [expected]


def test_the_files_own_variables_are_resolved_and_handed_on(file: Path) -> None:
    text = GOOD + "environment_variables: {REGION: os.environ/HERE, FLAG: 1, BASE: http://x}\n"
    catalog = load(file, text.replace("api_key: os.environ/KEY", "api_base: os.environ/BASE"), HERE="eu")
    assert catalog.environment == {"REGION": "eu", "FLAG": "1", "BASE": "http://x"}
    assert catalog.router.deployments[0].params["api_base"] == "http://x"


def test_what_only_the_proxy_reads_may_name_variables_that_only_it_has(file: Path) -> None:
    assert load(file, GOOD + "general_settings: {master_key: os.environ/MASTER}\n").groups


def test_secrets_stay_out_of_the_sentences(file: Path) -> None:
    text = GOOD.replace("api_key: os.environ/KEY", "api_key: [os.environ/KEY], timeout: os.environ/KEY, rpm: sk-plain")
    found = mistakes(file, text + "router_settings: {redis_port: os.environ/KEY, routing_strategy: os.environ/KEY}\n")
    assert len(found) == 11
    assert not any("sk-" in problem for problem in found)
    [said] = mistakes(file, deployment("model: os.environ/KEY"))
    assert said == "3: model 'os.environ/KEY' of deployment 'm' has no provider in front, as in 'openai/os.environ/KEY'"


@pytest.mark.parametrize(
    ("inner", "info", "expected"),
    [
        (
            "model: openai/my-own",
            "{}",
            "3: model 'openai/my-own' of deployment 'm' has no price, so LiteLLM would bill it 0",
        ),
        ("model: openai/gpt-4oo", "{}", "did you mean 'openai/gpt-4o'?"),
        ("model: hosted_vllm/gpt-4o", "{}", "has no price"),
        ("model: azure/mine", "{base_model: gpt-4oo}", "3: base_model 'gpt-4oo' of deployment 'm' has no price"),
        ("model: hosted_vllm/mine", "{base_model: gpt-4o}", "has no price"),  # another provider's: LiteLLM bills 0
        ("model: openai/gpt-4o", "{input_cost_per_token: 0.1}", "has a price in one direction only"),
        ("model: openai/my-own, output_cost_per_token: 0.1", "{}", "has a price in one direction only"),
        ("model: openai/my-own, output_cost_per_token: -0.1", "{}", "must be 0 or more"),
        ("model: openai/my-own, output_cost_per_token: cheap", "{}", "must be a number, not text"),
        ("model: openai/my-own, cache_read_input_token_cost: cheap", "{}", "must be a number, in US dollars"),
        ("model: openai/my-own, cache_read_input_token_cost: .nan", "{}", "must be 0 or more"),
    ],
)
def test_a_model_that_litellm_would_bill_nothing_is_a_mistake(file: Path, inner: str, info: str, expected: str) -> None:
    found = mistakes(file, deployment(inner, info=info))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("inner", "info"),
    [
        ("model: gpt-4o", "{}"),
        ("model: azure/mine", "{base_model: gpt-4o}"),
        ("model: azure/mine, base_model: azure/gpt-4o", "{}"),
        ("model: zzz/mine, custom_llm_provider: openai", "{base_model: gpt-4o}"),
        ("model: gpt-4o, custom_llm_provider: openai", "{}"),
        ("model: openai/my-own", "{input_cost_per_token: 0, output_cost_per_token: 0}"),  # declared free
        ("model: openai/my-embedding", "{mode: embedding, input_cost_per_token: 0.0001}"),
        ("model: openai/text-embedding-3-small", "{}"),
    ],
)
def test_a_model_with_a_price_or_declared_free_is_accepted(file: Path, inner: str, info: str) -> None:
    assert load(file, deployment(inner, info=info), AZURE_API_BASE="https://mine.example").router.deployments


def test_prices_are_moved_to_where_litellm_does_not_read_them_on_every_call(file: Path) -> None:
    tiers = "[{range: [0, 1000], input_cost_per_token: 3e-6, output_cost_per_token: 1.5e-5}]"
    inner = f"model: openai/mine, input_cost_per_token: 3e-6, output_cost_per_token: 1.5e-5, tiered_pricing: {tiers}"
    [made] = load(file, deployment(inner)).router.deployments
    assert made.params == {"model": "openai/mine"}
    assert made.info == {
        "id": "m#1",
        "input_cost_per_token": 0.000003,
        "output_cost_per_token": 0.000015,
        "tiered_pricing": [{"range": [0, 1000], "input_cost_per_token": 0.000003, "output_cost_per_token": 0.000015}],
    }


def test_credentials_are_filled_in_by_name(file: Path) -> None:
    inner = "model: openai/gpt-4o, litellm_credential_name: shared, api_base: http://own"
    credentials = """\
credential_list:
  - credential_name: shared
    credential_values: {api_key: os.environ/KEY, api_base: http://shared}
"""
    [made] = load(file, deployment(inner) + credentials).router.deployments
    assert made.params == {"model": "openai/gpt-4o", "api_key": "sk-very-secret", "api_base": "http://own"}


def test_settings_arrive_as_numbers_and_without_what_does_nothing(file: Path) -> None:
    settings = """\
router_settings: {timeout: os.environ/T, fallbacks: [], set_verbose: false, retry_policy: {TimeoutErrorRetries: 1}}
litellm_settings: {set_verbose: false, num_retries: 2, callbacks: []}
credential_list:
"""
    router = load(file, GOOD + settings, T="30").router
    assert router.router_settings == {"timeout": 30.0, "retry_policy": {"TimeoutErrorRetries": 1}}
    assert router.litellm_settings == {"num_retries": 2}


def test_merge_keys_and_anchors_work(file: Path) -> None:
    text = """\
model_list:
  - model_name: a
    litellm_params: &one {model: openai/gpt-4o, timeout: 5}
  - model_name: b
    litellm_params: {<<: *one, timeout: 6}
model_groups: {G: {models: [a, b]}}
"""
    assert load(file, text).router.deployments[1].params == {"model": "openai/gpt-4o", "timeout": 6.0}


def test_what_the_checker_accepts_the_gateway_accepts() -> None:
    assert set(RouterSettings.model_fields) - set(REFUSED_ROUTER_ARGUMENTS) <= ROUTER_SETTINGS
    assert set(LitellmSettings.model_fields) - set(REFUSED_MODULE_SETTINGS) <= {*LITELLM_SETTINGS, *OURS}
    assert set(ROUTER_ARGUMENTS) >= ROUTER_SETTINGS


def test_defaults_are_among_the_parameters_a_client_may_set() -> None:
    assert set(Defaults.model_fields) <= CHAT_PARAMETERS


UNUSED = """\
model_list:
  - model_name: m
    litellm_params: {model: openai/gpt-4o, api_key: k, rpm: 5, tags: [a], max_retries: 2}
    model_info: {access_groups: [a], health_check_model: x}
model_groups: {G: {models: [m]}}
general_settings:
  master_key: sk-1
  alerting: [slack]
  some_new_setting: 1
mcp_servers: {docs: {url: "http://x"}}
"""


def test_what_has_no_effect_here_is_named_and_keeps_nobody_from_serving(file: Path) -> None:
    file.write_text(UNUSED, encoding="utf-8")
    warned = {(found.line, found.path) for found in inspect(file, {}).warnings}
    assert warned == {
        (3, "model_list[0].litellm_params.rpm"),
        (3, "model_list[0].litellm_params.tags"),
        (3, "model_list[0].litellm_params.max_retries"),
        (4, "model_list[0].model_info.access_groups"),
        (4, "model_list[0].model_info.health_check_model"),
        (7, "general_settings.master_key"),
        (8, "general_settings.alerting"),
        (9, "general_settings.some_new_setting"),
        (10, "mcp_servers"),
    }
    assert load_catalog(file, {}).groups, "a warning is no mistake"
    limited = UNUSED + "router_settings: {optional_pre_call_checks: [enforce_model_rate_limits]}\n"
    file.write_text(limited, encoding="utf-8")
    assert "rpm" not in str([found.path for found in inspect(file, {}).warnings]), "there it is a limit"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (deployment("model: openai/gpt-4o, max_budget: 1"), "3: 'max_budget' in litellm_params"),
        (deployment("model: openai/gpt-4o", info="{team_id: t}"), "4: 'team_id' in model_info"),
        (GOOD + "router_settings: {optional_pre_call_checks: [router_budget_limiting]}\n", "a server does not start"),
        (GOOD + "litellm_settings: {max_budget: 100}\n", "LiteLLM's budgets are not kept here"),
        (GOOD + "general_settings: {allowed_ips: [10.0.0.1]}\n", "what it forbids would be allowed here"),
        (deployment("model: azure/gpt-4o"), "has no address: give the api_base of your azure endpoint"),
        (deployment("model: litellm_proxy/gpt-4o"), "or set LITELLM_PROXY_API_BASE"),
    ],
)
def test_what_would_not_hold_or_not_be_reached_is_a_mistake(file: Path, text: str, expected: str) -> None:
    assert any(expected in problem for problem in mistakes(file, text))


def test_without_an_environment_every_reference_is_taken_as_present(file: Path) -> None:
    """The pipeline of the file's repository has no keys; what it cannot know it does not complain of."""
    inner = (
        "model: os.environ/MODEL, api_base: os.environ/BASE, timeout: os.environ/T, input_cost_per_token: os.environ/P"
    )
    settings = "router_settings: {num_retries: os.environ/N, redis_host: os.environ/H, redis_port: os.environ/R}\n"
    file.write_text(deployment(inner, info="{id: os.environ/I}") + settings, encoding="utf-8")
    assert inspect(file, None).errors == []
    file.write_text(deployment(f"{inner}, drop_params: perhaps") + settings, encoding="utf-8")
    assert [found.path for found in inspect(file, None).errors] == ["model_list[0].litellm_params.drop_params"]
    assert inspect(file, {}).errors != []


@pytest.mark.slow
def test_a_file_is_called_good_only_if_litellm_can_be_built_from_it(file: Path) -> None:
    """What only LiteLLM knows is found in a process of its own, and where it stands."""
    gone = "{supported_environments: [production]}"
    file.write_text(deployment("model: openai/gpt-4o, api_key: os.environ/NOWHERE", info=gone), encoding="utf-8")
    assert inspect(file, None).errors == []
    run = CliRunner().invoke(config_app, ["check", str(file), "--no-env", "--json"])
    assert run.exit_code == 1
    found = json.loads(run.stdout)
    assert (found["ok"], found["errors"], found["deployments"]) == (False, 1, None)
    [finding] = found["findings"]
    assert finding["message"].startswith("deployment 'm': LiteLLM refuses the configuration: ")
    assert {**finding, "message": ""} == {
        "severity": "error",
        "file": str(file),
        "line": 2,
        "path": "model_list[0]",
        "message": "",
    }


@pytest.mark.slow
def test_config_check_prints_what_it_found(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    run = CliRunner().invoke(config_app, ["check", str(file)], env=KEY)
    assert (run.exit_code, run.output) == (0, "OK: 3 deployments, 1 model group\n")
    run = CliRunner().invoke(config_app, ["check"], env={"CONTROL_PLANE_CONFIG": str(file), "KEY": ""})
    assert run.exit_code == 1
    assert run.output.count("the environment variable KEY is empty") == 3


def test_config_schema_prints_the_shipped_schema() -> None:
    run = CliRunner().invoke(config_app, ["schema"])
    assert (run.exit_code, run.output) == (0, json_schema())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{}", CachePolicy()),
        ("{cache: false}", CachePolicy(is_on=False)),
        ("{cache: os.environ/CACHE, cache_params: {ttl: os.environ/TTL}}", CachePolicy(is_on=False, ttl_s=60)),
        ("{cache: true, cache_params: {max_temperature: 0.5}}", CachePolicy(is_on=True, max_temperature=0.5)),
    ],
)
def test_the_file_says_which_answers_are_given_again(file: Path, said: str, expected: CachePolicy) -> None:
    catalog = load(file, f"{GOOD}litellm_settings: {said}\n", CACHE="false", TTL="60")
    assert catalog.cache == replace(expected, generation=catalog.generation)
    assert not {"cache", "cache_params"} & catalog.router.litellm_settings.keys(), "it is not LiteLLM's cache"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("{ttl: 0}", "'ttl' in cache_params of litellm_settings must be 1 or more"),
        ("{tll: 5}", "did you mean 'ttl'"),
        ("{type: redis}", "answers are kept in the Redis of CONTROL_PLANE_REDIS_URL"),
        ("{namespace: all}", "every team has one of its own"),
    ],
)
def test_what_litellms_cache_takes_and_ours_does_not_is_refused(file: Path, said: str, sentence: str) -> None:
    [mistake] = mistakes(file, f"{GOOD}litellm_settings: {{cache_params: {said}}}\n")
    assert sentence in mistake
