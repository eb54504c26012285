"""One vocabulary: retired names stay out of the code, and what people read neither personifies code nor pictures it as a building.

People read the OpenAPI document, CLI help, error messages, settings, metric help, log events and alerts.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
import yaml

from control_plane import errors
from control_plane.cli import main
from control_plane.metrics import Metrics
from control_plane.settings import Settings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "control_plane"
TESTS = ROOT / "tests"
ALERTS = ROOT / "deploy" / "observability" / "rules.yaml"

RETIRED_PARTS: Mapping[str, str] = {
    "house": "services",
    "room": "package, span or capacity",
    "rooms": "packages or spans",
    "door": "entry point or router",
    "doors": "entry points or routers",
    "floor": "layer",
    "floors": "layers",
    "roof": "composition root",
    "shelf": "table or folder",
    "entrance": "middleware",
}
"""Parts of names, and the word to use instead. Tests are held to them, too, in names and docstrings."""
ALLOWED_NAMES = {"_has_room"}
"""Capacity of a queue, not a package."""
RETIRED_NAMES: Mapping[str, str] = {
    "may_administer": "require_admin",
    "may_read": "require_team",
    "may_be_used_from": "require_origin",
    "Entrance": "RequestMiddleware",
    "unless_client_leaves": "cancel_on_disconnect",
    "ClientLeft": "ClientDisconnected",
    "StrictRoute": "AuthenticatedRoute",
    "ReadableByPages": "CorsMiddleware",
    "Placing": "JobHeaders",
    "PlacedCalls": "CallRunner",
    "OneCallJobs": "ImplicitJobs",
    "Failure": "Problem",
    "ErrorWire": "ErrorRenderer",
    "Freshness": "CacheControl",
    "LiveCall": "InFlightCall",
    "to_its_end": "run_to_completion",
    "CallOrder": "CallRequest",
    "Demand": "UsageEstimate",
    "PlainRequest": "EndpointRequest",
    "Served": "ServedBy",
    "Serving": "PricedDeployment",
    "Told": "ResponseMeta or RolloutResult",
    "Slot": "CacheEntry",
    "let_go": "release_connection or abandon",
    "freshness": "cache_control",
    "is_retaken": "is_resumed",
    "is_unheard": "is_superseded",
    "takes_kept": "may_use_cached",
    "RunCall": "CompletedCall",
    "AnsweredJob": "CompletedCall",
    "post_all": "post",
    "post_by": "post",
    "HeardStream": "RecordedStream",
    "KeptStream": "ReplayedStream",
    "Standing": "LimitStatus, JobReservation or RunningTotals",
    "Hold": "LimitLease",
    "Taken": "Acquired",
    "Allowance": "RateLimits",
    "SpendWriter": "CallWriter",
    "Misfit": "Discrepancy",
    "Author": "EntryContext",
    "DirectTx": "ThreadTx",
    "HoppingTx": "AsyncTx",
    "Places": "TeamLimiter",
    "ToolCallSaid": "RememberedToolCall",
    "is_name": "is_valid_slug",
    "HouseError": "ControlPlaneError",
    "at_once": "run_in_thread",
    "Verdict": "Comparison",
    "Chore": "PeriodicWork",
    "LiveStream": "InFlightStream",
    "GuestFailed": "ApiCallFailed",
    "ReconcileService": "ReconciliationService",
    "standing": "reservation, limit_status or totals",
    "standing_of": "reservation_of or limit_status_of",
    "team_allowance": "team_rate_limits",
    "key_allowance": "key_rate_limits",
    "likely_tokens": "expected_tokens",
    "KeptAnswer": "StoredResponse",
    "AsRouted": "NormalizingMiddleware",
    "LedgerAudit": "LedgerVerifier",
    "again_if_unknown": "retry_if_unknown",
}
"""Names that were renamed, and what they are called now."""

RETIRED_WORDS: Mapping[str, str] = {
    "says": "reports, names, has",
    "say": "report, name, state",
    "said": "reported, sent",
    "hears": "receives",
    "heard": "received",
    "tells": "reports, shows",
    "told": "notified, sent",
    "asks": "requests, calls",
    "knows": "has, stores",
    "looks": "checks, reads",
    "whoever": "the caller, the client, the operator",
    "nobody": "no client, no process",
    "somebody": "the operator, another program",
    "everybody": "every caller",
    "house": "server, service",
    "room": "space, package",
    "rooms": "packages",
    "door": "API, entry point",
    "doors": "APIs, entry points",
    "floor": "layer",
    "floors": "layers",
    "roof": "composition root",
    "machine": "host, server",
    "machines": "hosts, servers",
}
"""Words that personify code or picture it as a building, and plain ones."""
ALLOWED_PHRASES = re.compile(r"no room (?:on|in) the disk|machine[- ]readable")

MORE_PERSONIFYING = ("hear", "tell", "ask", "asked", "asking", "know", "known", "knew", "look", "looked", "who", "whom")
"""Counted in docstrings, where a few are natural: an unknown price has a known one beside it."""
MOST_PER_THOUSAND = 2.0

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules(folder: Path = PACKAGE) -> Mapping[Path, ast.Module]:
    """Every module of a folder, but for the seed documents' examples, kept as their authors wrote them."""
    files = (file for file in sorted(folder.rglob("*.py")) if TESTS / "seeds" not in file.parents)
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}


