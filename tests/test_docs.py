"""What the documents promise exists: settings, error codes, metrics, alerts, commands, links, files, decisions, examples."""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

import pytest
import yaml

from control_plane.api.guide_pages.content import PAGES
from control_plane.api.guide_pages.markdown import parser, render
from control_plane.credits.rules import BudgetMode, JobUsage, Plan, needed_hold, price
from control_plane.errors import ControlPlaneError
from control_plane.metrics import Metrics
from control_plane.settings import Settings
from tests.support.settings_table import ROWS, table

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "control_plane"
GUIDE = PACKAGE / "guide"
DECISIONS = PACKAGE / "decisions"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (PACKAGE / "README.md").read_text(encoding="utf-8")
MOST_WORDS_IN_README = 700

TESTS_GUIDE = ROOT / "tests" / "README.md"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *PACKAGE.glob("*.md"), *GUIDE.glob("*.md"), *DECISIONS.glob("*.md"), TESTS_GUIDE]
)
PROSE = [*DOCUMENTS, ROOT / "deploy" / "README.md", PACKAGE / "client" / "README.md"]
TEXTS: Mapping[Path, str] = {path: path.read_text(encoding="utf-8") for path in PROSE}


def guide(name: str) -> str:
    return TEXTS[GUIDE / f"{name}.md"]


