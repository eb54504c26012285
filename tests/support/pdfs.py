"""PDFs for tests, honest and hostile, made byte by byte."""

import zlib
from collections.abc import Sequence

Stream = tuple[str, bytes]
"""A content stream: further entries of its dictionary, and its bytes."""


def pdf(*texts: str) -> bytes:
    """A PDF with one line of text on each page."""
    return pdf_of([("", f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()) for text in texts])


def scan(pages: int = 2) -> bytes:
    """A PDF whose pages hold no text, as scanned ones."""
    return pdf_of([("", b"0 0 100 100 re f")] * pages)


def bomb(megabytes: int, layers: int = 1) -> bytes:
    """A PDF of a few kilobytes whose only page unpacks to that much."""
    content = b"\0" * megabytes * 1_000_000
    for _ in range(layers):
        content = zlib.compress(content, 9)
    return pdf_of([(f"/Filter [{'/FlateDecode ' * layers}]", content)])


def slow(operators: int = 8_000_000) -> bytes:
    """A PDF whose only page takes minutes to read."""
    content = zlib.compress(b"BT /F1 12 Tf " + b"(a) Tj " * operators + b"ET", 9)
    return pdf_of([("/Filter /FlateDecode", content)])


def pdf_of(streams: Sequence[Stream], *, trailer: str = "") -> bytes:
    """A PDF with a page for each content stream."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, (entries, content) in enumerate(streams):
        page = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>"
        )
        head = f"<< /Length {len(content)} {entries} >>\nstream\n"
        objects += [page.encode(), head.encode() + content + b"\nendstream"]
    made = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(made))
        made += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table
    made += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{end}\n%%EOF\n".encode()
    return bytes(made)


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 40
