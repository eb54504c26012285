"""The size of JSON schemas with their references expanded, as LiteLLM does for several providers. Pure.

A reference takes ten characters and stands for a whole definition, whose references stand for others: a schema of 2 KB
can become hundreds of megabytes, and be paid for as such. So it is expanded here, without copying, until a limit is
reached.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_NODES = 10_000
"""Objects and lists of all schemas of a request, expanded."""
MOST_CHARS = 2_000_000
"""Characters of their names, texts and numbers, expanded."""
MEMBERS_PER_NODE = 8
"""Members of an object or list that count as another: a list of a million texts is one list."""
LENGTH_OF_OTHERS = 8
DEFINITIONS_PER_NODE = 100
"""LiteLLM copies the table of definitions for every object it walks through."""

TABLES = ("$defs", "definitions")

Definitions = Mapping[str, Any]


class SchemasTooLarge(ValueError):
    """Schemas are larger than the limits."""


@dataclass(slots=True)
class Expanded:
    """Schemas with every reference replaced. `referred`: how often each object or list is repeated by references."""

    nodes: float = 0.0
    chars: int = 0
    referred: Counter[int] = field(default_factory=Counter)
    by_id: dict[int, Any] = field(default_factory=dict)

    @property
    def is_too_large(self) -> bool:
        """Whether a limit is passed; the rest was not scanned then."""
        return self.nodes > MOST_NODES or self.chars > MOST_CHARS


def schemas_of(parameters: Mapping[str, Any]) -> list[Any]:
    """The schemas in the parameters of a chat call: of its tools, and of the answer's form."""
    functions = [tool.get("function") for tool in parameters.get("tools") or () if isinstance(tool, Mapping)]
    found = [function.get("parameters") for function in functions if isinstance(function, Mapping)]
    form = (parameters.get("response_format") or {}).get("json_schema")
    if isinstance(form, Mapping):
        found += form.values()
    return [schema for schema in found if isinstance(schema, Mapping | list)]


def check_size(schemas: Iterable[Any]) -> None:
    """Raises: SchemasTooLarge as soon as the schemas are; the work until then is bounded by the limits."""
    if expanded(schemas).is_too_large:
        raise SchemasTooLarge(
            f"The JSON schemas of the request's tools and response format have more than {MOST_NODES} objects and lists, "
            f"or more than {MOST_CHARS} characters, with every $ref replaced by what it refers to. Send fewer tools, or "
            "smaller schemas."
        )


def referred_parts(schemas: Iterable[Any]) -> list[tuple[Any, int]]:
    """The additions by references: names, texts and numbers of an object or list, and their repetitions."""
    found = expanded(schemas)
    return [(_own_values(found.by_id[node]), times) for node, times in found.referred.items()]


def expanded(schemas: Iterable[Any]) -> Expanded:
    """The size of schemas; somewhat more than a limit where they are larger. A reference within itself stays as it is."""
    size = Expanded()
    for schema in schemas:
        _expand(schema, size)
        if size.is_too_large:
            break
    return size


@dataclass(frozen=True, slots=True)
class _Part:
    """An object or list, scanned once however often it is referred to. `node` stays alive, as its id identifies it."""

    node: Any
    is_object: bool
    nodes: float
    chars: int
    reference: str | None
    inner: Sequence[Any]
    has_definitions: bool


def _expand(schema: Any, size: Expanded) -> None:
    parts: dict[int, _Part] = {}
    waiting: list[tuple[Any, Definitions, frozenset[str]]] = [(schema, {}, frozenset())]
    if isinstance(schema, Mapping):  # its definitions are part of it where they are referred to
        main = {name: value for name, value in schema.items() if name not in TABLES}
        waiting = [(main, _with_own({}, schema), frozenset())]
    while waiting and not size.is_too_large:
        node, known, chain = waiting.pop()
        part = parts.get(id(node))
        if part is None:
            part = parts[id(node)] = _part_of(node)
        size.nodes += part.nodes
        size.chars += part.chars
        if chain:
            size.referred[id(node)] += 1
            size.by_id[id(node)] = node
        if part.has_definitions:
            known = _with_own(known, node)
        if part.is_object:
            size.nodes += len(known) / DEFINITIONS_PER_NODE
        name = part.reference
        if name is not None:
            if name in known and name not in chain and isinstance(known[name], Mapping | list):
                waiting.append((known[name], known, chain | {name}))
            continue
        waiting += [(value, known, chain) for value in part.inner]


def _part_of(node: Any) -> _Part:
    is_object = isinstance(node, Mapping)
    reference = node.get("$ref") if is_object else None
    return _Part(
        node=node,
        is_object=is_object,
        nodes=1 + len(node) / MEMBERS_PER_NODE,
        chars=sum(map(_length, _own_values(node))),
        reference=reference.rpartition("/")[2] if isinstance(reference, str) else None,
        inner=[value for value in (node.values() if is_object else node) if isinstance(value, Mapping | list)],
        has_definitions=is_object and any(name in node for name in (*TABLES, "components")),
    )


def _own_values(node: Any) -> list[Any]:
    """Names, texts and numbers of an object or list, without those of what is in it."""
    values = [*node, *node.values()] if isinstance(node, Mapping) else node
    return [value for value in values if not isinstance(value, Mapping | list)]


def _length(value: Any) -> int:
    """About how many characters a name, text or number is written with."""
    if isinstance(value, str):
        return len(value)
    return 1 + value.bit_length() // 3 if isinstance(value, int) else LENGTH_OF_OTHERS


def _with_own(known: Definitions, node: Mapping[str, Any]) -> Definitions:
    """The definitions at a node: its own come before those around it."""
    own = [table for name in TABLES if isinstance(table := node.get(name), Mapping)]
    components = node.get("components")
    if isinstance(components, Mapping) and isinstance(table := components.get("schemas"), Mapping):
        own.append(table)
    return {**known, **{name: value for table in own for name, value in table.items()}} if own else known
