"""What is installed is what was locked, and none of LiteLLM's compromised releases."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.deploy.files import DEPLOY

LOCKS = sorted(DEPLOY.glob("*.lock"))
COMPROMISED = ["1.82.7", "1.82.8", "1.107.0"]


def pins(file: Path) -> dict[str, str]:
    """The version of each package that a file asks for."""
    text = file.read_text(encoding="utf-8")
    return dict(re.findall(r"""^[\s"]*([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;\\"]+)""", text, re.MULTILINE))


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.name)
def test_each_package_is_locked_with_its_hashes(file: Path) -> None:
    packages = [each for each in re.split(r"\n(?=\S)", file.read_text(encoding="utf-8").strip()) if each[0] != "#"]
    assert packages
    for package in packages:
        assert re.match(r"[A-Za-z0-9._-]+(\[[^]]*])?==\S+", package), package
        assert "--hash=sha256:" in package, package


def test_no_compromised_release_of_litellm_is_asked_for_or_installed() -> None:
    """They sent the keys they found away. `==` alone: a range would admit one."""
    asking = [*LOCKS, *sorted(DEPLOY.glob("*.in")), DEPLOY.parent / "pyproject.toml"]
    wanted = {file.name: pins(file)["litellm"] for file in asking if "litellm" in pins(file)}
    assert {"requirements.in", "requirements.lock", "requirements-dev.lock", "pyproject.toml"} <= wanted.keys()
    assert set(wanted.values()) == {version("litellm")}
    assert version("litellm") not in COMPROMISED
