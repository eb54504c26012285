"""The guide is served to everybody, rendered from the repository's Markdown, with a search and an index for machines."""

import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from threading import Barrier

import httpx
import pytest

from control_plane.api.guide_pages.content import PACKAGE, sources
from control_plane.api.guide_pages.markdown import parser, render
from control_plane.api.guide_pages.search import MAX_HITS, MAX_QUERY_CHARS, words_of
from control_plane.api.guide_pages.site import _rendered, guide

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Links(HTMLParser):
    """What a page links to, and the anchors it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found["id"] or ""} if "id" in found else set()
        if tag in {"a", "link"}:
            self.links.append(found["href"] or "")


@sqlite_only
async def test_every_page_is_served_without_a_key_and_names_no_other_host(api: httpx.AsyncClient) -> None:
    addresses = ["/guide", *(page.address for page in sources())]
    assert len(addresses) > 70
    for address in addresses:
        answer = await api.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), address
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["style-src"] == policy["form-action"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"
        assert not re.search(
            r"<script|<img|<style|\sstyle=|\son\w+=|(?:src|href)=\"https?://(?!docs\.litellm)", answer.text
        ), address


@sqlite_only
async def test_every_link_of_the_guide_leads_to_a_page_and_a_heading(api: httpx.AsyncClient) -> None:
    pages = {
        path: Links(file.body.decode())
        for path, file in guide().files.items()
        if file.media_type.startswith("text/html")
    }
    elsewhere = {
        link for page in pages.values() for link in page.links if not link.startswith(("#", "data:", "https:"))
    }
    for link in elsewhere:
        path, _, anchor = link.partition("#")
        if path in pages:
            assert not anchor or anchor in pages[path].anchors, link
        else:
            assert (await api.get(link)).status_code == 200, link
    for path, page in pages.items():
        assert {link[1:] for link in page.links if link.startswith("#")} <= page.anchors, path


@sqlite_only
async def test_a_page_is_compressed_and_loaded_once(api: httpx.AsyncClient) -> None:
    page = await api.get("/guide/billing", headers={"Accept-Encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert '<h2 id="budget-modes">Budget modes</h2>' in page.text
    again = await api.get("/guide/billing", headers={"Accept-Encoding": "gzip", "If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    style = re.search(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert style is not None
    found = await api.get(style[1])
    assert "immutable" in found.headers["cache-control"]
    assert (await api.get("/guide/assets/0000/guide.css")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/guide/nothing", "/guide/README", "/guide/..%2f..%2fsettings.py", "/guide/decisions/D99-x"]
)
@sqlite_only
async def test_there_is_no_other_file_of_the_server(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 404


@sqlite_only
async def test_a_search_finds_the_section_and_marks_the_words(api: httpx.AsyncClient) -> None:
    answer = await api.get("/guide", params={"q": "Worst-Case holds"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    first = re.search(r'<li><a href="([^"]+)">([^<]+)</a><p>(.*?)</p>', answer.text)
    assert first is not None
    assert (first[1], first[2]) == ("/guide/billing#worst-case-holds", "Billing: Worst-case holds")
    code = (await api.get("/guide", params={"q": "job_cap_reached"})).text
    assert "<mark>job_cap_reached</mark>" in code
    assert "/guide/errors#money" in code
    assert "Nothing found" in (await api.get("/guide", params={"q": "no-such-word-here"})).text


@sqlite_only
async def test_a_query_is_bounded_and_shown_as_text(api: httpx.AsyncClient) -> None:
    answer = await api.get("/guide", params={"q": "<script>alert(1)</script>\"' onfocus=x"})
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert '" onfocus' not in answer.text
    long = await api.get("/guide", params={"q": "x" * 5000})
    assert "x" * (MAX_QUERY_CHARS + 1) not in long.text
    many = await api.get("/guide", params={"q": "the"})
    assert many.text.count('<li><a href="/guide/') - many.text.split("<nav id=")[1].count("<li>") == MAX_HITS
    assert words_of("a " * 100) == []
    assert len(words_of(" ".join(f"w{number}" for number in range(100)))) == 8


@sqlite_only
async def test_machines_get_a_list_of_the_pages_and_their_markdown(api: httpx.AsyncClient) -> None:
    listed = await api.get("/llms.txt")
    assert listed.headers["content-type"] == "text/plain; charset=utf-8"
    found = dict(re.findall(r"^- \[[^]]+]\((/\S+)\)(?:: (.+))?$", listed.text, re.MULTILINE))
    assert found.keys() == {f"{page.address}.md" for page in sources()} | {"/openapi.json"}
    assert all(description for path, description in found.items() if "/decisions/" not in path)
    page = await api.get("/guide/limits.md")
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert page.text.startswith("# Limits\n")
    assert "](/guide/files.md)" in page.text
    for path in set(re.findall(r"]\((/[^)#]+)", page.text)):
        assert (await api.get(path)).status_code == 200, path
    assert (PACKAGE / "guide" / "limits.md").read_text(encoding="utf-8").count("\n") == page.text.count("\n")


def test_html_in_a_page_is_shown_as_text() -> None:
    html, _ = render(parser(), "# T\n\n<b onclick=x>1</b> [x](javascript:alert(1))\n", lambda link: link)
    assert "<b" not in html
    assert "href" not in html


def test_many_first_visitors_have_the_guide_rendered_once() -> None:
    _rendered.cache_clear()
    together = Barrier(4)

    def visit(_number: int) -> int:
        together.wait()
        return id(guide())

    with ThreadPoolExecutor(4) as visitors:
        assert len(set(visitors.map(visit, range(4)))) == 1
