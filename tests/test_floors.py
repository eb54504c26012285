"""Imports point down, and along a floor only to the left; each outside library has one home. See the map in
control_plane/README.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "control_plane"

GROUND = (
    *(
        "units",
        "allowance",
        "clock",
        "failpoints",
        "allocator",
        "garbage",
        "ids",
        "errors",
        "completion",
        "chat",
        "names",
        "fairness",
        "lookups",
        "waiting",
        "settings",
        "schemas",
    ),
)
MACHINES = ("log_queue", "logs", "metrics", "traces", "storage", "fetching", "pdf", "gateway")
ROOMS = (
    "tenants",
    "model_groups",
    "credits",
    "jobs",
    "administration",
    "limits",
    "spend",
    "cache",
    "calls",
    "documents",
    "idempotency",
)
DOORS = ("api", "web", "cli")
OUTSIDE = ("client",)
ROOF = ("master_key", "sweeper", "runtime", "app")

FLOOR_OF = (
    dict.fromkeys(GROUND, 0)
    | dict.fromkeys(MACHINES, 1)
    | dict.fromkeys(ROOMS, 2)
    | {"house": 3}
    | dict.fromkeys(DOORS, 4)
    | dict.fromkeys(OUTSIDE, 4)
    | dict.fromkeys(ROOF, 5)
)

HOMES = {
    "litellm": ("gateway/",),
    "fastapi": ("api/", "web/", "app.py"),
    "starlette": ("api/", "web/", "app.py"),
    "pypdf": ("pdf/",),
    "redis": ("storage/redis.py", "limits/shared.py"),
    "alembic": ("storage/",),
    "uvicorn": ("cli/",),
    "prometheus_client": ("metrics.py",),
    "opentelemetry": ("traces.py",),
    "typer": ("cli/",),
    "sqlmodel": ("storage/", "/models.py", "store.py"),
    "sqlalchemy": ("storage/", "/models.py", "store.py"),
}
"""Where an outside library may be imported: beginnings, endings or whole paths of files."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def place_of(file: Path) -> str:
    """The top-level name a file belongs to: its room, machine, door or own name."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def may_import(importing: str, imported: str) -> str | None:
    """The rule an import breaks, or None."""
    if importing == imported or importing in ROOF or importing == "__init__":
        return None
    if importing in OUTSIDE or imported in OUTSIDE:  # for customers: a distribution of its own
        return f"{importing} may not import {imported}: the client is installed without the server"
    above, below = FLOOR_OF[importing], FLOOR_OF[imported]
    if importing == "cli" and imported in ROOF:
        return None  # the CLI starts the roof
    if below > above:
        return f"imports point down: {importing} (floor {above}) may not import {imported} (floor {below})"
    if below == above and importing in ROOMS and ROOMS.index(imported) > ROOMS.index(importing):
        return f"along a floor only to the left: {importing} may not import {imported}"
    return None


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_keep_to_the_floors(file: Path) -> None:
    place = place_of(file)
    assert place == "__init__" or place in FLOOR_OF, f"{place} is on no floor: give it one in tests/test_floors.py"
    broken = [
        rule
        for name in imports_of(file)
        if name.startswith("control_plane.") and (rule := may_import(place, name.split(".")[1]))
    ]
    assert not broken


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_outside_libraries_stay_in_their_homes(file: Path) -> None:
    path = str(file.relative_to(PACKAGE))
    strangers = {
        library
        for name in imports_of(file)
        if (library := name.split(".")[0]) in HOMES
        and not any(path.startswith(home) or path.endswith(home) for home in HOMES[library])
    }
    assert not strangers, f"{path} imports {strangers}; their homes: {[HOMES[library] for library in strangers]}"


def test_the_rules_can_be_broken() -> None:
    assert may_import("units", "jobs")
    assert may_import("tenants", "jobs")
    assert may_import("gateway", "calls")
    assert may_import("client", "chat")
    assert may_import("api", "client")
    assert may_import("client", "schemas")
    assert not may_import("calls", "jobs")
    assert not may_import("api", "house")
