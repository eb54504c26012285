"""Imports point down, and within a layer only to the left; each outside library has one home; every API of calls has one
shape. See the map in control_plane/README.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "control_plane"

FOUNDATION = (
    *(
        "units",
        "rate_limits",
        "clock",
        "failpoints",
        "allocator",
        "garbage",
        "ids",
        "errors",
        "completion",
        "chat",
        "names",
        "concurrency",
        "lookups",
        "waiting",
        "settings",
        "schemas",
    ),
)
INFRASTRUCTURE = ("log_queue", "logs", "metrics", "traces", "storage", "fetching", "pdf", "gateway")
PACKAGES = (
    "audit",
    "tenants",
    "identity",
    "model_groups",
    "credits",
    "jobs",
    "replicas",
    "administration",
    "limits",
    "reconciliation",
    "cache",
    "calls",
    "configuration",
    "documents",
    "idempotency",
)
ENTRY_POINTS = ("api", "web", "cli")
OUTSIDE = ("client",)
COMPOSITION_ROOT = ("master_key", "sweeper", "periodic_tasks", "infrastructure", "runtime", "app")

LAYER_OF = (
    dict.fromkeys(FOUNDATION, 0)
    | dict.fromkeys(INFRASTRUCTURE, 1)
    | dict.fromkeys(PACKAGES, 2)
    | {"services": 3}
    | dict.fromkeys(ENTRY_POINTS, 4)
    | dict.fromkeys(OUTSIDE, 4)
    | dict.fromkeys(COMPOSITION_ROOT, 5)
)

ALLOWED_IN = {
    "litellm": ("gateway/",),
    "fastapi": ("api/", "web/", "app.py"),
    "starlette": ("api/", "web/", "app.py"),
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


def part_of(file: Path) -> str:
    """The top-level name a file belongs to: its room, machine, door or own name."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def api_of(name: str) -> str | None:
    """The API of calls that a module or what it defines belongs to; None: shared by several, or outside `api/wires`."""
    beginning = "control_plane.api.wires."
    return next((api for api in APIS if f"{name}.".startswith(f"{beginning}{api}.")), None)


def missing_files(api: str) -> set[str]:
    """The files that a package lacks to have the shape of an API of calls."""
    folder = WIRES.joinpath(*api.split("."))
    has_errors = folder.parent != WIRES and (folder.parent / "errors.py").is_file()
    return {name for name in SHAPE if not (folder / name).is_file() and not (name == "errors.py" and has_errors)}


def may_import(importing: str, imported: str) -> str | None:
    """The rule an import breaks, or None."""
    if importing == imported or importing in COMPOSITION_ROOT or importing == "__init__":
        return None
    if importing in OUTSIDE or imported in OUTSIDE:  # for customers: a distribution of its own
        return f"{importing} may not import {imported}: the client is installed without the server"
    above, below = LAYER_OF[importing], LAYER_OF[imported]
    if importing == "cli" and imported in COMPOSITION_ROOT:
        return None  # the CLI starts the roof
    if below > above:
        return f"imports point down: {importing} (layer {above}) may not import {imported} (layer {below})"
    if below == above and importing in PACKAGES and PACKAGES.index(imported) > PACKAGES.index(importing):
        return f"within a layer only to the left: {importing} may not import {imported}"
    return None


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_to_lower_layers(file: Path) -> None:
    part = part_of(file)
    assert part == "__init__" or part in LAYER_OF, f"{part} is in no layer: give it one in tests/test_architecture.py"
    broken = [
        rule
        for name in imports_of(file)
        if name.startswith("control_plane.") and (rule := may_import(part, name.split(".")[1]))
    ]
    assert not broken


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


@pytest.mark.parametrize("file", sorted(WIRES.rglob("*.py")), ids=lambda file: str(file.relative_to(WIRES)))
def test_no_api_of_calls_imports_another(file: Path) -> None:
    own = api_of(".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts)))
    others = {name for name in imports_of(file) if api_of(name) not in (None, own)}
    assert not others, f"{file.relative_to(WIRES)} imports {others}: what two APIs need stands above both"


@pytest.mark.parametrize("api", APIS)
def test_every_api_of_calls_has_the_same_files(api: str) -> None:
    assert not missing_files(api), f"api/wires/{api.replace('.', '/')} lacks {missing_files(api)}"


def test_the_apis_of_calls_are_found() -> None:
    assert {"anthropic", "openai.chat", "openai.endpoints", "openai.responses", "respond"} <= set(APIS)
    assert api_of("control_plane.api.wires.openai.chat") == "openai.chat"
    assert api_of("control_plane.api.wires.openai.chat.response.completion") == "openai.chat"
    assert api_of("control_plane.api.wires.openai.errors.ERRORS") is None
    assert api_of("control_plane.api.wires.openai_fields") is None
    assert api_of("control_plane.api.wires.run_call.Wire") is None
    assert missing_files("openai") == set(SHAPE) - {"errors.py"}


def test_the_rules_can_be_broken() -> None:
    assert may_import("units", "jobs")
    assert may_import("tenants", "jobs")
    assert may_import("gateway", "calls")
    assert may_import("client", "chat")
    assert may_import("api", "client")
    assert may_import("client", "schemas")
    assert not may_import("calls", "jobs")
    assert not may_import("api", "services")
