"""What there is in deploy/, as its readers see it."""

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"


def read(place: str) -> Any:
    """A YAML file of one document."""
    return yaml.safe_load((DEPLOY / place).read_text(encoding="utf-8"))


def texts() -> dict[str, str]:
    """Every file that people wrote, by its place."""
    files = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix not in (".lock", ".in")]
    return {str(path.relative_to(DEPLOY)): path.read_text(encoding="utf-8") for path in files}
