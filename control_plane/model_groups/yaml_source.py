"""A YAML file as plain values that remember their line. Knows YAML and nothing about what the file means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.reader import ReaderError
from yaml.resolver import Resolver

from control_plane.model_groups.problems import Path, Problems

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]
except ImportError:  # a PyYAML that was built without libyaml
    CParser = None  # type: ignore[misc,assignment]

MAX_VALUES = 100_000
"""A real file has a few thousand; aliases of aliases can claim billions in ten lines."""

KEY = -1
"""In the place of a key itself, and of what stands behind a key that is no text."""

MAX_DEPTH = 64
"""Values are copied and written by recursion, which ends at 255 levels in pydantic. A real file has 10."""


NAMELESS_TAG = re.compile(r"(?<!\S)!(?!\S)")


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file and the line of each: where its key stands, or the list item begins."""

    values: Any
    lines: Mapping[Path, int]


def read_yaml(text: str, problems: Problems) -> Document | None:
    """The file's values with their lines; None when it is not YAML, which is then reported.

    Keys that stand twice are reported (YAML would silently keep the last), and keys that are not text.
    """
    try:
        loader = yaml.SafeLoader(text)
    except ReaderError as error:
        problems.add_at(_line_at(text, error.position), _explain_character(error.character))
        return None
    try:
        node = _fast_tree(text) or loader.get_single_node()
        if node is None:
            return Document(values=None, lines={})
        walk = _Walk(problems)
        walk.visit(node, ())
        if walk.is_endless:
            problems.add_at(1, "the file's aliases (*name) repeat without end; write the values out")
            return None
        if walk.too_deep_at is not None:
            problems.add_at(walk.too_deep_at, f"the file is nested too deeply: more than {MAX_DEPTH} levels")
            return None
        return _construct(loader, node, walk, text, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add_at(mark.line + 1 if mark else 1, _explain(error))
    except yaml.YAMLError:
        problems.add_at(loader.line + 1, "the file holds characters that YAML does not allow")
    except RecursionError:
        problems.add_at(loader.line + 1, f"the file is nested too deeply: more than {MAX_DEPTH} levels")
    except (ValueError, OverflowError):  # while scanning: an escape of no character, such as \U99999999
        problems.add_at(loader.line + 1, "not valid YAML: cannot be read")
    finally:
        loader.dispose()
    return None


if CParser is not None:

    class _FastLoader(Composer, CParser, Resolver):
        """libyaml's events, seven times as fast. The tree is made of them here: libyaml would make it by recursion in C, which
        ends the process where the text is nested deeply.
        """

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            Resolver.__init__(self)


def _fast_tree(text: str) -> yaml.Node | None:
    """The tree of a text that is in order. None: PyYAML reads it, and says what is wrong."""
    if CParser is None or _is_read_otherwise(text):
        return None
    try:
        return _FastLoader(text).get_single_node()
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        return None


def _is_read_otherwise(text: str) -> bool:
    """Whether it has what libyaml allows in more places than PyYAML: tabs, byte order marks, tags without a name, `?` within
    brackets. An edit somewhere else must not decide whether the rest is YAML.
    """
    has_brackets = "{" in text or "[" in text
    return "\t" in text or "\ufeff" in text or ("?" in text and has_brackets) or NAMELESS_TAG.search(text) is not None


def _construct(
    loader: yaml.SafeLoader, node: yaml.Node, walk: "_Walk", text: str, problems: Problems
) -> Document | None:
    """The values of a tree of nodes. PyYAML's constructors raise whatever a text that does not fit its tag leads to."""
    try:
        return Document(values=loader.construct_document(node), lines=walk.found)
    except yaml.YAMLError:
        raise
    except Exception:  # noqa: BLE001 - AttributeError, KeyError, IndexError, OverflowError, ValueError, …
        wrong = next((each for each in walk.scalars if not _is_constructible(each)), node)
        problems.add_at(wrong.start_mark.line + 1, _explain_value(wrong, text))
        return None


def _is_constructible(node: yaml.Node) -> bool:
    loader = yaml.SafeLoader("")
    try:
        loader.construct_object(node)
    except Exception:  # noqa: BLE001 - as above
        return False
    finally:
        loader.dispose()
    return True


class _Walk:
    """Collects the lines of a tree of nodes, before YAML's merge keys and aliases are resolved."""

    def __init__(self, problems: Problems) -> None:
        self.found: dict[Path, int] = {}
        self.scalars: list[yaml.ScalarNode] = []
        self.is_endless = False
        self.too_deep_at: int | None = None
        self._problems = problems
        self._inside: set[int] = set()
        self._visits = 0

    def visit(self, node: yaml.Node, path: Path) -> None:
        """Note the lines of everything in this node. Raises nothing; `is_endless` when aliases lead back or explode."""
        self._visits += 1  # not the places: what is merged with << many times stands in one
        if id(node) in self._inside or self._visits > MAX_VALUES:
            self.is_endless = True
        if self.is_endless or self.too_deep_at is not None:
            return
        line = node.start_mark.line + 1
        if len(self._inside) >= MAX_DEPTH:
            self.too_deep_at = line
            return
        self.found.setdefault(path, line)
        self._inside.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            node.value = joined(node.value)
            self.scalars.append(node)
        elif isinstance(node, yaml.SequenceNode):
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
            self.visit(key, (*path, KEY))
            if key.tag != "tag:yaml.org,2002:str":
                read_as = key.tag.rpartition(":")[2]
                self._problems.add_at(line, f"YAML reads this key as {read_as}, not as text; put it in quotes")
                self.visit(value, (*path, KEY))
                continue
            name = str(key.value)
            if name in seen:
                self._problems.add_at(line, f"the key {name!r} stands twice here, first in line {seen[name]}")
            seen[name] = line
            self.found[(*path, name)] = line
            self.visit(value, (*path, name))


def joined(text: str) -> str:
    r"""The text with surrogate pairs as the characters they stand for: JSON writes 😀 as `"\ud83d\ude00"`."""
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _explain_value(node: yaml.Node, text: str) -> str:
    """The text is not repeated: it may be a secret."""
    mark = node.start_mark
    if text.splitlines()[mark.line][mark.column : mark.column + 1] == "!":
        return "a value does not fit the tag (!!…) in front of it"
    return f"a value is written like a YAML {node.tag.rpartition(':')[2]}, and is none that exists; put it in quotes"


def _explain_character(character: Any) -> str:
    code = ord(character) if isinstance(character, str) else int(character)
    hint = ": was the file written to its end?" if code == 0 else ""
    return f"the file holds the character U+{code:04X}, which YAML does not allow{hint}"


def _explain(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words without its excerpt of the file, which could show a secret."""
    problem = error.problem or error.context or "cannot be read"
    if "alias" in f"{error.context} {problem}":
        name = f"nothing is named {problem.rpartition(' ')[2]}; " if "undefined" in problem else ""
        return f"not valid YAML: {name}a value that begins with * needs quotes, as in \"*\" or '*-demo'"
    if "\\t" in problem:
        return "not valid YAML: indent with spaces, not with a tab"
    return f"not valid YAML: {problem}"
