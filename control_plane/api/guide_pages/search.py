"""Search over the guide's sections: every word of the query must occur. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from control_plane.api.guide_pages.markdown import Section

MAX_QUERY_CHARS = 100
"""The rest of a longer query is ignored."""
MAX_WORDS = 8
MIN_WORD_CHARS = 2
MAX_HITS = 20
EXCERPT_CHARS = 240
OF_HEADING, OF_TITLE, MOST_OF_TEXT = 20, 10, 5
"""What an occurrence weighs; occurrences in the text count up to a maximum, so that long sections do not always win."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A section of a page, with the lower-case text that is searched."""

    title: str
    section: Section
    address: str
    is_decision: bool
    lowered: str

    @classmethod
    def of(cls, title: str, section: Section, address: str, *, is_decision: bool) -> "Entry":
        """`address`: of the page."""
        lowered = f"{title}\n{section.heading}\n{section.text}".lower()
        return cls(title, section, f"{address}#{section.anchor}", is_decision, lowered)


def words_of(query: str) -> Sequence[str]:
    """The words that are searched for."""
    words = dict.fromkeys(query[:MAX_QUERY_CHARS].lower().split())
    return [word for word in words if len(word) >= MIN_WORD_CHARS][:MAX_WORDS]


def search(entries: Sequence[Entry], words: Sequence[str]) -> Sequence[Entry]:
    """Sections with all the words, the best first; guides before decisions."""
    if not words:
        return []
    found = [entry for entry in entries if all(word in entry.lowered for word in words)]
    return sorted(found, key=lambda entry: (entry.is_decision, -_weight(entry, words)))[:MAX_HITS]


def _weight(entry: Entry, words: Sequence[str]) -> int:
    heading, title = entry.section.heading.lower(), entry.title.lower()
    return sum(
        OF_HEADING * (word in heading) + OF_TITLE * (word in title) + min(entry.lowered.count(word), MOST_OF_TEXT)
        for word in words
    )


def excerpt(entry: Entry, words: Sequence[str]) -> str:
    """HTML of the text around the first word found, with all words marked."""
    text = entry.section.text
    lowered = text.lower()
    places = [place for word in words if (place := lowered.find(word)) >= 0]
    before = min(places, default=0) - EXCERPT_CHARS // 3
    start = text.find(" ", before, before + EXCERPT_CHARS // 3) + 1 if before > 0 else 0
    cut = text[start : start + EXCERPT_CHARS]
    return f"{'… ' if start else ''}{_marked(cut, words)}{' …' if start + EXCERPT_CHARS < len(text) else ''}"


def _marked(text: str, words: Sequence[str]) -> str:
    lowered = text.lower()
    html, place = [], 0
    while place < len(text):
        hits = [(at, -len(word), word) for word in words if (at := lowered.find(word, place)) >= 0]
        if len(lowered) != len(text) or not hits:
            break
        at, _, word = min(hits)
        html.append(f"{escape(text[place:at])}<mark>{escape(text[at : at + len(word)])}</mark>")
        place = at + len(word)
    return "".join(html) + escape(text[place:])
