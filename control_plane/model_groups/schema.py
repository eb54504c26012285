"""The shape of `litellm_config.yaml`: one set of models checks the file and makes the JSON Schema that editors use.

Ours (`model_groups`) is strict. LiteLLM's sections are strict where LiteLLM is (a Router argument it does not know is an
error there too) and open where it is open (`litellm_params` go to whatever provider there is). Values are checked after
`os.environ/NAME` was resolved, so numbers may arrive as text. Names and prices are checked in `config.py`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, create_model
from pydantic.json_schema import GenerateJsonSchema

from control_plane.gateway.settings import LITELLM_SETTINGS
from control_plane.model_groups import litellm_names as names
from control_plane.model_groups.field_types import (
    Amount,
    Count,
    Name,
    Stop,
    Switch,
    ToolChoice,
    Whole,
    amount_between,
    between,
    list_of,
    one_of,
    optional_keys,
    refused,
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


_CHAT_PARAMETERS = optional_keys(
    "ChatParameters",
    {
        "temperature": between(0, 2),
        "max_tokens": Annotated[int, Strict(), Field(ge=1)],
        "top_p": between(0, 1),
        "frequency_penalty": between(-2, 2),
        "presence_penalty": between(-2, 2),
        "stop": Stop,
        "tools": list[dict[str, Any]],
        "tool_choice": ToolChoice,
        "response_format": dict[str, Any],
        "seed": Annotated[int, Strict()],
    },
    {},
    extra="forbid",
)


class Defaults(_CHAT_PARAMETERS):  # type: ignore[misc,valid-type]  # made from the lists of names
    """Chat parameters for calls of this group that do not set them, with the limits the job API has for them."""


Limit = Annotated[int, Strict(), Field(ge=1, le=10**9)]


class ModelGroupEntry(_Strict):
    """A name that clients ask for."""

    description: str = Field(default="", description="What the group is for, shown to its teams.")
    models: list[Name] = Field(
        min_length=1, description="Names of model_list. The first is primary, the rest are tried in this order."
    )
    teams: list[Name] = Field(
        default=[], description="Patterns (acme-*) of the teams that may use it. None: only grants."
    )
    defaults: Defaults = Field(default_factory=Defaults)
    markup_bps: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Added to what its calls cost, in hundredths of a percent, in the place of the team's markup.",
    )
    rpm: Limit | None = Field(default=None, description="Calls a minute, of all teams together.")
    tpm: Limit | None = Field(default=None, description="Tokens a minute, of all teams together.")
    max_parallel_calls: Limit | None = Field(default=None, description="Calls at once, of all teams together.")
    cache: bool | None = Field(
        default=None,
        description="Whether its answers are kept for the same request of the same team. None: as the file says.",
    )


Parameters = optional_keys(
    "Parameters",
    {
        **dict.fromkeys(
            (
                "api_key",
                "api_base",
                "base_url",
                "api_version",
                "custom_llm_provider",
                "organization",
                "base_model",
                "region_name",
                "aws_region_name",
                "vertex_project",
                "vertex_location",
                "litellm_credential_name",
            ),
            str,
        ),
        **dict.fromkeys(("timeout", "stream_timeout", "weight"), Amount),
        **dict.fromkeys(("num_retries", "max_retries", "rpm", "tpm", "max_parallel_requests"), Count),
        "order": Whole,
        **dict.fromkeys(("extra_headers", "headers"), dict[str, str]),
        "tags": list[str],
        "drop_params": Switch,
        **dict.fromkeys(("input_cost_per_token", "output_cost_per_token"), Amount),
    },
    names.REFUSED_PARAMETERS,
    extra="allow",
)


class LitellmParams(Parameters):  # type: ignore[misc,valid-type]  # made from the lists of names
    """What LiteLLM needs to call the model. Open-ended: every provider has keys of its own."""

    model: Name = Field(description="provider/model, such as openai/gpt-4o.")


_INFO = optional_keys("Info", {}, names.REFUSED_INFO, extra="allow")


class ModelInfo(_INFO):  # type: ignore[misc,valid-type]  # made from the lists of names
    """What is known about the deployment: its id, its price, its base model. Open-ended."""

    id: Name = Field(default="", description="Unique in the file and kept when keys rotate; in every record of a call.")
    base_model: str = Field(default="", description="The model of LiteLLM's price list to take the price from.")
    input_cost_per_token: Amount = 0
    output_cost_per_token: Amount = 0
    confirmed_price: Switch = Field(
        default=False,
        description="true: a price is meant, though it is 100 times LiteLLM's, a 100th of it, or 0.001 USD a token.",
    )
    lane: Literal["auto", "litellm"] = Field(
        default="auto",
        description="litellm: never relayed past LiteLLM's objects, though the provider speaks OpenAI's wire.",
    )


class ModelListItem(_Strict):
    """A deployment: one model at one provider. Several of the same model_name share the load."""

    model_name: Name
    litellm_params: LitellmParams
    model_info: ModelInfo = ModelInfo()


class Credential(BaseModel):
    """Values that deployments share by name."""

    model_config = ConfigDict(extra="allow")
    credential_name: Name
    credential_values: dict[str, Any]


_RETRIES = optional_keys("Retries", {f"{name}Retries": Count for name in names.RETRIED}, {}, extra="forbid")
_ALLOWED = optional_keys("Allowed", {f"{name}AllowedFails": Count for name in names.COUNTED}, {}, extra="forbid")


class RetryPolicy(_RETRIES):  # type: ignore[misc,valid-type]  # made from the lists of names
    """How often to ask again, by failure."""


class AllowedFailsPolicy(_ALLOWED):  # type: ignore[misc,valid-type]  # made from the lists of names
    """How many failures a minute a deployment may have before it is left alone, by failure."""


_ROUTER_TYPES: Mapping[str, Any] = {
    "retry_policy": RetryPolicy,
    "model_group_retry_policy": dict[str, RetryPolicy],
    "allowed_fails_policy": AllowedFailsPolicy,
    "optional_pre_call_checks": list_of(names.PRE_CALL_CHECKS, names.REFUSED_PRE_CALL_CHECKS),
    "routing_strategy": one_of(names.ROUTING_STRATEGIES),
    **dict.fromkeys(("timeout", "stream_timeout", "cooldown_time", "retry_after"), Amount),
    **dict.fromkeys(("num_retries", "max_fallbacks", "allowed_fails", "redis_port", "redis_db"), Count),
    **dict.fromkeys(("redis_host", "redis_url", "redis_password"), str),
    **dict.fromkeys(
        ("disable_cooldowns", "enable_pre_call_checks", "enable_tag_filtering", "enable_weighted_failover"), Switch
    ),
}
RouterSettings = optional_keys(
    "RouterSettings",
    {argument: _ROUTER_TYPES.get(argument, Any) for argument in names.ROUTER_ARGUMENTS},
    names.REFUSED_ROUTER_ARGUMENTS,
    extra="forbid",
)
_CACHE_PARAMETERS = optional_keys(
    "CacheParameters",
    {"ttl": amount_between(1, 30 * 86_400), "max_temperature": amount_between(0, 2)},
    names.REFUSED_CACHE_PARAMETERS,
    extra="forbid",
)


class CacheParams(_CACHE_PARAMETERS):  # type: ignore[misc,valid-type]  # made from the lists of names
    """How long answers are kept (`ttl`, in seconds), and up to which temperature."""


_SETTINGS_TYPES: Mapping[str, Any] = {
    "cache": Switch,
    "cache_params": CacheParams,
    **dict.fromkeys(("drop_params", "modify_params", "force_ipv4"), Switch),
    "request_timeout": Amount,
    **dict.fromkeys(("num_retries", "allowed_fails", "max_fallbacks"), Count),
}
OURS = ("cache", "cache_params")
"""Settings of LiteLLM's that the control plane honours itself: teams must not get each other's answers."""

LitellmSettings = optional_keys(
    "LitellmSettings",
    {setting: _SETTINGS_TYPES.get(setting, Any) for setting in (*LITELLM_SETTINGS, *OURS)},
    names.REFUSED_MODULE_SETTINGS,
    extra="forbid",  # LiteLLM sets any attribute of its module; the gateway supports these
)


GeneralSettings = optional_keys("GeneralSettings", {}, names.REFUSED_GENERAL_SETTINGS, extra="allow")


def _sections() -> Any:
    kinds: dict[str, tuple[Any, Any]] = {
        "model_list": (list[ModelListItem], ...),
        "router_settings": (RouterSettings, None),
        "litellm_settings": (LitellmSettings, None),
        "environment_variables": (dict[str, Any], None),
        "credential_list": (list[Credential], None),
    }
    sections: dict[str, Any] = {
        section: (kind, Field(default, description=names.SECTIONS_IN_USE[section]))
        for section, (kind, default) in kinds.items()
    }
    sections[names.OUR_SECTION] = (
        dict[str, ModelGroupEntry],
        Field(min_length=1, description="The names clients ask for, and who may use them."),
    )
    for section in names.PROXY_SECTIONS:
        sections[section] = (Any, Field(None, description="Read by LiteLLM's proxy only."))
    sections["general_settings"] = (GeneralSettings | None, Field(None, description="Read by LiteLLM's proxy only."))
    for section, reason in names.REFUSED_SECTIONS.items():
        sections[section] = (refused(reason), None)
    return create_model(
        "ConfigFile",
        __config__=ConfigDict(extra="forbid", protected_namespaces=()),
        __doc__="LiteLLM's configuration file with the control plane's model groups.",
        **sections,
    )


ConfigFile: type[BaseModel] = _sections()


def keys_known_at(path: tuple[str | int, ...]) -> list[str]:
    """The keys the strict part of the file knows at a place; for saying which was probably meant."""
    match path:
        case ():
            model: type[BaseModel] = ConfigFile
        case ("model_groups", _):
            model = ModelGroupEntry
        case ("model_groups", _, "defaults"):
            model = Defaults
        case ("model_list", _):
            model = ModelListItem
        case ("router_settings",):
            model = RouterSettings
        case ("router_settings", "retry_policy") | ("router_settings", "model_group_retry_policy", _):
            model = RetryPolicy
        case ("router_settings", "allowed_fails_policy"):
            model = AllowedFailsPolicy
        case ("litellm_settings",):
            model = LitellmSettings
        case ("litellm_settings", "cache_params"):
            model = CacheParams
        case _:
            return []
    return list(model.model_fields)


class _PlainSchema(GenerateJsonSchema):
    """Without titles that repeat the key, and without defaults: an absent key is absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def json_schema() -> str:
    """The JSON Schema of the file, as shipped beside this module."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ConfigFile.model_json_schema(schema_generator=_PlainSchema),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
