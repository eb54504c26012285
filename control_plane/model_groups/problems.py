"""Mistakes in a configuration file: one sentence each, at its line, with the probable intent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Literal

Severity = Literal["error", "warning"]

Path = tuple[str | int, ...]
"""The path of a value: `("model_groups", "ResumeAgent", "models", 0)`."""

MAX_PROBLEMS = 100
MAX_SENTENCE = 500
"""Characters. A name in the file may be a megabyte long."""

MAX_CANDIDATES = 2000
MAX_NAME = 200
"""Characters compared for `did you mean`; the time grows with the names' length."""

SECRET_LENGTH = 8
"""From here on a value is hidden in the middle of other text too; shorter ones (`eu`, `on`) would tear words apart."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, or a warning, of a file. `line` counts from 1; `path` as in `model_list[0].litellm_params.model`."""

    severity: Severity
    file: str
    line: int | None
    path: str
    message: str

    @property
    def sentence(self) -> str:
        """`file:line: what is wrong`."""
        return f"{self.file}: {self.message}" if self.line is None else f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Found:
    severity: Severity
    line: int | None
    path: Path
    message: str


class Problems:
    """Collects every mistake of one file. One per place: what follows from a mistake is not reported again."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: Mapping[Path, int] = {}
        self._found: list[_Found] = []
        self._places: set[Path] = set()
        self._assumed: set[Path] = set()
        self._hidden: dict[str, str] = {}

    def locate(self, lines: Mapping[Path, int]) -> None:
        """Set the lines of the values; `add` needs them."""
        self._lines = lines

    def assume(self, path: Path) -> None:
        """The value at this place is not known, only assumed: nothing is reported of it."""
        self._assumed.add(path)

    def is_assumed(self, path: Path) -> bool:
        """Whether the value at this place is not known."""
        return path in self._assumed

    def add(self, path: Path, sentence: str) -> None:
        """Report what is wrong at a place, unless something was reported there already."""
        if path in self._places or path in self._assumed:
            return
        self._places.add(path)
        self._found.append(_Found("error", self._line_of(path), path, sentence))

    def add_at(self, line: int | None, sentence: str) -> None:
        """Report what is wrong in a line of the file, counted from 1; None: of the file as a whole."""
        self._found.append(_Found("error", line, (), sentence))

    def warn(self, path: Path, sentence: str) -> None:
        """Report what does not keep the file from being used."""
        self._found.append(_Found("warning", self._line_of(path), path, sentence))

    def _line_of(self, path: Path) -> int:
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        return self._lines.get(known, 1)

    def hide(self, value: str, name: str) -> None:
        """Show `name` wherever a sentence would show this value, which came from the environment and may be a secret."""
        self._hidden[value] = name

    def findings(self, severity: Severity) -> Sequence[Finding]:
        """Those of one severity, by line; the last one counts those that are too many."""
        once: dict[tuple[int | None, str], _Found] = {}
        for found in self._found:
            if found.severity == severity:
                once.setdefault((found.line, found.message), found)
        by_line = sorted(once.values(), key=_line)
        shown = [self._finding(found) for found in by_line[:MAX_PROBLEMS]]
        more = len(by_line) - len(shown)
        what = "mistakes" if severity == "error" else "warnings"
        return [*shown, *([Finding(severity, self._file, None, "", f"and {more} more {what}")] if more else [])]

    def _finding(self, found: _Found) -> Finding:
        message = _printable(_short(self._without_hidden(found.message)))
        return Finding(found.severity, _printable(self._file), found.line, _printable(_written(found.path)), message)

    def _without_hidden(self, sentence: str) -> str:
        for value, name in self._hidden.items():
            sentence = sentence.replace(repr(value), repr(name))
            if len(value) >= SECRET_LENGTH:
                sentence = sentence.replace(value, name)
        return sentence


def _line(found: _Found) -> int:
    return found.line or 0


def _written(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return _short("".join(steps).removeprefix("."))


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SENTENCE else f"{sentence[:MAX_SENTENCE]} …"


def _printable(sentence: str) -> str:
    """As a terminal and JSON can show it, whatever characters a name in the file is made of."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in sentence)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is most like this one, if any is; case does not matter.

    A name with other digits is another thing and no typo: gpt-4 is not what gpt-5 was meant to be.
    """
    if len(name) > MAX_NAME:
        return None
    near = (each for each in islice(known, MAX_CANDIDATES) if len(each) <= MAX_NAME and _digits(each) == _digits(name))
    by_lower = {each.lower(): each for each in near}
    match = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[match[0]] if match else None


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean 'models'?`, or nothing when no known name is near."""
    match = nearest(name, known, cutoff=cutoff)
    return f"; did you mean {match!r}?" if match else ""
