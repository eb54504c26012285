"""A YAML file as plain values that remember their line. Knows YAML and nothing about what the file means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from control_plane.model_groups.problems import Path, Problems

MAX_VALUES = 100_000
"""A real file has a few thousand; aliases of aliases can claim billions in ten lines."""


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file and the line of each: where its key stands, or the list item begins."""

    values: Any
    lines: Mapping[Path, int]


def read_yaml(text: str, problems: Problems) -> Document | None:
    """The file's values with their lines; None when it is not YAML, which is then reported.

    Keys that stand twice are reported (YAML would silently keep the last), and keys that are not text.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(values=None, lines={})
        lines = _Walk(problems)
        lines.visit(node, ())
        if lines.is_endless:
            problems.add_at(1, "the file's aliases (*name) repeat without end; write the values out")
            return None
        return Document(values=loader.construct_document(node), lines=lines.found)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add_at(mark.line + 1 if mark else 1, _explain(error))
    except yaml.YAMLError:
        problems.add_at(1, "the file holds characters that YAML does not allow")
    except RecursionError:
        problems.add_at(1, "the file is nested too deeply")
    except ValueError:  # a tag such as !!int or !!timestamp in front of something else; the text may be a secret
        problems.add_at(1, "a value does not fit the tag (!!…) in front of it")
    finally:
        loader.dispose()
    return None


class _Walk:
    """Collects the lines of a tree of nodes, before YAML's merge keys and aliases are resolved."""

    def __init__(self, problems: Problems) -> None:
        self.found: dict[Path, int] = {}
        self.is_endless = False
        self._problems = problems
        self._inside: set[int] = set()

    def visit(self, node: yaml.Node, path: Path) -> None:
        """Note the lines of everything in this node. Raises nothing; `is_endless` when aliases lead back or explode."""
        if id(node) in self._inside or len(self.found) > MAX_VALUES:
            self.is_endless = True
        if self.is_endless:
            return
        self.found.setdefault(path, node.start_mark.line + 1)
        self._inside.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path)
        self._inside.discard(id(node))

    def _visit_mapping(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                self.visit(value, path)
                continue
            if key.tag != "tag:yaml.org,2002:str":
                read_as = key.tag.rpartition(":")[2]
                self._problems.add_at(line, f"YAML reads this key as {read_as}, not as text; put it in quotes")
                continue
            name = str(key.value)
            if name in seen:
                self._problems.add_at(line, f"the key {name!r} stands twice here, first in line {seen[name]}")
            seen[name] = line
            self.found[(*path, name)] = line
            self.visit(value, (*path, name))


def _explain(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words without its excerpt of the file, which could show a secret."""
    problem = error.problem or error.context or "cannot be read"
    if "alias" in f"{error.context} {problem}":
        name = f"nothing is named {problem.rpartition(' ')[2]}; " if "undefined" in problem else ""
        return f"not valid YAML: {name}a value that begins with * needs quotes, as in \"*\" or '*-demo'"
    if "\\t" in problem:
        return "not valid YAML: indent with spaces, not with a tab"
    return f"not valid YAML: {problem}"
