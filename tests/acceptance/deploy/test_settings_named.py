"""Deployments name only settings that the program has: a wrong name would be ignored, and the default be in force."""

import re

import pytest

from control_plane.settings import Settings
from tests.acceptance.deploy.files import texts

KNOWN = {f"CONTROL_PLANE_{name.upper()}" for name in Settings.model_fields}
NAMED = [
    (place, name)
    for place, text in texts().items()
    for name in sorted(set(re.findall(r"\bCONTROL_PLANE_[A-Z0-9_]+", text)) - {"CONTROL_PLANE_NAME"})
]


@pytest.mark.parametrize(("place", "name"), NAMED)
def test_a_setting_that_is_named_exists(place: str, name: str) -> None:
    assert name in KNOWN or name.removesuffix("_FILE") in KNOWN
