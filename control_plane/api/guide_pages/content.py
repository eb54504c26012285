"""The guide's sources: Markdown files of `control_plane/guide/` and `control_plane/decisions/`, and their addresses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PACKAGE = Path(__file__).parents[2]
ADDRESS = "/guide"

PAGES: Mapping[str, Sequence[str]] = {
    "Start": ("concepts", "sdks"),
    "Call": ("apis", "respond", "browsers", "files", "errors", "cache"),
    "Bill": ("billing", "credits", "reconciliation"),
    "Configure": ("model-groups", "limits", "access", "settings"),
    "Run": ("operations", "performance", "observability"),
}
"""Names of the guide's pages, by section of the index."""
DECISIONS = "Decisions"

LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)?(?P<fragment>#[^)\s]*)?(?=\))")
"""Target and fragment of a link to another file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A page as it is written: a title, one paragraph of description, then sections. `file`: relative to the package."""

    section: str
    file: PurePosixPath
    title: str
    summary: str
    text: str

    @property
    def address(self) -> str:
        """The path it is served at: `/guide/concepts`; `/guide/decisions` for that folder's README."""
        folder = "" if self.file.parts[0] == "guide" else f"/{self.file.parts[0]}"
        return f"{ADDRESS}{folder}" if self.file.stem == "README" else f"{ADDRESS}{folder}/{self.file.stem}"

    def target_of(self, link: str) -> str:
        """The file that a relative link leads to, relative to the repository."""
        parts: list[str] = ["control_plane", *self.file.parent.parts]
        for part in PurePosixPath(link).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return "/".join(parts)


def sources() -> Sequence[Source]:
    """Every page, in the order of the index. Reads some 80 files: not for the event loop."""
    pages = [_source(name, f"guide/{page}.md") for name, section in PAGES.items() for page in section]
    decisions = sorted(path.name for path in (PACKAGE / "decisions").glob("D*.md"))
    return [*pages, *(_source(DECISIONS, f"decisions/{name}") for name in ("README.md", *decisions))]


def _source(section: str, file: str) -> Source:
    text = (PACKAGE / file).read_text(encoding="utf-8")
    title, first, *_ = (part.strip() for part in re.split(r"\n{2,}|\n(?=#)", text) if part.strip())
    summary = "" if first.startswith("#") else " ".join(first.split())
    return Source(section, PurePosixPath(file), title.removeprefix("# "), summary, text)
