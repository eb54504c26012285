"""The shape of `litellm_config.yaml`: one set of models checks the file and makes the JSON Schema that editors use.

Ours (`model_groups`) is strict. LiteLLM's sections are strict where LiteLLM is (a Router argument it does not know is an
error there too) and open where it is open (`litellm_params` go to whatever provider there is). Values are checked after
`os.environ/NAME` was resolved, so numbers may arrive as text. Names and prices are checked in `config.py`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError

from control_plane.gateway.settings import LITELLM_SETTINGS
from control_plane.model_groups import litellm_names as names

_REFERENCE = {"type": "string", "pattern": "^os\\.environ/."}

Number = Annotated[float, Field(allow_inf_nan=False), WithJsonSchema({"anyOf": [{"type": "number"}, _REFERENCE]})]
Amount = Annotated[
    float, Field(ge=0, allow_inf_nan=False), WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, _REFERENCE]})
]
Count = Annotated[int, Field(ge=0), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _REFERENCE]})]
Whole = Annotated[int, WithJsonSchema({"anyOf": [{"type": "integer"}, _REFERENCE]})]
Switch = Annotated[bool, WithJsonSchema({"anyOf": [{"type": "boolean"}, _REFERENCE]})]
Name = Annotated[str, Field(min_length=1)]


def _text_or(other: type, said: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, str | other):
            return value
        raise PydanticCustomError("shape", said)

    return check


def _texts_only(value: Any) -> Any:
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise PydanticCustomError("shape", "must be text or a list of texts")
    return value


Stop = Annotated[
    Any,
    BeforeValidator(_text_or(list, "must be text or a list of texts")),
    AfterValidator(_texts_only),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
ToolChoice = Annotated[
    Any,
    BeforeValidator(_text_or(dict, "must be text or a mapping")),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]


def _refused(reason: str) -> Any:
    """A key that may only stand there with a value that does nothing."""

    def check(value: Any) -> Any:
        if value:
            raise PydanticCustomError("refused", "{reason}", {"reason": reason})
        return value

    harmless: dict[str, Any] = {"enum": [None, False, 0, "", [], {}], "description": f"Not used here: {reason}."}
    return Annotated[Any, AfterValidator(check), WithJsonSchema(harmless)]


def _open(name: str, typed: Mapping[str, Any], refused: Mapping[str, str], *, extra: Literal["allow", "forbid"]) -> Any:
    """A model of optional keys: some with a type, some refused."""
    fields = {**typed, **{key: _refused(reason) for key, reason in refused.items()}}
    optional: dict[str, Any] = {key: (kind, None) for key, kind in sorted(fields.items())}
    return create_model(name, __config__=ConfigDict(extra=extra, protected_namespaces=()), **optional)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def _strict_float(low: float, high: float) -> Any:
    return Annotated[float, Strict(), Field(ge=low, le=high, allow_inf_nan=False)]


_CHAT_PARAMETERS = _open(
    "ChatParameters",
    {
        "temperature": _strict_float(0, 2),
        "max_tokens": Annotated[int, Strict(), Field(ge=1)],
        "top_p": _strict_float(0, 1),
        "frequency_penalty": _strict_float(-2, 2),
        "presence_penalty": _strict_float(-2, 2),
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


Parameters = _open(
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


class ModelInfo(BaseModel):
    """What is known about the deployment: its id, its price, its base model. Open-ended."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    id: Name = Field(default="", description="Unique in the file and kept when keys rotate; in every record of a call.")
    base_model: str = Field(default="", description="The model of LiteLLM's price list to take the price from.")
    input_cost_per_token: Amount = 0
    output_cost_per_token: Amount = 0


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


_ROUTER_TYPES: Mapping[str, Any] = {
    "routing_strategy": Literal[names.ROUTING_STRATEGIES],
    **dict.fromkeys(("timeout", "stream_timeout", "cooldown_time", "retry_after"), Amount),
    **dict.fromkeys(("num_retries", "max_fallbacks", "allowed_fails", "redis_port", "redis_db"), Count),
    **dict.fromkeys(("redis_host", "redis_url", "redis_password"), str),
    **dict.fromkeys(
        ("retry_policy", "model_group_retry_policy", "allowed_fails_policy", "cache_kwargs"), dict[str, Any]
    ),
    "optional_pre_call_checks": list[str],
    **dict.fromkeys(
        ("disable_cooldowns", "enable_pre_call_checks", "enable_tag_filtering", "enable_weighted_failover"), Switch
    ),
}
RouterSettings = _open(
    "RouterSettings",
    {argument: _ROUTER_TYPES.get(argument, Any) for argument in names.ROUTER_ARGUMENTS},
    names.REFUSED_ROUTER_ARGUMENTS,
    extra="forbid",
)
_SETTINGS_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("drop_params", "modify_params", "force_ipv4"), Switch),
    "request_timeout": Amount,
    **dict.fromkeys(("num_retries", "allowed_fails", "max_fallbacks"), Count),
}
LitellmSettings = _open(
    "LitellmSettings",
    {setting: _SETTINGS_TYPES.get(setting, Any) for setting in LITELLM_SETTINGS},
    names.REFUSED_MODULE_SETTINGS,
    extra="forbid",  # LiteLLM sets any attribute of its module; the gateway supports these
)


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
    for section, reason in names.REFUSED_SECTIONS.items():
        sections[section] = (_refused(reason), None)
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
        case ("litellm_settings",):
            model = LitellmSettings
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
