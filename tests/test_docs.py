"""What the documents promise exists: settings, make targets, places on the map."""

import re
import subprocess
from pathlib import Path

import pytest

from control_plane.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAP = (ROOT / "control_plane" / "README.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readme_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    default = "" if field.default is None else f"`{field.default}`"
    assert f"| `CONTROL_PLANE_{name.upper()}` | {default} | {field.description} |" in README


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"CONTROL_PLANE_([A-Z_]+)", README))
    assert named == {name.upper() for name in Settings.model_fields}


def test_make_help_lists_every_target_the_readme_names() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)) - {"help"}
    assert targets
    assert all(f"make {target} " in listed for target in targets)


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "control_plane" / "README.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
        assert all((document.parent / link).exists() for link in links)


def test_the_map_shows_every_place_of_the_house() -> None:
    places = {path.name for path in (ROOT / "control_plane").iterdir() if not path.name.startswith("_")}
    missing = [place for place in places - {"README.md"} if place.removesuffix(".py") not in MAP]
    assert not missing
