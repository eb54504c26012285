"""The mistakes found in a configuration file: one sentence each, at its line, and what was probably meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice

Path = tuple[str | int, ...]
"""Where a value stands: `("model_groups", "ResumeAgent", "models", 0)`."""

MAX_PROBLEMS = 100
MAX_SENTENCE = 500
"""Characters. A name in the file may be a megabyte long."""

MAX_CANDIDATES = 2000
MAX_NAME = 200
"""What is compared for `did you mean`; comparing takes as long as the names are long, for each."""

SECRET_LENGTH = 8
"""From here on a value is hidden in the middle of other text too; shorter ones (`eu`, `on`) would tear words apart."""


class Problems:
    """Collects every mistake of one file. One per place: what follows from a mistake is not reported again."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: Mapping[Path, int] = {}
        self._sentences: list[tuple[int, str]] = []
        self._places: set[Path] = set()
        self._hidden: dict[str, str] = {}

    def locate(self, lines: Mapping[Path, int]) -> None:
        """Tell where the values stand; `add` needs it."""
        self._lines = lines

    def add(self, path: Path, sentence: str) -> None:
        """Report what is wrong at a place, unless something was reported there already."""
        if path in self._places:
            return
        self._places.add(path)
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        self.add_at(self._lines.get(known, 1), sentence)

    def add_at(self, line: int, sentence: str) -> None:
        """Report what is wrong in a line of the file, counted from 1."""
        self._sentences.append((line, sentence))

    def hide(self, value: str, name: str) -> None:
        """Say `name` wherever a sentence would show this value, which came from the environment and may be a secret."""
        self._hidden[value] = name

    def sentences(self) -> list[str]:
        """`file:line: what is wrong`, by line."""
        by_line = list(dict.fromkeys(sorted(self._sentences, key=lambda found: found[0])))
        told = [
            _printable(f"{self._file}:{line}: {_short(self._without_hidden(sentence))}")
            for line, sentence in by_line[:MAX_PROBLEMS]
        ]
        more = len(by_line) - len(told)
        return [*told, *([f"{self._file}: and {more} more mistakes"] if more else [])]

    def _without_hidden(self, sentence: str) -> str:
        for value, name in self._hidden.items():
            sentence = sentence.replace(repr(value), repr(name))
            if len(value) >= SECRET_LENGTH:
                sentence = sentence.replace(value, name)
        return sentence


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
