"""How large JSON schemas are when their references are expanded, as LiteLLM does for several providers. Pure.

A reference takes ten characters and stands for a whole definition, whose references stand for others: a schema of 2 KB
can become hundreds of megabytes. So it is expanded here, without copying, until the limit is reached.
"""

from collections.abc import Iterable, Mapping
from typing import Any

MOST_NODES = 10_000
"""Objects and lists of all schemas of a request, expanded."""
MEMBERS_PER_NODE = 8
"""Members of an object or list that count as another: a list of a million texts is one list."""
DEFINITIONS_PER_NODE = 100
"""LiteLLM copies the table of definitions for every object it walks through."""

TABLES = ("$defs", "definitions")

Definitions = Mapping[str, Any]


class TooManyNodes(ValueError):
    """Schemas are larger than the limit."""


def schemas_of(parameters: Mapping[str, Any]) -> list[Any]:
    """The schemas in the parameters of a chat call: of its tools, and of the answer's form."""
    functions = [tool.get("function") for tool in parameters.get("tools") or () if isinstance(tool, Mapping)]
    found = [function.get("parameters") for function in functions if isinstance(function, Mapping)]
    form = (parameters.get("response_format") or {}).get("json_schema")
    if isinstance(form, Mapping):
        found += form.values()
    return [schema for schema in found if isinstance(schema, Mapping | list)]


def check_size(schemas: Iterable[Any], most: int = MOST_NODES) -> None:
    """Raises: TooManyNodes as soon as the schemas have more; the work until then is bounded by the limit."""
    left = float(most)
    for schema in schemas:
        left -= _expanded(schema, left)
        if left < 0:
            raise TooManyNodes(
                f"The JSON schemas of the request's tools and response format have more than {most} objects and lists, "
                "with every $ref replaced by what it refers to. Send fewer tools, or smaller schemas."
            )


def _expanded(schema: Any, most: float) -> float:
    """Its size; somewhat more than `most` where it is larger. A reference within itself stays as it is."""
    size = 0.0
    waiting: list[tuple[Any, Definitions, frozenset[str]]] = [(schema, {}, frozenset())]
    if isinstance(schema, Mapping):  # its definitions are part of it where they are referred to
        main = {name: value for name, value in schema.items() if name not in TABLES}
        waiting = [(main, _with_own({}, schema), frozenset())]
    while waiting and size <= most:
        node, known, chain = waiting.pop()
        if isinstance(node, Mapping):
            known = _with_own(known, node)
            size += 1 + len(node) / MEMBERS_PER_NODE + len(known) / DEFINITIONS_PER_NODE
            name = node.get("$ref")
            if isinstance(name, str):
                name = name.rpartition("/")[2]
                if name in known and name not in chain:
                    waiting.append((known[name], known, chain | {name}))
                continue
            waiting += [(value, known, chain) for value in node.values() if isinstance(value, Mapping | list)]
        elif isinstance(node, list):
            size += 1 + len(node) / MEMBERS_PER_NODE
            waiting += [(value, known, chain) for value in node if isinstance(value, Mapping | list)]
    return size


def _with_own(known: Definitions, node: Mapping[str, Any]) -> Definitions:
    """The definitions at a node: its own come before those around it."""
    own = [table for name in TABLES if isinstance(table := node.get(name), Mapping)]
    components = node.get("components")
    if isinstance(components, Mapping) and isinstance(table := components.get("schemas"), Mapping):
        own.append(table)
    return {**known, **{name: value for table in own for name, value in table.items()}} if own else known
