"""`control-plane config import`: converts a file of LiteLLM's proxy, with a report of every change."""

import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.cli.findings import count
from control_plane.cli.output import echo, print_json
from control_plane.cli.progress import waiting
from control_plane.cli.trial import inspect_and_build
from control_plane.model_groups.config import read_file
from control_plane.model_groups.importing import Imported, Report
from control_plane.model_groups.importing import import_file as imported_from
from control_plane.model_groups.problems import Problems

PRIVATE, SHARED = 0o600, 0o666
_SECRET_NAME = re.compile(r"key|token|secret|password|passwd|credential|auth|cookie|headers", re.IGNORECASE)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s]*:[^/\s]*@|[?&](api-?)?(key|token|sig)=", re.IGNORECASE)


def import_file(
    file: Annotated[Path, typer.Argument(help="A configuration of LiteLLM's proxy.", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="The file to write.", show_default="standard output")] = None,
    teams: Annotated[
        list[str] | None, typer.Option(help="Patterns of the team ids that may use its models; default: all teams.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON: ok, mistakes, taken, changed, dropped, report, and yaml if no file is written."
        ),
    ] = False,
) -> None:
    """Convert a configuration of LiteLLM's proxy to model groups, and report what was taken, changed and dropped, and
    why.

    Exits with 1 if the result would not pass `config check --no-env`.
    """
    if output is not None and output.exists():
        echo(f"{output} is there already; give another name, or move it away.", err=True)
        raise typer.Exit(1)
    problems = Problems(str(file))
    values = read_file(file, problems)
    if values is None:
        for finding in problems.findings("error"):
            echo(finding.sentence, err=True)
        raise typer.Exit(1)
    made = imported_from(values, teams or ["*"])
    with waiting("building what a server would build"):
        mistakes = made.mistakes or _mistakes(made.text)
    if output is not None:
        try:
            _write(output, made.text, _mode_for(file, values))
        except OSError as error:
            echo(f"{output} cannot be written: {error.strerror}", err=True)
            raise typer.Exit(1) from None
    if as_json:
        print_json(_json(made, mistakes, is_written=output is not None))
    else:
        _show(made.report)
        for mistake in mistakes:
            echo(f"mistake  {mistake}", err=True)
        echo(_summary(made.report), err=True)
        if output is None:
            typer.echo(made.text, nl=False)
    if mistakes:
        raise typer.Exit(1)


def _mode_for(source: Path, values: Mapping[str, Any]) -> int:
    """The mode of a copy: readers of the old file may read the new one; with keys in it, or content from a pipe, only
    its owner.
    """
    found = source.stat().st_mode
    is_private = not stat.S_ISREG(found) or has_secrets(values)
    return stat.S_IMODE(found) & (PRIVATE if is_private else SHARED)


def has_secrets(value: object, name: str = "") -> bool:
    """Whether a text stands under the name of a secret, or in an address, and not in the environment."""
    if isinstance(value, dict):
        return any(has_secrets(inner, f"{name} {key}") for key, inner in value.items())
    if isinstance(value, list):
        return any(has_secrets(inner, name) for inner in value)
    if not isinstance(value, str) or not value or value.startswith("os.environ/"):
        return False
    return bool(_SECRET_NAME.search(name) or _PASSWORD_IN_ADDRESS.search(value))


def _write(output: Path, text: str, mode: int) -> None:
    """Writes a new file, which only its owner can read meanwhile. Raises: OSError; then there is none."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
            os.fchmod(descriptor, mode)
    except OSError:
        output.unlink()
        raise


def _mistakes(text: str) -> list[str]:
    """The findings of `config check --no-env` in the new file, LiteLLM's refusals included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "litellm_config.yaml"
        path.write_text(text, encoding="utf-8")
        return [finding.message for finding in inspect_and_build(path, None).errors]


def _show(report: Report) -> None:
    for entry in report.entries:
        echo(f"{entry.action:<8} {entry.path}: {entry.why}", err=True)


def _summary(report: Report) -> str:
    return f"{count(len(report.entries), 'place')}: " + ", ".join(
        f"{report.count(action)} {action}" for action in ("taken", "changed", "dropped")
    )


def _json(made: Imported, mistakes: Sequence[str], *, is_written: bool) -> dict[str, object]:
    return {
        "ok": not mistakes,
        "mistakes": list(mistakes),
        **{action: made.report.count(action) for action in ("taken", "changed", "dropped")},
        "report": made.report.as_json(),
        **({} if is_written else {"yaml": made.text}),
    }
