"""What an operator may write as an origin, and what it becomes: what browsers send."""

import pytest

from control_plane.schemas.origins import origin_of


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://App.Example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:080", "http://127.0.0.1"),
        (" https://xn--bcher-kva.example ", "https://xn--bcher-kva.example"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("https://app.example.com.", "https://app.example.com."),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(written: str, origin: str) -> None:
    assert origin_of(written) == origin


@pytest.mark.parametrize(
    "written",
    [
        *("", "*", "null", "app.example.com", "https://", "https://*.example.com", "https://app.example.com/path"),
        *("https://user@app.example.com", "ftp://app.example.com", "https://bücher.example", "https://a b.example"),
        *(
            "https://a..example.com",
            "https://.example.com",
            "http://localhost:0",
            "http://localhost:65536",
            "http://127.1",
        ),
        *(
            "http://0x7f.0.0.1",
            "http://[:::1]",
            f"https://{'a' * 64}.example",
            "https://xn--app-.example",
            "https://-.-.1",
        ),
        *("https://app.example.com?x", "https://app.example.com:port", "https://app.example.com\r\nX: y", "file:///x"),
    ],
)
def test_what_no_page_can_have_as_its_origin_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be an origin"):
        origin_of(written)
