"""libyaml reads what PyYAML reads, and whatever it cannot read is left to PyYAML."""

from pathlib import Path

import pytest
import yaml

from control_plane.model_groups.yaml_source import _fast_tree

FILES = [Path("litellm_config.yaml"), *sorted((Path(__file__).parent / "litellm_files").glob("*.yaml"))]

TEXTS = [
    "u: http://h/p?q=1\n",
    "a: &x [1, 2]\nb: *x\nc: !!str 3\nd: |\n  text\n  more\ne: >-\n  folded\n  lines\n",
    "'é': \"\\u00e9\\n\"\nk: {a: b, c: [d, {e: f}]}\n",
    "? z\n: - 1\n  - 2\n",
    "<<: &m {a: 1}\nx: 0o17\ny: 2024-01-01\nz: ~\nn:\n",
    "- on\n- 1_000\n- 1e3\n- .inf\n- '🙂'\n- 🙂 # a comment\n",
]


def written(node: yaml.Node) -> object:
    """What a tree says, and where."""
    place = (node.tag, node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.MappingNode):
        return place, [(written(key), written(value)) for key, value in node.value]
    return place, [written(each) for each in node.value] if isinstance(node, yaml.SequenceNode) else node.value


@pytest.mark.parametrize(
    "text",
    [*(file.read_text(encoding="utf-8") for file in FILES), *TEXTS],
    ids=[*(file.name for file in FILES), *"abcdef"],
)
def test_both_read_the_same_in_the_same_lines(text: str) -> None:
    fast = _fast_tree(text)
    slow = yaml.SafeLoader(text).get_single_node()
    assert fast is not None
    assert slow is not None
    assert written(fast) == written(slow)


@pytest.mark.parametrize(
    "text",
    [
        "a:\tb",
        "a: 1 # a\tcomment",
        "{a: http://h/p?q=1}",
        "a: ! ",
        "\ufeffa: b",
        "a: [1",
        "a: *x",
        "a: b: c",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
    ],
    ids=["tab", "comment", "question", "tag", "mark", "open", "alias", "twice", "lists", "objects", "items"],
)
def test_what_is_odd_is_left_to_pyyaml(text: str) -> None:
    assert _fast_tree(text) is None
