"""Each outside library has one home, and every API of calls has one shape. See the map in control_plane/README.md.

Imports between our own modules are held by the contracts in pyproject.toml, which `make check` runs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "control_plane"

ALLOWED_IN = {
    "litellm": ("gateway/",),
    "fastapi": ("api/", "app.py"),
    "starlette": ("api/", "app.py"),
    "pypdf": ("pdf/",),
    "redis": ("storage/redis.py", "limits/shared.py"),
    "alembic": ("storage/",),
    "markdown_it": ("api/guide_pages/",),
    "uvicorn": ("cli/",),
    "prometheus_client": ("metrics.py",),
    "opentelemetry": ("traces.py",),
    "typer": ("cli/",),
    "sqlmodel": ("storage/", "/models.py", "store.py"),
    "sqlalchemy": ("storage/", "/models.py", "store.py"),
}
"""Where an outside library may be imported: beginnings, endings or whole paths of files."""

MODULES = sorted(PACKAGE.rglob("*.py"))

WIRES = PACKAGE / "api" / "wires"
SHAPE = ("schema.py", "request.py", "response.py", "errors.py", "route.py")
"""The files of every API of calls. APIs below one folder share its `errors.py`."""
APIS = tuple(
    sorted(
        ".".join(file.parent.relative_to(WIRES).parts)
        for file in WIRES.rglob("__init__.py")
        if file.parent != WIRES and not list(file.parent.glob("*/__init__.py"))
    )
)
"""The packages of `api/wires` without packages in them: `anthropic`, `openai.chat`, …"""


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def missing_files(api: str) -> set[str]:
    """The files that a package lacks to have the shape of an API of calls."""
    folder = WIRES.joinpath(*api.split("."))
    has_errors = folder.parent != WIRES and (folder.parent / "errors.py").is_file()
    return {name for name in SHAPE if not (folder / name).is_file() and not (name == "errors.py" and has_errors)}


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_outside_libraries_stay_in_their_homes(file: Path) -> None:
    path = str(file.relative_to(PACKAGE))
    strangers = {
        library
        for name in imports_of(file)
        if (library := name.split(".")[0]) in ALLOWED_IN
        and not any(path.startswith(home) or path.endswith(home) for home in ALLOWED_IN[library])
    }
    assert not strangers, f"{path} imports {strangers}; their homes: {[ALLOWED_IN[library] for library in strangers]}"


@pytest.mark.parametrize("api", APIS)
def test_every_api_of_calls_has_the_same_files(api: str) -> None:
    assert not missing_files(api), f"api/wires/{api.replace('.', '/')} lacks {missing_files(api)}"


def test_the_apis_of_calls_are_found() -> None:
    assert {"anthropic", "openai.chat", "openai.endpoints", "openai.responses", "respond"} <= set(APIS)
    assert missing_files("openai") == set(SHAPE) - {"errors.py"}
