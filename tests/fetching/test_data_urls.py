"""A file in a data URL is read as browsers read it, however mail, PHP or a form wrote it."""

import base64

import pytest

from control_plane.errors import FileRefused
from control_plane.fetching.data_urls import as_written_by_us, content_of, data_url, is_data_url, said_kind

CONTENTS = [b"%PDF-1.7 x", b"%PDF-1.7 xy", b"%PDF-1.7 xyz", bytes(range(256)) * 3]


def written(content: bytes) -> dict[str, str]:
    """The same file as clients write it."""
    text = base64.b64encode(content).decode()
    return {
        "plain": f"data:application/pdf;base64,{text}",
        "other case": f"DATA:Application/PDF;Base64,{text}",
        "line breaks, as MIME has them": "data:application/pdf;base64," + base64.encodebytes(content).decode(),
        "line breaks of Windows": "data:application/pdf;base64," + "\r\n".join([text[:4], text[4:], ""]),
        "spaces and tabs": f"data:application/pdf;base64, {text[:3]} {text[3:]}\t",
        "without padding": f"data:application/pdf;base64,{text.rstrip('=')}",
        "blanks in the head": f"data: application/pdf ; base64 ,{text}",
        "with parameters": f"data:application/pdf;name=a.pdf;charset=utf-8;base64,{text}",
        "padding as a form writes it": "data:application/pdf;base64,"
        + text.replace("=", "%3D").replace("+", "%2B").replace("/", "%2f"),
        "a fragment": f"data:application/pdf;base64,{text}#page=2",
        "blanks around it": f"\n data:application/pdf;base64,{text} ",
        "escaped, not base64": "data:application/pdf," + "".join(f"%{byte:02x}" for byte in content),
    }


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_every_way_of_writing_a_file_is_the_same_file(content: bytes) -> None:
    for name, url in written(content).items():
        assert (is_data_url(url), said_kind(url), name) == (True, "application/pdf", name)
        assert (content_of(url, "a.pdf"), name) == (content, name)
        assert (as_written_by_us(url), name) == (data_url("application/pdf", content), name)


def test_a_url_that_is_plain_is_not_copied() -> None:
    url = data_url("image/png", b"\x89PNG" * 1000)
    assert as_written_by_us(url) is url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:x;base64,A", "not base64"),
        ("data:x;base64,AAAAA", "not base64"),
        ("data:x;base64,A===", "not base64"),
        ("data:x;base64,AA=A", "not base64"),
        ("data:x;base64,AB-_", "not base64"),
        ("data:x;base64,é%", "not base64"),
        ("data:x;base64;foo,AAAA", "must be a data URL in base64"),
        ("data:x", "must be a data URL in base64"),
        ("data:", "must be a data URL in base64"),
        ("data:application/pdf,JVBERi0x", "must be a data URL in base64"),
    ],
)
def test_what_is_no_file_is_refused_and_left_as_it_is(url: str, expected: str) -> None:
    with pytest.raises(FileRefused, match=expected):
        content_of(url, "a.pdf")
    if expected == "not base64":
        assert as_written_by_us(url) == url
