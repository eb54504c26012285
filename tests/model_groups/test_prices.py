"""A price in the YAML that would not be billed by, or is of another unit, stops the start and says what to write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.errors import InvalidConfig
from control_plane.gateway.deployments import Deployment
from control_plane.gateway.pricing import price_names
from control_plane.gateway.pricing.price_list import listed_as
from control_plane.gateway.relay.eligibility import LanePolicy, why_not_relayed
from control_plane.model_groups.config import load_catalog

BOTH = "input_cost_per_token: 1e-6, output_cost_per_token: 2e-6"


def load(directory: Path, info: str, *, model: str = "openai/my-own", params: str = "") -> Mapping[str, Any]:
    file = directory / "litellm_config.yaml"
    file.write_text(
        f"""\
model_list:
  - model_name: m
    litellm_params: {{model: {model}{params}}}
    model_info: {{{info}}}
model_groups: {{G: {{models: [m]}}}}
""",
        encoding="utf-8",
    )
    return load_catalog(file, {}).router.deployments[0].info


def mistakes(directory: Path, info: str, *, model: str = "openai/my-own", params: str = "") -> list[str]:
    with pytest.raises(InvalidConfig) as refusal:
        load(directory, info, model=model, params=params)
    return [problem.partition("litellm_config.yaml:")[2] for problem in refusal.value.facts["problems"]]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("input_cost_per_tokens", "input_cost_per_token"),
        ("output_cost_per_reasoning_tokens", "output_cost_per_reasoning_token"),
        ("cache_read_input_cost_per_token", "input_cost_per_token"),
        ("input_cost_per_1m_tokens", None),
        ("gpu_cost_per_hour", None),
        ("token_pricing", None),
        ("input_cost_per_token_balanced_above_200k_tokens", None),
    ],
)
def test_an_invented_price_is_refused_with_what_was_probably_meant(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    for info, params in ((f"{BOTH}, {name}: 1e-6", ""), (BOTH, f", {name}: 1e-6")):
        [said] = mistakes(tmp_path, info, params=params)
        assert f"unknown price {name!r}" in said
        assert meant is None or f"did you mean {meant!r}?" in said


@pytest.mark.parametrize(
    "name",
    [
        "input_cost_per_second",
        "output_cost_per_second",
        "cost_per_second",
        "input_cost_per_query",
        "input_cost_per_character",
        "input_cost_per_image",
        "output_cost_per_image",
        "ocr_cost_per_page",
    ],
)
@pytest.mark.parametrize("beside", ["", f"{BOTH}, ", f"mode: chat, {BOTH}, "])
def test_a_price_that_no_chat_is_billed_by_is_refused_also_beside_one_that_is(
    tmp_path: Path, name: str, beside: str
) -> None:
    [said] = mistakes(tmp_path, f"{beside}{name}: 0.001")
    assert f"{name!r} of deployment 'm' does not price a chat, which is billed by its tokens" in said


@pytest.mark.parametrize(
    "name", ["input_cost_per_token_cache_hit", "input_cost_per_request", "input_dbu_cost_per_token"]
)
def test_a_price_of_the_list_that_litellm_does_not_calculate_by_is_refused(tmp_path: Path, name: str) -> None:
    [said] = mistakes(tmp_path, f"{BOTH}, {name}: 1e-6")
    assert "no cost is calculated by it: give " in said


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("cache_read_input_token_cost: 1e-6", "none for plain tokens"),
        ("input_cost_per_token: 1e-6, cache_read_input_token_cost: 1e-7", "in one direction only"),
        ("tiered_pricing: [{range: [0, 9], input_cost_per_token: 1e-6}]", "a tier without a price in both directions"),
        ("tiered_pricing: cheap", "must be a list of mappings"),
        ("tiered_pricing: []", "must be a list of mappings"),
        ("tiered_pricing: [x]", "must be a list of mappings"),
        ("tiered_pricing: [{input_cost_per_token: 1e-6, output_cost_per_token: 1e-6}]", "needs its range"),
        ("tiered_pricing: [{range: [0, 9], input_cost_per_token: a, output_cost_per_token: 1e-6}]", "must be a number"),
        ("tiered_pricing: [{range: [0, 9], input_cost: 1e-6, output_cost_per_token: 1e-6}]", "unknown price"),
        (f"{BOTH}, off_peak_pricing: 1e-6", "must be a mapping"),
        (f"{BOTH}, search_context_cost_per_query: 1e-6", "must be a mapping"),
        (f"{BOTH}, cache_read_input_token_cost: true", "must be a number"),
        (f"{BOTH}, cache_read_input_token_cost: [1e-6]", "must be a number"),
        ("mode: ocr, input_cost_per_token: 1e-6", "in one direction only"),
        ("mode: embedding, output_cost_per_token: 1e-6", "in one direction only"),
    ],
)
def test_a_price_that_is_only_part_of_one_is_refused(tmp_path: Path, info: str, expected: str) -> None:
    assert any(expected in said for said in mistakes(tmp_path, info))


@pytest.mark.parametrize(
    "info",
    [
        f"{BOTH}, cache_read_input_token_cost: 1e-7, cache_creation_input_token_cost_above_1hr: 2e-6",
        f"{BOTH}, input_cost_per_token_above_300k_tokens: 2e-6, input_cost_per_token_priority: 2e-6",
        f"{BOTH}, input_cost_per_token_batches: 5e-7",
        f"{BOTH}, search_context_cost_per_query: {{search_context_size_low: 0.01}}",
        "tiered_pricing: [{range: [0, 9], input_cost_per_token: 1e-6, output_cost_per_token: 2e-6}]",
        f"{BOTH}, tiered_pricing: [{{range: [0, 9], input_cost_per_token: 1e-6}}]",
        "mode: rerank, input_cost_per_query: 0.002",
        "mode: ocr, ocr_cost_per_page: 0.002",
        "mode: embedding, input_cost_per_image: 0.002",
    ],
)
def test_prices_by_which_calls_are_billed_are_accepted(tmp_path: Path, info: str) -> None:
    assert load(tmp_path, info)


def test_a_listed_model_that_is_priced_by_the_second_has_no_price_for_a_chat(tmp_path: Path) -> None:
    by_second = "bedrock/ap-northeast-1/1-month-commitment/anthropic.claude-v1"
    assert listed_as(by_second) is not None
    assert "is not priced by its tokens" in mistakes(tmp_path, "", model=by_second)[0]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("input_cost_per_token: 0.15, output_cost_per_token: 0.6", ["1,000,000 times", "1,000,000 times"]),
        ("input_cost_per_token: 0.00015, output_cost_per_token: 6e-7", ["1,000 times"]),
        ("input_cost_per_token: 1.5e-7, output_cost_per_token: 6e-13", ["a 1,000,000th of"]),
        (
            "input_cost_per_token: 1.5e-7, output_cost_per_token: 6e-7, cache_read_input_token_cost: 0.075",
            ["1,000,000 times"],
        ),
        (
            "tiered_pricing: [{range: [0, 9], input_cost_per_token: 0.15, output_cost_per_token: 6e-7}]",
            ["1,000,000 times"],
        ),
    ],
)
def test_a_price_far_from_the_listed_one_must_be_confirmed(tmp_path: Path, info: str, expected: list[str]) -> None:
    for model in ("openai/gpt-4o-mini", "gpt-4o-mini"):
        found = mistakes(tmp_path, info, model=model)
        assert [each in said for said, each in zip(found, expected, strict=True)] == [True] * len(expected), found
        assert all("write confirmed_price: true in model_info" in said for said in found)
        assert load(tmp_path, f"{info}, confirmed_price: true", model=model)
    assert mistakes(tmp_path, f"{info}, confirmed_price: false", model="openai/gpt-4o-mini")
    assert mistakes(tmp_path, f"{info}, base_model: gpt-4o-mini", model="azure/mine")


def test_a_price_near_the_listed_one_or_an_explicit_zero_needs_no_confirmation(tmp_path: Path) -> None:
    for prices in (
        "input_cost_per_token: 1.4e-5, output_cost_per_token: 6e-9",
        "input_cost_per_token: 0, output_cost_per_token: 0",
    ):
        assert load(tmp_path, prices.replace("6e-9", "7e-9"), model="openai/gpt-4o-mini")


def test_a_price_of_a_million_tokens_is_found_for_a_model_that_is_not_listed(tmp_path: Path) -> None:
    [said] = mistakes(tmp_path, "input_cost_per_token: 0.001, output_cost_per_token: 9e-4")
    assert "'input_cost_per_token' of 0.001 US dollars is 1,000 US dollars for a million" in said
    assert len(mistakes(tmp_path, f"{BOTH}, cache_read_input_token_cost: 0.1, output_cost_per_audio_token: 0.2")) == 2
    assert load(tmp_path, "input_cost_per_token: 0.001, output_cost_per_token: 0.1, confirmed_price: true")


def test_a_deployment_with_a_price_that_only_litellm_adds_is_not_relayed() -> None:
    info = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}

    def reason(**prices: Any) -> str | None:
        deployment = Deployment("m#1", "m", {"model": "openai/mine"}, {**info, **prices})
        return why_not_relayed(
            deployment, "openai", mode=None, router_settings={}, litellm_settings={}, policy=LanePolicy()
        )

    assert reason() is None
    assert reason(tiered_pricing=[{"range": [0, 9], "input_cost_per_token": 1e-6}]) is None
    assert reason(search_context_cost_per_query={"search_context_size_low": 0.1}) == (
        "its prices: search_context_cost_per_query"
    )


@pytest.fixture(scope="module")
def litellm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm  # noqa: PLC0415  # takes seconds; only these tests pay for it
    return litellm


def test_every_name_of_the_installed_litellm_is_in_the_table_and_does_what_it_says(litellm: Any) -> None:
    """LiteLLM forgets prices that it does not calculate by when a deployment is registered."""
    from litellm.types.utils import CustomPricingLiteLLMParams, ModelInfoBase  # noqa: PLC0415

    fields = {*CustomPricingLiteLLMParams.model_fields, *ModelInfoBase.__annotations__}
    names = {name for name in fields if price_names.is_price(name)} | price_names.CHAT | {*price_names.IGNORED}
    names |= {f"{name}_above_300k_tokens" for name in (price_names.INPUT, price_names.LONG_CACHE_WRITE)}
    tables = {price_names.TIERED, price_names.OFF_PEAK}
    litellm.register_model({"probe#1": {**dict.fromkeys(names - tables, 0.5), price_names.TIERED: [{"range": [0, 1]}]}})
    kept = litellm.get_model_info("probe#1", custom_llm_provider="openai")
    uses = {name: price_names.use_of(name) for name in names}
    assert {name for name, use in uses.items() if use is None} == set()
    forgotten = {name for name in names - {price_names.OFF_PEAK} if kept.get(name) is None}
    assert {name for name in forgotten if uses[name] in ("chat", "litellm")} == set()
    assert {name for name, use in uses.items() if use == "ignored"} <= forgotten


def test_each_price_of_a_token_changes_what_a_chat_costs(litellm: Any) -> None:
    """Asked of LiteLLM as both lanes do, so that no price stands in the file for nothing."""
    usage = litellm.Usage(prompt_tokens=400_000, completion_tokens=10, total_tokens=400_010)

    def cost(tier: str | None, **prices: Any) -> float:
        base = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "mode": "chat"}
        name = f"price#{abs(hash((tier, str(prices))))}"
        litellm.register_model({name: {**base, **prices}})
        parts = litellm.cost_per_token(model=name, custom_llm_provider="openai", usage_object=usage, service_tier=tier)
        return float(sum(parts))

    for direction in (price_names.INPUT, price_names.OUTPUT):
        assert cost(None, **{f"{direction}_above_300k_tokens": 9.0}) > cost(None)
        for ending in price_names.ENDINGS:
            tier = ending.removeprefix("_")
            assert cost(tier, **{f"{direction}{ending}": 9.0}) > cost(tier)
    tiers = [{"range": [0, 10**6], "input_cost_per_token": 3.0, "output_cost_per_token": 6.0}]
    assert cost(None, tiered_pricing=tiers) > cost(None)