def rows(text: str, section: str = "") -> list[list[str]]:
    """The cells of the tables of a document, or of one of its sections."""
    part = re.split(r"^## ", text, flags=re.MULTILINE)
    chosen = [each for each in part if not section or each.startswith(f"{section}\n")]
    assert chosen
    lines = [line for each in chosen for line in each.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_readme_leads_and_is_short() -> None:
    assert len(README.split()) <= MOST_WORDS_IN_README
    assert all(f"control_plane/guide/{page.name}" in README for page in GUIDE.glob("*.md"))


def test_every_guide_page_is_in_the_index_with_a_description() -> None:
    assert {name for section in PAGES.values() for name in section} == {page.stem for page in GUIDE.glob("*.md")}
    for page in GUIDE.glob("*.md"):
        title, _, summary, *_ = TEXTS[page].splitlines()
        assert title.startswith("# "), page.name
        assert re.fullmatch(r"[A-Z].{30,150}\.", summary), f"{page.name}: one line of description under the title"


def test_every_setting_is_in_the_guide_with_its_default() -> None:
    found = ROWS.findall(guide("settings"))
    assert found == [table()], "renew it: python -m tests.support.settings_table"


def test_no_document_names_a_setting_that_does_not_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for path, text in TEXTS.items():
        named = {name.removesuffix("_FILE") for name in re.findall(r"CONTROL_PLANE_([A-Z_]+)", text)}
        assert named <= known, path


def error_classes(of: type[ControlPlaneError] = ControlPlaneError) -> Iterator[type[ControlPlaneError]]:
    yield of
    for each in of.__subclasses__():
        yield from error_classes(each)


def test_the_guide_has_every_error_code_with_its_status() -> None:
    ours = [each for each in error_classes() if each.__module__ == "control_plane.errors"]
    known = {(each.code, str(each.status)) for each in ours}
    described = {(row[0].strip("`"), row[1]) for row in rows(guide("errors")) if len(row) == 4 and row[0] != "code"}
    assert described == known


def test_no_document_names_an_error_code_that_does_not_exist() -> None:
    known = {each.code for each in error_classes()} | {"redirected", "stalled"}
    for path, text in TEXTS.items():
        named = set(re.findall(r"\b(?:4\d\d|50[0-9])\s+`([a-z_]+)`", text))
        assert named <= known, path


def test_the_guide_has_every_metric_with_its_type() -> None:
    exported = {(family.name.removeprefix("control_plane_"), family.type) for family in Metrics()._registry.collect()}
    described = {(row[0].strip("`"), row[1]) for row in rows(guide("observability"), "Metrics")[1:]}
    assert {(name.removesuffix("_info"), kind) for name, kind in described} == exported


def test_the_guide_has_every_alert() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "observability" / "rules.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert {row[0] for row in rows(guide("observability"), "Alerts")[1:]} == alerts


def logged_events() -> Iterator[str]:
    """The first argument of `log.warning(…)` and its like."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log"), attr=("info" | "warning" | "error" | "exception" | "log")
                    ),
                    args=[*first, ast.Constant(value=str(event))],
                ) if len(first) <= 1:
                    yield event
                case _:
                    pass


def test_the_guide_has_every_log_event() -> None:
    events = set(logged_events()) | {"low_balance"}
    cells = (row[0] for row in rows(guide("observability"), "Log events")[1:])
    assert {event for cell in cells for event in re.findall(r"`([a-z_]+)`", cell)} == events


RETIRED = re.compile(
    r"\b(?:house|rooms?|doors?|floors?|roof|shelf|says|said|hears?|heard|tells?|told|whoever|nobody|somebody)\b",
    re.IGNORECASE,
)
"""Words that picture code as a building or as a person: see the names in `tests/test_vocabulary.py` instead."""


def test_documents_neither_personify_code_nor_picture_it_as_a_building() -> None:
    for document in DOCUMENTS:
        prose = re.sub(r"```.*?^ *```|`[^`]*`", "", ROWS.sub("", TEXTS[document]), flags=re.DOTALL | re.MULTILINE)
        assert not RETIRED.findall(prose), document


def test_make_help_lists_every_target_the_documents_name() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path, text in TEXTS.items():
        targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) - {"help"}
        assert all(f"make {target} " in listed for target in targets), path
    assert "make demo " in README
    assert "make test " in README


def anchors_of(document: Path) -> set[str]:
    _, sections = render(parser(), document.read_text(encoding="utf-8"), lambda link: link)
    return {section.anchor for section in sections}


def test_links_lead_to_a_file_and_a_heading_of_it() -> None:
    broken = []
    for document, text in TEXTS.items():
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
            file = document.parent / target if target else document
            if not file.exists() or (anchor and anchor not in anchors_of(file)):
                broken.append(f"{document.relative_to(ROOT)}: {target}#{anchor}")
    assert not broken


TRACKED = [str(path.relative_to(ROOT)) for path in [*PACKAGE.rglob("*"), *(ROOT / "tests").rglob("*"), *ROOT.glob("*")]]


def test_files_of_the_code_that_a_document_names_exist() -> None:
    for document in DOCUMENTS:
        named = set(re.findall(r"`((?:[\w.]+/)*\w+\.(?:py|lua))\b", TEXTS[document]))
        missing = [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in TRACKED)]
        assert not missing, document


def code_blocks() -> Iterator[tuple[Path, str, str]]:
    for document, text in TEXTS.items():
        for language, code in re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            yield document, language, code


def test_code_blocks_are_what_they_say() -> None:
    for document, language, code in code_blocks():
        match language:
            case "python":
                ast.parse(code)
            case "yaml":
                assert yaml.safe_load(code)
            case "bash":
                checked = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
                assert checked.returncode == 0, f"{document}: {checked.stderr}"
            case "js":
                pass  # each is run: tests/acceptance/sdks, tests/acceptance/respond
            case _:
                pytest.fail(f"{document}: no check for {language}")


def test_the_map_shows_every_part_of_the_package() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    missing = [part for part in parts - {"README.md"} if part.removesuffix(".py") not in MAP]
    assert not missing


def test_every_decision_that_is_named_has_its_file() -> None:
    numbers = {int(path.name[1:3]): path for path in DECISIONS.glob("D*.md")}
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md"), *(ROOT / "tests").rglob("*.py"), ROOT / "README.md"]
    named: dict[int, Path] = {}
    for file in files:
        text = re.sub(r"noqa[^\n]*", "", file.read_text(encoding="utf-8"))
        named |= dict.fromkeys(map(int, re.findall(r"(?<![\w\"'/-])D([1-9]\d?)\b(?!-)", text)), file)
    assert {16, 42} <= named.keys(), "references are found"
    assert not {number: file for number, file in named.items() if number not in numbers}


def test_every_decision_says_why_what_and_at_what_cost() -> None:
    listed = TEXTS[DECISIONS / "README.md"]
    for path in DECISIONS.glob("D*.md"):
        text = TEXTS[path]
        assert text.startswith(f"# D{int(path.name[1:3])}: "), path.name
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Decision", "Cost"], path.name
        assert f"]({path.name}) {text.splitlines()[0].partition(': ')[2]}\n" in listed, path.name


def test_the_worked_examples_are_what_the_billing_rules_compute() -> None:
    text = guide("billing")
    nano_usd = 10**9

    def cost(prompt: int, completion: int) -> int:
        return ceil((prompt * 10 + completion * 30) * nano_usd / 1_000_000 * 1.2)

    by_dollar = Plan(budget_mode=BudgetMode.CONSUMPTION_USD, credits_per_dollar=1000, markup_bps=2000)
    worst = JobUsage(calls=1, price=cost(3000, 1000))
    one = JobUsage(calls=1, succeeded=1, delivered=1, price=cost(1400, 250))
    two = JobUsage(calls=2, succeeded=2, delivered=2, price=2 * cost(1400, 250))
    steps = [needed_hold(by_dollar, JobUsage()), *(needed_hold(by_dollar, usage) for usage in (worst, one, two))]
    table = rows(text, "Budget modes")
    shown = [row[2] for row in table if re.fullmatch(r"\d+ (held|charged)", row[-1])]
    assert shown == [*(f"{held} held" for held in steps), f"{price(by_dollar, two)} charged"]
    by_token = Plan(budget_mode=BudgetMode.CONSUMPTION_TOKENS, tokens_per_credit=10_000)
    assert f"make 13,950 tokens: {price(by_token, JobUsage(tokens=1650 + 12_300))} credits" in text
