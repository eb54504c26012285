"""The documentation pages work without a network, from files that are what their packages published."""

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from control_plane.api.guide_pages.site import FOLDER as SITE
from control_plane.api.http.static_files import accepts_gzip
from control_plane.api.pages.files import ASSETS, FOLDER, LOGO, NAMES, asset

ROOT = Path(__file__).parent.parent.parent
VENDORED = json.loads((ASSETS / "vendored.json").read_text())

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_each_vendored_file_is_the_one_that_its_package_published() -> None:
    hashes = {name: digest for package in VENDORED for name, digest in package["files"].items()}
    licences = {name for package in VENDORED for name in package["licence_files"]}
    assert {file.name for file in ASSETS.iterdir()} == hashes.keys() | licences | {"vendored.json"}
    for name, digest in hashes.items():
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest, name
    assert all(package["version"] and package["licence"] and package["licence_files"] for package in VENDORED)


def test_the_logo_on_another_host_is_left_out() -> None:
    assert LOGO in (ASSETS / "redoc.standalone.js").read_bytes(), "nothing to leave out any more: remove LOGO"
    assert all(LOGO not in asset(name).body for name in NAMES)


@pytest.mark.slow
def test_the_pages_are_in_the_wheel(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [file for file in FOLDER.rglob("*") if file.suffix in {".js", ".css", ".html", ".json", ".txt"}]
    assert len(files) > len(NAMES)
    guide = [file for folder in ("guide", "decisions") for file in (ROOT / "control_plane" / folder).glob("*.md")]
    guide += [file for file in SITE.iterdir() if file.suffix in {".css", ".html"}]
    assert packed >= {str(file.relative_to(ROOT)) for file in (*files, *guide)}


@sqlite_only
async def test_the_pages_allow_nothing_of_another_host(api: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/docs/"):
        answer = await api.get(path)
        assert answer.status_code == 200
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert not re.search(r"https?:|\*", answer.headers["content-security-policy"])
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|https?://", answer.text), (
            "inline script, or another host"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"


@sqlite_only
async def test_a_file_of_the_pages_is_loaded_once(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    again = await api.get("/docs", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", page.headers["etag"])
    assert again.headers["content-security-policy"] == page.headers["content-security-policy"]
    for address in re.findall(r'(?:src|href)="(/docs/assets/[^"]+)"', page.text):
        for encoding in ("gzip", "identity"):
            file = await api.get(address, headers={"Accept-Encoding": encoding})
            assert file.status_code == 200
            assert file.content == asset(address.rpartition("/")[2]).body
            assert "immutable" in file.headers["cache-control"]
            known = {"Accept-Encoding": encoding, "If-None-Match": file.headers["etag"]}
            assert (await api.get(address, headers=known)).status_code == 304
    other = await api.get("/docs/assets/0000/docs.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache"), "of a replica's other version"
    assert (await api.get("/docs/assets/0000/vendored.json")).status_code == 404
    assert (await api.get("/docs/assets/0000/..%2f..%2froute.py")).status_code == 404


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        ({}, False),
        ({"accept-encoding": ""}, False),
        ({"accept-encoding": "gzip, deflate, br"}, True),
        ({"accept-encoding": "br;q=1.0, GZIP; q=0.5"}, True),
        ({"accept-encoding": "gzip;q=0"}, False),
        ({"accept-encoding": "gzip;q=0.000, *"}, False),
        ({"accept-encoding": "identity, *;q=0.1"}, True),
        ({"accept-encoding": "*;q=0"}, False),
        ({"accept-encoding": "x-gzipped"}, False),
        ({"accept-encoding": "gzip;q=much"}, False),
    ],
)
def test_what_a_client_takes_is_what_it_says(said: dict[str, str], takes: bool) -> None:
    assert accepts_gzip(Headers(said)) is takes
