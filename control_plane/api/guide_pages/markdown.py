"""Markdown as HTML: headings get GitHub's anchors, links lead to served pages, raw HTML is shown as text."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

Resolve = Callable[[str], str | None]
"""The address that a link leads to; None for a file that is not served."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the plain text below it, for the table of contents and the search. `level` 1 is the title."""

    level: int
    heading: str
    anchor: str
    text: str


def parser() -> MarkdownIt:
    """CommonMark with tables. Tables and code scroll on narrow screens, and can be focused to scroll with keys."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    markdown.add_render_rule("fence", _fence)
    return markdown


def _fence(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>\n'


def render(markdown: MarkdownIt, text: str, resolve: Resolve) -> tuple[str, Sequence[Section]]:
    """The page's HTML and its sections."""
    tokens = markdown.parse(text)
    sections = _sections(tokens)
    for token in tokens:
        for child in token.children or ():
            _link(child, resolve)
        if token.type == "inline":
            token.children = list(_without_dead_links(token.children or ()))
    return str(markdown.renderer.render(tokens, markdown.options, {})), sections


def _sections(tokens: Sequence[Token]) -> Sequence[Section]:
    """Gives each heading its anchor."""
    found: list[Section] = []
    texts: list[str] = []
    used: dict[str, int] = {}
    level, heading, anchor = 0, "", ""

    def end() -> None:
        if level:
            found.append(Section(level, heading, anchor, " ".join(" ".join(texts).split())))
        texts.clear()

    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            end()
            level, heading = int(token.tag[1:]), plain(tokens[index + 1])
            anchor = slug(heading, used)
            token.attrSet("id", anchor)
        elif token.type == "inline" and tokens[index - 1].type != "heading_open":
            texts.append(plain(token))
        elif token.type in {"fence", "code_block"}:
            texts.append(token.content)
    end()
    return found


def plain(inline: Token) -> str:
    """The text of a paragraph, a cell or a heading, without its markup."""
    return "".join(" " if child.type == "softbreak" else child.content for child in inline.children or ())


def slug(heading: str, used: dict[str, int]) -> str:
    """GitHub's anchor of a heading; the second of the same name ends with -1."""
    base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    used[base] = used.get(base, -1) + 1
    return f"{base}-{used[base]}" if used[base] else base


def _link(token: Token, resolve: Resolve) -> None:
    if token.type != "link_open":
        return
    address = resolve(str(token.attrGet("href") or ""))
    if address is None:
        token.meta["file"] = str(token.attrGet("href"))
    else:
        token.attrSet("href", address)


def _without_dead_links(children: Sequence[Token]) -> Iterator[Token]:
    """Links to files that are not served become their text and the file's path in the repository."""
    file = ""
    for child in children:
        if child.type == "link_open" and "file" in child.meta:
            file = child.meta["file"]
        elif child.type == "link_close" and file:
            yield Token("text", "", 0, content=f" ({file.partition('#')[0].removeprefix('../../')})")
            file = ""
        else:
            yield child
