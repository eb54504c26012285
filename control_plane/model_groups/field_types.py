"""Kinds of values in `litellm_config.yaml`, each with its check and its JSON Schema.

In LiteLLM's sections a number or switch may come from a variable: the schema admits `os.environ/NAME`, the check, which
sees the variable's text, admits text that reads as a number.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

_REFERENCE = {"type": "string", "pattern": "^os\\.environ/."}

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


def refused(reason: str) -> Any:
    """The kind of a key that may only stand there with a value that does nothing; `reason` says why."""

    def check(value: Any) -> Any:
        if value:
            raise PydanticCustomError("refused", "{reason}", {"reason": reason})
        return value

    harmless: dict[str, Any] = {"enum": [None, False, 0, "", [], {}], "description": f"Not used here: {reason}."}
    return Annotated[Any, AfterValidator(check), WithJsonSchema(harmless)]


def optional_keys(
    name: str, typed: Mapping[str, Any], refusals: Mapping[str, str], *, extra: Literal["allow", "forbid"]
) -> Any:
    """A model of optional keys: some with a type, some refused."""
    fields = {**typed, **{key: refused(reason) for key, reason in refusals.items()}}
    optional: dict[str, Any] = {key: (kind, None) for key, kind in sorted(fields.items())}
    return create_model(name, __config__=ConfigDict(extra=extra, protected_namespaces=()), **optional)


def between(low: float, high: float) -> Any:
    """A number within limits, both included; text is no number here."""
    return Annotated[float, Strict(), Field(ge=low, le=high, allow_inf_nan=False)]


def amount_between(low: float, high: float) -> Any:
    """The same in LiteLLM's sections."""
    number = {"type": "number", "minimum": low, "maximum": high}
    limits = Field(ge=low, le=high, allow_inf_nan=False)
    return Annotated[float, limits, WithJsonSchema({"anyOf": [number, _REFERENCE]})]


def one_of(words: tuple[str, ...]) -> Any:
    """One of these words."""
    return Literal[words]


def list_of(words: tuple[str, ...], refusals: Mapping[str, str]) -> Any:
    """A list of some of these words, without those that are refused."""
    kind: Any = Literal[words]

    def check(word: Any) -> Any:
        if word in refusals:
            raise PydanticCustomError("refused", "{reason}", {"reason": refusals[word]})
        return word

    allowed = [word for word in words if word not in refusals]
    return list[Annotated[kind, AfterValidator(check), WithJsonSchema({"enum": allowed, "type": "string"})]]
