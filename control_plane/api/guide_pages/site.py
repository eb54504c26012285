"""The guide as it is served: every page rendered once, the search index, and the index for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path
from string import Template
from threading import Lock

from control_plane.api.guide_pages.content import ADDRESS, DECISIONS, LINK, PAGES, Source, sources
from control_plane.api.guide_pages.markdown import Section, parser, render
from control_plane.api.guide_pages.search import MAX_QUERY_CHARS, Entry, excerpt, search, words_of
from control_plane.api.http.static_files import StaticFile

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"
MARKDOWN = "text/markdown; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
INTRODUCTION = "A thin control plane in front of LLMs that bills by job."
LINKED_LEVEL = 2
"""Headings of this level are in a page's table of contents."""


@dataclass(frozen=True, slots=True)
class Guide:
    """`files`: by path. `entries`: what is searched."""

    files: Mapping[str, StaticFile]
    entries: Sequence[Entry]
    style: StaticFile
    frame: "Frame"

    def results(self, query: str) -> str:
        """The HTML page of a search."""
        words = words_of(query)
        hits = search(self.entries, words)
        count = f"{len(hits)} section{'' if len(hits) == 1 else 's'}" if hits else "Nothing"
        items = "".join(
            f'<li><a href="{entry.address}">{escape(_name_of(entry))}</a><p>{excerpt(entry, words)}</p></li>'
            for entry in hits
        )
        shown = query[:MAX_QUERY_CHARS]
        body = f'<h1>Search</h1><p>{count} found for “{escape(shown)}”.</p><ol class="hits">{items}</ol>'
        return self.frame.page("Search", body, query=shown)


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page: header, search form and navigation."""

    template: Template
    navigation: Sequence[tuple[str, Sequence[Source]]]
    style: str

    def page(self, title: str, body: str, *, address: str = "", query: str = "") -> str:
        """The whole HTML page. `body` is HTML, `address` that of the page itself."""
        return self.template.substitute(
            title=escape(title),
            style=self.style,
            query=escape(query),
            most=str(MAX_QUERY_CHARS),
            navigation=self._navigation(address),
            body=body,
        )

    def _navigation(self, address: str) -> str:
        groups = []
        for section, pages in self.navigation:
            shown = pages[:1] if section == DECISIONS and not address.startswith(pages[0].address) else pages
            links = "".join(
                f'<li><a href="{page.address}"{_CURRENT if page.address == address else ""}>{escape(page.title)}</a></li>'
                for page in shown
            )
            groups.append(f"<h2>{escape(section)}</h2><ul>{links}</ul>")
        return "".join(groups)


_CURRENT = ' aria-current="page"'


_rendering = Lock()


def guide() -> Guide:
    """Everything, rendered at the first call, by one of those who wait for it. Takes a second: not for the event loop."""
    with _rendering:
        return _rendered()


@cache
def _rendered() -> Guide:
    pages = sources()
    served = {f"control_plane/{page.file}": page.address for page in pages}
    style = StaticFile.of((FOLDER / "guide.css").read_bytes(), "text/css; charset=utf-8")
    navigation = [(name, [page for page in pages if page.section == name]) for name in (*PAGES, DECISIONS)]
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    frame = Frame(template, navigation, f"{ADDRESS}/assets/{style.version}/guide.css")
    files: dict[str, StaticFile] = {}
    entries: list[Entry] = []
    markdown = parser()
    for page in pages:
        html, sections = render(markdown, page.text, partial(_address, page, served))
        html = html.replace("</p>\n", f"</p>\n{_contents(sections)}", 1)  # behind the description
        files[page.address] = StaticFile.of(frame.page(page.title, html, address=page.address).encode(), HTML)
        files[f"{page.address}.md"] = StaticFile.of(_with_addresses(page, served).encode(), MARKDOWN)
        is_decision = page.section == DECISIONS
        entries += [Entry.of(page.title, section, page.address, is_decision=is_decision) for section in sections]
    files[ADDRESS] = StaticFile.of(frame.page("Guide", _index(navigation), address=ADDRESS).encode(), HTML)
    files["/llms.txt"] = StaticFile.of(_for_machines(navigation).encode(), TEXT)
    return Guide(files, entries, style, frame)


def _address(page: Source, served: Mapping[str, str], link: str) -> str | None:
    if link.startswith(("#", "https:", "http:")):
        return link
    target, _, fragment = link.partition("#")
    address = served.get(page.target_of(target))
    return address and f"{address}{'#' if fragment else ''}{fragment}"


def _with_addresses(page: Source, served: Mapping[str, str]) -> str:
    """The Markdown with links that work from any address."""

    def put(target: str, fragment: str) -> str:
        address = served.get(page.target_of(target)) if target else None
        return f"{address}.md{fragment}" if address else f"{target}{fragment}"

    return LINK.sub(lambda found: put(found["target"] or "", found["fragment"] or ""), page.text)


def _contents(sections: Sequence[Section]) -> str:
    items = [section for section in sections if section.level == LINKED_LEVEL]
    if len(items) < LINKED_LEVEL or items[0].heading == "Context":
        return ""
    links = "".join(f'<li><a href="#{item.anchor}">{escape(item.heading)}</a></li>' for item in items)
    return f'<nav class="contents" aria-label="On this page"><ul>{links}</ul></nav>'


def _index(navigation: Sequence[tuple[str, Sequence[Source]]]) -> str:
    groups = "".join(
        f"<h2>{escape(name)}</h2><dl>"
        + "".join(
            f'<dt><a href="{page.address}">{escape(page.title)}</a></dt><dd>{escape(page.summary)}</dd>'
            for page in (pages[:1] if name == DECISIONS else pages)
        )
        + "</dl>"
        for name, pages in navigation
    )
    return (
        f"<h1>Control plane</h1><p>{INTRODUCTION} Reference of every route: "
        '<a href="/docs">Swagger UI</a>, <a href="/redoc">Redoc</a>, <a href="/openapi.json">OpenAPI</a>. '
        f'For machines: <a href="/llms.txt">llms.txt</a>.</p>{groups}'
    )


def _for_machines(navigation: Sequence[tuple[str, Sequence[Source]]]) -> str:
    lines = ["# Control plane", "", f"> {INTRODUCTION}"]
    for name, pages in navigation:
        lines += ["", f"## {name}", ""]
        lines += [f"- [{page.title}]({page.address}.md){page.summary and f': {page.summary}'}" for page in pages]
    lines += ["", "## Reference", "", "- [OpenAPI](/openapi.json): every route, with schemas, examples and errors."]
    return "\n".join(lines) + "\n"


def _name_of(entry: Entry) -> str:
    return entry.title if entry.section.level == 1 else f"{entry.title}: {entry.section.heading}"
