"""Output of the findings in a configuration file: a line each for people, or JSON for programs."""

from collections.abc import Sequence
from pathlib import Path

from control_plane.cli.output import echo, print_json
from control_plane.model_groups.config import Inspection
from control_plane.model_groups.problems import Finding


def show(path: Path, inspection: Inspection, *, as_json: bool = False) -> None:
    """Mistakes and warnings on standard error, and how many there are; as JSON all of it on standard output."""
    errors, warnings = inspection.errors, inspection.warnings
    catalog = inspection.catalog
    if as_json:
        report = {
            "file": str(path),
            "ok": catalog is not None,
            "generation": None if catalog is None else catalog.generation,
            "deployments": None if catalog is None else len(catalog.router.deployments),
            "model_groups": None if catalog is None else len(catalog.groups),
            "errors": len(errors),
            "warnings": len(warnings),
            "findings": [_as_json(finding) for finding in (*errors, *warnings)],
        }
        print_json(report)
        return
    for finding in errors:
        echo(finding.sentence, err=True)
    show_warnings(warnings)
    counted = [count(len(errors), "mistake"), *([count(len(warnings), "warning")] if warnings else [])]
    if catalog is None:
        echo(", ".join(counted), err=True)
        return
    found = (count(len(catalog.router.deployments), "deployment"), count(len(catalog.groups), "model group"))
    echo(f"OK: {', '.join((*found, *counted[1:]))}")


def show_warnings(warnings: Sequence[Finding]) -> None:
    """Warnings on standard error."""
    for finding in warnings:
        echo(f"warning: {finding.sentence}", err=True)


def count(number: int, name: str) -> str:
    """`1 deployment`, `2 deployments`."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line,
        "path": finding.path,
        "message": finding.message,
    }
