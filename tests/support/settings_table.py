"""The table of settings in the guide, as `settings.py` describes them. `python -m tests.support.settings_table` renews it."""

import re
from pathlib import Path

from control_plane.settings import PREFIX, Settings

PAGE = Path(__file__).parent.parent.parent / "control_plane" / "guide" / "settings.md"
ROWS = re.compile(rf"(?:^\| `{PREFIX}\w+` \|.*\n)+", re.MULTILINE)


def row_of(name: str) -> str:
    """The row of a setting."""
    field = Settings.model_fields[name]
    default = "" if field.default is None else f"`{field.default}`"
    return f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |\n"


def table() -> str:
    """All rows, in the order of the settings."""
    return "".join(map(row_of, Settings.model_fields))


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(ROWS.sub(lambda _: table(), text, count=1), encoding="utf-8")