def at(file: Path, line: int) -> str:
    """A place as editors open it."""
    return f"{file.relative_to(ROOT)}:{line}"


# Names in the code.


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the code defines or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ImportFrom(module=str(name)):
                yield from ((part, node.lineno) for part in name.split("."))


@cache
def parts_of(name: str) -> frozenset[str]:
    """`create_app`, `JobClosed` → their words."""
    return frozenset(part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))


@cache
def better_name(name: str) -> str | None:
    """What a retired name is called now; None: it is not retired."""
    if name in ALLOWED_NAMES:
        return None
    if name in RETIRED_NAMES:
        return RETIRED_NAMES[name]
    return next((RETIRED_PARTS[part] for part in sorted(parts_of(name)) if part in RETIRED_PARTS), None)


def test_no_retired_name_is_in_the_code() -> None:
    found = {
        f"{at(file, line)}: {name} → {better}"
        for file, tree in modules().items()
        for name, line in [(file.stem, 1), *names_in(tree)]
        if (better := better_name(name)) is not None
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("name", ["open_house", "HouseError", "test_floors", "RoomsOfHTTP", "CallOrder"])
def test_a_retired_name_is_found_however_it_is_written(name: str) -> None:
    assert better_name(name) is not None
    assert better_name(f"{name.lower().replace('_', '')}ish") is None


def test_no_name_of_the_tests_pictures_the_product_as_a_building() -> None:
    found = {
        f"{at(file, line)}: {name} → {RETIRED_PARTS[part]}"
        for file, tree in modules(TESTS).items()
        for name, line in [(file.stem, 1), *names_in(tree)]
        if name not in ALLOWED_NAMES
        for part in parts_of(name) & RETIRED_PARTS.keys()
    }
    assert not found, "\n".join(sorted(found))


# What people read.


def retired_words(text: str) -> Iterator[str]:
    """`word → plain words` for each retired word of a text."""
    for word in re.findall(r"[a-z]+", ALLOWED_PHRASES.sub("", text.lower())):
        if word in RETIRED_WORDS:
            yield f"“{word}” → {RETIRED_WORDS[word]}"


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Every text of the code with its place, as one line in lower case."""
    return tuple(
        (at(file, node.lineno), " ".join(node.value.lower().split()))
        for file, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 3
    )


def place_of(text: str) -> str:
    """Where a text that people read is written; it may have got a capital and a full stop on its way."""
    wanted = " ".join(text.lower().split()).rstrip(".")
    return next((place for place, written in texts() if wanted in written), "put together")


def check(read: Iterable[tuple[str, str]]) -> None:
    """`read`: texts by what shows them. Fails with the place of each retired word and the plain words for it."""
    shown = list(read)
    assert shown
    found = [f"{place_of(text)}: {by}: {hit}: {text}" for by, text in shown for hit in retired_words(text)]
    assert not found, "\n".join(found)


def descriptions(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Summaries and descriptions of an OpenAPI document, by path."""
    if isinstance(value, list):
        for item in value:
            yield from descriptions(item, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("summary", "description") and isinstance(item, str):
                yield path, item
            elif name not in ("example", "value"):
                yield from descriptions(item, f"{path}/{name}")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_openapi_document_is_in_plain_words(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    check(descriptions(document, ""))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            verb, _, noun = operation["summary"].partition(" ")
            assert re.fullmatch(r"[A-Z][a-z]+", verb), f"{method} {path}: {operation['summary']}: a verb and a noun"
            assert noun, f"{method} {path}: {operation['summary']}: a verb and a noun"
            assert verb not in {"A", "An", "The", "How", "What", "When", "Be", "Put"}, operation["summary"]


def commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Help of a command, its options and its subcommands."""
    yield path, " ".join(filter(None, (command.help, command.epilog)))
    for parameter in command.params:
        shown = (getattr(parameter, "help", None), getattr(parameter, "show_default", None))
        yield path, " ".join(text for text in shown if isinstance(text, str))
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{path} {name}")


def test_the_help_of_every_command_is_in_plain_words() -> None:
    main.add_groups([])
    read = list(commands(typer.main.get_command(main.app), "control-plane"))
    assert {f"control-plane {name}" for name in (*main.GROUPS, *main.SINGLE)} <= {by for by, _ in read}
    check(read)


def error_classes(of: type[errors.ControlPlaneError]) -> Iterator[type[errors.ControlPlaneError]]:
    """A class of errors, and all below it."""
    yield of
    for each in of.__subclasses__():
        yield from error_classes(each)


def test_the_default_message_of_every_error_is_in_plain_words() -> None:
    check((each.code, (each.__doc__ or "").partition("\n")[0]) for each in error_classes(errors.ControlPlaneError))


def test_every_setting_is_described_in_plain_words() -> None:
    check((name, field.description or "") for name, field in Settings.model_fields.items())


async def test_the_help_of_every_metric_is_in_plain_words() -> None:
    lines = Metrics().exposed().decode().splitlines()
    check((line.split()[2], line.split(maxsplit=3)[3]) for line in lines if line.startswith("# HELP"))


def test_every_alert_is_in_plain_words() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    check((rule["alert"], text) for rule in rules for text in rule["annotations"].values())


def log_events() -> Iterator[tuple[str, str]]:
    """Events of the log, as `log.info("event", …)` names them, by place."""
    for file, tree in modules().items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log"), attr="debug" | "info" | "warning" | "error" | "exception"
                    ),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    yield at(file, node.lineno), event


def test_log_events_are_in_plain_words() -> None:
    events = list(log_events())
    assert len(events) > 20
    found = [f"{place}: {event}: {hit}" for place, event in events for hit in retired_words(event.replace("_", " "))]
    assert not found, "\n".join(found)


# What developers read.


def docstrings(folder: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    """Docstrings of modules, classes and functions, by place."""
    for file, tree in modules(folder).items():
        for node in ast.walk(tree):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)) is not None:
                yield at(file, node.body[0].lineno), text


def test_docstrings_do_not_personify_code() -> None:
    personifying = {*RETIRED_WORDS, *MORE_PERSONIFYING}
    words, found = 0, list[str]()
    for place, text in docstrings():
        words += len(text.split())
        found += [f"{place}: {word}" for word in re.findall(r"[a-z]+", text.lower()) if word in personifying]
    assert 1000 * len(found) / words <= MOST_PER_THOUSAND, "\n".join(found)


def test_no_docstring_of_the_tests_pictures_the_product_as_a_building() -> None:
    read = list(docstrings(TESTS))
    assert len(read) > 500
    found = [
        f"{place}: {word} → {RETIRED_PARTS[word]}"
        for place, text in read
        for word in re.findall(r"[a-z]+", text.lower())
        if word in RETIRED_PARTS
    ]
    assert not found, "\n".join(found)
