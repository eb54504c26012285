"""The files of the documentation pages: our two pages, and Swagger UI and Redoc as their packages publish them.

`assets/vendored.json` names the packages with versions, licences and SHA-256, so that each file can be compared with the
registry's. To renew one, replace the file and its entry.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from control_plane.api.http.static_files import StaticFile

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"
ADDRESS = "/docs/assets"
"""Below it each file has a path with the hash of its content: it can be cached for ever."""

NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "redoc.standalone.js", "redoc.js")
MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
EMPTY_PICTURE = b"data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
"""Stands in for the logo that Redoc loads from its maker: the pages use no other host."""

PLACEHOLDER = re.compile(r"\{([a-z.-]+)\}")


@cache
def asset(name: str) -> StaticFile:
    """A script or style sheet. Reads and compresses up to 2 MB: not for the event loop."""
    folder = FOLDER if (FOLDER / name).exists() else ASSETS
    return _file(name, (folder / name).read_bytes().replace(LOGO, EMPTY_PICTURE))


@cache
def page(name: str) -> StaticFile:
    """An HTML page, with the paths of its scripts and styles. As slow as `asset`."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return _file(name, PLACEHOLDER.sub(lambda found: _address(found[1]), text).encode())


def _address(name: str) -> str:
    return f"{ADDRESS}/{asset(name).version}/{name}"


def _file(name: str, body: bytes) -> StaticFile:
    return StaticFile.of(body, MEDIA_TYPES[Path(name).suffix])
