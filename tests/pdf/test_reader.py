"""The text of PDFs, and what becomes of PDFs that were made to do harm."""

import asyncio
import io

import pytest
from pypdf import PdfReader as Library
from pypdf import PdfWriter

from control_plane.errors import FileRefused
from control_plane.pdf.reader import PdfReader, PdfText
from tests.support.patience import PATIENCE_S
from tests.support.pdfs import bomb, pdf, pdf_of, scan, slow


def reader(*, max_pages: int = 10, timeout_s: float = PATIENCE_S) -> PdfReader:
    return PdfReader(max_pages=max_pages, timeout_s=timeout_s)


async def read(content: bytes, *, max_pages: int = 10, max_chars: int = 1000, timeout_s: float = PATIENCE_S) -> PdfText:
    return await reader(max_pages=max_pages, timeout_s=timeout_s).text(
        content, "a.pdf", max_chars=max_chars, team="acme"
    )


async def test_text_is_read_page_by_page() -> None:
    assert await read(pdf("Invoice 42", "Total: 7 EUR")) == PdfText(2, ["Invoice 42", "Total: 7 EUR"])
    assert await reader().count(pdf("one", "two", "three"), "a.pdf", team="acme") == 3


async def test_a_scan_has_no_text() -> None:
    assert await read(scan(2)) == PdfText(2, ["", ""])


async def test_only_so_many_pages_and_characters_are_read() -> None:
    many = pdf(*(f"page {number}" for number in range(10_000)))
    found = await read(many, max_pages=3)
    assert (found.pages, found.texts) == (10_000, ["page 0", "page 1", "page 2"])
    cut = await read(pdf("x" * 600, "y" * 600, "z"), max_chars=1000)
    assert (list(map(len, cut.texts)), cut.is_cut) == ([600, 400], True)


@pytest.mark.parametrize("name", [b"/Encrypt", b"/Encr#79pt"], ids=["plain", "escaped"])
@pytest.mark.parametrize("password", ["", "secret"])
async def test_a_protected_pdf_is_read_if_it_opens_without_a_password(password: str, name: bytes) -> None:
    writer = PdfWriter(clone_from=Library(io.BytesIO(pdf("Hidden"))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    made = io.BytesIO()
    writer.write(made)
    content = made.getvalue().replace(b"/Encrypt", name)
    assert name in content
    if password:
        with pytest.raises(FileRefused, match=r"'a\.pdf' is protected by a password"):
            await read(content)
    else:
        assert (await read(content)).texts == ["Hidden"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.4",
        b"%PDF-1.7\n" + b"\xff" * 10_000,
        pdf("x")[:200],
        b"PK\x03\x04 a zip file",
        pdf("x").replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"),
    ],
    ids=["empty", "only a header", "noise", "cut off", "a zip file", "pages that hold themselves"],
)
async def test_what_is_no_pdf_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(FileRefused, match=r"'a\.pdf' (is not a PDF|needs more memory)"):
        await read(content)


@pytest.mark.parametrize("layers", [1, 2], ids=["once", "twice"])
async def test_a_bomb_takes_only_its_page(layers: int) -> None:
    content = bomb(1000, layers)
    assert len(content) < 1_100_000
    found = await read(content)
    assert (found.pages, found.texts, found.unreadable) == (1, [""], 1)


async def test_more_memory_than_allowed_ends_the_reader_alone() -> None:
    small = PdfReader(max_pages=10, timeout_s=PATIENCE_S, memory_bytes=100_000_000)
    with pytest.raises(FileRefused, match="needs more memory or time"):
        await small.text(bomb(70), "a.pdf", max_chars=10, team="acme")


async def test_a_pdf_that_takes_too_long_is_given_up() -> None:
    content = slow()
    with pytest.raises(FileRefused, match="takes longer than 1 seconds to read"):
        await read(content, timeout_s=1)


async def test_who_stops_waiting_ends_the_reader() -> None:
    task = asyncio.create_task(read(slow()))
    await asyncio.sleep(0.5)  # it is reading, or about to: either way it must not stay
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_page_that_is_broken_does_not_take_the_others_along() -> None:
    line = b"BT /F1 12 Tf 72 720 Td (Here) Tj ET"
    found = await read(pdf_of([("", line), ("/Filter /Nonsense", b"x"), ("", line)]))
    assert (found.texts, found.unreadable) == (["Here", "", "Here"], 1)
