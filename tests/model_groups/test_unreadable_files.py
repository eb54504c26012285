"""A file that is damaged, hostile or no YAML at all is refused in a sentence, with the line where there is one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from control_plane.cli.config import config_app
from control_plane.errors import InvalidConfig
from control_plane.model_groups.config import MAX_BYTES, load_catalog

GOOD = b"""\
model_list:
  - model_name: m
    litellm_params: {model: openai/gpt-4o, api_key: k}
model_groups:
  G: {models: [m], description: D}
"""


def bomb(link: bytes) -> bytes:
    """Ten lines that stand for billions of values; `link` ties a line to nine times the one before."""
    lines = [b"a: &a {x: 1}"]
    for code in range(ord("b"), ord("l")):
        before = b",".join([b"*" + bytes([code - 1])] * 9)
        lines.append(bytes([code]) + b": &" + bytes([code]) + b" " + link.replace(b"@", before))
    return b"\n".join(lines)


REFUSED = {
    "U+0000": (b"a: 1\nb: \0\n", ":2: the file holds the character U+0000"),
    "zeros, as after a power cut": (b"\0" * 5000, ":1: the file holds the character U+0000"),
    "ESC": (b"a:\n  b: \x1b[0m\n", ":2: the file holds the character U+001B"),
    "Latin-1": (b"a: 1\nb: \xff\n", ":2: the file is not UTF-8 text"),
    "UTF-16": ("a: 1".encode("utf-16"), ":1: the file is not UTF-8 text"),
    "no timestamp": (b"a: 1\nb: !!timestamp x\n", ":2: a value does not fit the tag"),
    "no day": (b"a: 1\nb: 2001-13-45\n", ":2: a value is written like a YAML timestamp, and is none that exists"),
    "no bool": (b"a: !!bool x\n", ":1: a value does not fit the tag"),
    "no int": (b"a: !!int ''\n", ":1: a value does not fit the tag"),
    "no int that Python reads": (b"a: " + b"9" * 5000, ":1: a value is written like a YAML int"),
    "no character": (b'a: "\\U99999999"\n', ":1: not valid YAML"),
    "nested by brackets": (b"a: " + b"[" * 3000, "nested too deeply"),
    "nested by indenting": (b"- " * 3000, "nested too deeply"),
    "nested in what is handed on": (
        GOOD.replace(b"description: D", b"defaults: {tools: [{a: " + b"[" * 90 + b"]" * 90 + b"}]}"),
        ":5: the file is nested too deeply",
    ),
    "aliases of aliases": (bomb(b"[@]"), "aliases (*name) repeat without end"),
    "merges of merges": (bomb(b"{<<: [@]}"), "aliases (*name) repeat without end"),
    "merges behind a number": (bomb(b"{1: {<<: [@]}}"), "aliases (*name) repeat without end"),
    "merges in a key": (bomb(b"{? {<<: [@]} : 1}"), "aliases (*name) repeat without end"),
    "merged with itself": (b"a: &a\n  <<: *a\n", "aliases (*name) repeat without end"),
    "half a character": (GOOD.replace(b": D", b': "\\ud83d"'), ":5: a text here holds U+D83D"),
    "half a character in a name": (GOOD.replace(b"  G:", b'  "G\\ud83d":'), ":5: a text here holds U+D83D"),
    "half a character beside a typo": (GOOD + b'"x\\ud83d": 1\n', ":6: a text here holds U+D83D"),
    "half a character, of the proxy": (GOOD + b'general_settings: {x: "\\ud83d"}\n', ":6: a text here holds U+D83D"),
    "U+0000 in a group's name": (GOOD.replace(b"  G:", b'  "G\\0":'), ":5: a text here holds U+0000"),
    "U+0000 in a variable": (GOOD + b'environment_variables: {A: "a\\0b"}\n', ":6: a text here holds U+0000"),
    "U+0000 from a secret's file": (
        GOOD.replace(b"api_key: k", b"api_key: os.environ/KEY"),
        ":3: a text here holds U+0000",
    ),
    "a variable without a name": (GOOD + b'environment_variables: {"": a}\n', ":6: the name of a variable"),
    "a variable with =": (GOOD + b'environment_variables: {"A=B": a}\n', ":6: the name of a variable"),
    "a variable's file with U+0000": (
        GOOD.replace(b": k", b": os.environ/A") + b'environment_variables: {A_FILE: "x\\0"}\n',
        ":3: the file",
    ),
    "a date that a provider would get": (
        GOOD.replace(b": k", b": k, some_version: 2024-01-01"),
        ":3: YAML reads a value here as date, not as text; put it in quotes",
    ),
    "bytes that a provider would get": (
        GOOD.replace(b": k", b": k, x: !!binary aGVsbG8="),
        ":3: YAML reads a value here as bytes",
    ),
    "no number": (GOOD.replace(b": k", b": k, x: [.nan]"), ":3: a value must be a finite number"),
    "more than is read": (b"#" * (MAX_BYTES + 1), "the file is larger than"),
}


def problems(file: Path) -> list[str]:
    secret = file.parent / "secret"
    secret.write_bytes(b"sk-\0")
    with pytest.raises(InvalidConfig) as refusal:
        load_catalog(file, {"KEY_FILE": str(secret)})
    found: list[str] = refusal.value.facts["problems"]
    return found


@pytest.mark.parametrize(("content", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    found = problems(file)
    assert any(expected in problem for problem in found), found
    assert all(problem.isprintable() for problem in found)
    assert all("not foreseen" not in problem for problem in found)


@pytest.mark.parametrize(("content", "expected"), REFUSED.values(), ids=REFUSED)
def test_the_check_prints_it_without_a_traceback(
    tmp_path: Path, content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, secret = tmp_path / "file.yaml", tmp_path / "secret"
    file.write_bytes(content)
    secret.write_bytes(b"sk-\0")
    monkeypatch.setenv("KEY_FILE", str(secret))
    ran = CliRunner().invoke(config_app, ["check", str(file)])
    assert (ran.exit_code, expected in ran.output) == (1, True), ran.output
    assert isinstance(ran.exception, SystemExit)


def test_what_is_no_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path}: the file cannot be read: Is a directory"]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "Too many levels of symbolic links" in problems(loop)[0]
    assert "is larger than" in problems(Path("/dev/zero"))[0]


def test_a_pair_of_escapes_as_json_writes_them_is_one_character(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(GOOD.replace(b": D", b': "\\ud83d\\ude00"'))
    assert load_catalog(file, {}).groups["G"].description == "😀"


def test_a_thousand_mistakes_are_told_in_an_answer_of_bounded_size(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(b"model_list:\n" + b"- {model_name: aaa, x: 1}\n" * 1000 + b"? " + b"x" * 1000 + b"\n: 1\n")
    found = problems(file)
    assert len(found) == 101
    assert found[-1].endswith("more mistakes")
    assert max(map(len, found)) < 1000
