"""Replaces `os.environ/NAME` in the configuration file by the variable's value.

LiteLLM's Router resolves only the top level of `litellm_params`, sends `os.environ/…` unchanged from anywhere deeper,
and drops a key whose variable is missing: without its `api_base` a deployment silently calls api.openai.com. So every
place is resolved here, and a variable that is missing or empty is a mistake. `NAME_FILE` names a file that holds NAME's
value, where NAME itself is not set: what container engines mount as secrets.
"""

import re
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from control_plane.gateway.pricing.price_names import is_price
from control_plane.model_groups.problems import Path, Problems, did_you_mean

PREFIX = "os.environ/"

OTHER_SPELLINGS = re.compile(r"(?:os\.env\w*[./:]|env[/:]|\$env:|\$\{?)(?P<name>[A-Z_][A-Z0-9_]*)\}?")
"""Spellings of other tools. Here they would be sent to the provider as if they were the key."""


ASSUMED = {
    "model": "openai/gpt-4o-mini",
    "routing_strategy": "simple-shuffle",
    **dict.fromkeys(("api_base", "base_url", "redis_url"), "https://assumed.invalid"),
    **dict.fromkeys(("redis_host", "host"), "assumed.invalid"),
}
"""Assumed values of keys where variables are assumed; any other is 1, which is text, number and switch."""


def resolve(value: Any, environ: Mapping[str, str] | None, path: Path, problems: Problems) -> Any:
    """The value with every variable in it replaced, in mappings and lists too. What is missing stays, and is reported.

    `environ` None: no variable is known and each is taken as present.
    """
    if isinstance(value, dict):
        # a key that is not text was reported when the file was read; no later code handles it
        return {
            key: resolve(inner, environ, (*path, key), problems) for key, inner in value.items() if type(key) is str
        }
    if isinstance(value, list):
        return [resolve(inner, environ, (*path, index), problems) for index, inner in enumerate(value)]
    if isinstance(value, str):
        return _resolve_text(value, environ, path, problems)
    return value


def _resolve_text(text: str, environ: Mapping[str, str] | None, path: Path, problems: Problems) -> str:
    if not text.startswith(PREFIX):
        if foreign := OTHER_SPELLINGS.fullmatch(text):
            problems.add(path, f"environment variables are written {PREFIX}{foreign['name']} here")
        return text
    name = text.removeprefix(PREFIX)
    if not name:
        problems.add(path, f"{PREFIX} is not followed by the name of a variable")
        return text
    if environ is None:
        problems.assume(path)
        return _assumed(path)
    if name not in environ and environ.get(f"{name}_FILE"):
        value = _read(f"{name}_FILE", environ, path, problems)
    else:
        value = environ.get(name)
        if value is None:
            near = did_you_mean(name, environ, cutoff=0.8)
            problems.add(path, f"the environment variable {name} is not set{near}")
        elif not value.strip():
            problems.add(path, f"the environment variable {name} is empty")
    if value is None or not value.strip():
        return text
    problems.hide(value, text)
    return value


def _assumed(path: Path) -> str:
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    return "0" if is_price(key) else ASSUMED.get(key, "1")


def _read(variable: str, environ: Mapping[str, str], path: Path, problems: Problems) -> str | None:
    """The text of the file that the variable names, without the line's end."""
    file = environ[variable]
    try:
        value = File(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path with U+0000
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        problems.add(path, f"the file {file}, which {variable} names, cannot be read: {why}")
        return None
    if not value:
        problems.add(path, f"the file {file}, which {variable} names, is empty")
    return value
