"""What pydantic finds wrong with the file's shape, in the words of someone who edits YAML. Values are never repeated."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from control_plane.gateway.settings import LITELLM_SETTINGS
from control_plane.model_groups.litellm_names import OUR_SECTION
from control_plane.model_groups.problems import Path, Problems, did_you_mean, nearest
from control_plane.model_groups.schema import ConfigFile, keys_known_at

EXPECTED: Mapping[str, str] = {
    "string": "text",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
"""By the beginning of pydantic's error type (`float_parsing`, `float_type`)."""

QUOTE = "'"


def report_shape(values: Mapping[str, Any], problems: Problems) -> None:
    """Report every unknown key, missing key and wrong type."""
    try:
        ConfigFile.model_validate(values)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            path = found["loc"]
            if (
                found["type"] == "missing"
            ):  # stands nowhere: reported where it should be, beside what else is wrong there
                problems.add(path, f"{place(path[:-1], values)} has no {path[-1]!r}{_instead(found)}")
            else:
                problems.add(path, _sentence(found, path, values))


def _sentence(found: ErrorDetails, path: Path, values: Mapping[str, Any]) -> str:
    key, where, kind = path[-1], place(path[:-1], values), found["type"]
    subject = f"{key!r} in {where}" if isinstance(key, str) else place(path, values)
    if kind == "extra_forbidden":
        hint = did_you_mean(str(key), keys_known_at(path[:-1]))
        if not hint and path[:-1] == ("litellm_settings",):
            hint = f"; of LiteLLM's settings only these have an effect here: {', '.join(sorted(LITELLM_SETTINGS))}"
        return f"unknown key {key!r} in {where}{hint}"
    return f"{subject} {_fault(kind, found['msg'], found['input'], found.get('ctx', {}))}"


def _instead(found: ErrorDetails) -> str:
    """The key that stands there and was probably meant to be the missing one."""
    there = nearest(str(found["loc"][-1]), found["input"] if isinstance(found["input"], dict) else ())
    return f", only {there!r}" if there else ""


def _fault(kind: str, said: str, value: Any, limits: Mapping[str, Any]) -> str:
    match kind:
        case "refused":
            fault = f"cannot be used: {limits['reason']}"
        case "shape":
            fault = said
        case "literal_error":  # the expected values come as `'a', 'b' or 'c'`
            expected = str(limits["expected"])
            fault = f"must be one of {expected}{did_you_mean(str(value), expected.split(QUOTE)[1::2])}"
        case "finite_number":
            fault = "must be a finite number"
        case "greater_than_equal":
            fault = f"must be {limits['ge']:g} or more"
        case "less_than_equal":
            fault = f"must be {limits['le']:g} or less"
        case "too_short" | "string_too_short":
            fault = "is empty"
        case _:
            wanted = next((words for begin, words in EXPECTED.items() if kind.startswith(begin)), "something else")
            fault = f"must be {wanted}, not {_kind_of(value)}"
    return fault


def place(path: Path, values: Any) -> str:
    """A place in the file, as one would say it: `model group 'ResumeAgent'`, `litellm_params of 'gpt-4-turbo'`."""
    match path:
        case ():
            return "the file"
        case ("model_groups", str(name), *inner):
            return _of(inner, f"model group {name!r}")
        case ("model_list", int(index), *inner):
            item = values["model_list"][index]
            model_name = item.get("model_name") if isinstance(item, dict) else None
            is_named = isinstance(model_name, str)
            return _of(inner, f"deployment {model_name!r}" if is_named else f"item {index + 1} of model_list")
        case ("credential_list", int(index), *inner):
            return _of(inner, f"item {index + 1} of credential_list")
        case (first, *inner):
            return _of(inner, str(first))
    raise AssertionError(path)


def _of(inner: list[str | int], whole: str) -> str:
    """`defaults.stop of model group 'ResumeAgent'`; list positions are counted from 1."""
    if not inner:
        return whole
    part = ".".join(step if isinstance(step, str) else str(step + 1) for step in inner)
    return f"{part} of {whole}"


def _kind_of(value: Any) -> str:
    kinds = ((type(None), "empty"), (bool, "true or false"), (int | float, "a number"), (str, "text"))
    kinds_of_many = ((list, "a list"), (dict, "a mapping"), (object, "a date; put it in quotes"))
    return next(name for kind, name in (*kinds, *kinds_of_many) if isinstance(value, kind))


def report_missing_groups(problems: Problems) -> None:
    """Report that nothing in the file can be called."""
    problems.add(
        (OUR_SECTION,),
        f"the file has no {OUR_SECTION}, so no team could call anything; "
        "add for example: model_groups: {ChatAgent: {models: [a-model-name], teams: ['*']}}",
    )
