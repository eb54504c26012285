"""`make deploy` and its like: every target has every script, and what cannot be done is said before anything is touched."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.deploy.files import DEPLOY

ROOT = DEPLOY.parent
TARGETS = [script.parent.name for script in sorted(DEPLOY.glob("*/up.sh"))]
SCRIPTS = ("up.sh", "status.sh", "down.sh", "backup.sh", "restore.sh")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_every_script_and_each_can_be_read(target: str) -> None:
    for name in SCRIPTS:
        script = DEPLOY / target / name
        assert os.access(script, os.X_OK), script
        ran = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert not re.search(
            r"down .*(--volumes|-v\b)|delete (pvc|persistentvolumeclaim|secret|namespace)", script.read_text()
        )


def test_a_target_that_does_not_exist_is_named_with_those_that_do() -> None:
    ran = make("deploy", "TARGET=heroku")
    assert ran.returncode == 2
    assert ran.stdout.startswith(f"TARGET is one of: {' '.join(TARGETS)}")


def test_restoring_nothing_is_refused() -> None:
    ran = make("restore")
    assert ran.returncode == 2
    assert "which backup?" in ran.stdout


@pytest.mark.parametrize(("target", "missing"), [("compose", "docker"), ("kubernetes", "kubectl")])
def test_without_its_tool_a_target_stops_at_once_and_says_so(target: str, missing: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "make", "env", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    ran = make("deploy", f"TARGET={target}", PATH=str(tools), STATE_DIR=str(tmp_path / "state"))
    assert ran.returncode != 0
    assert f'Stopped at "Preflight": {missing} is not installed.' in ran.stderr
    assert not (tmp_path / "state").exists()


def test_the_runbook_names_only_targets_that_make_has() -> None:
    listed = make("help").stdout
    named = set(re.findall(r"(?m)(?:^|`)make ([a-z-]+)", (DEPLOY / "README.md").read_text(encoding="utf-8")))
    assert {"deploy", "backup", "sbom", "audit"} <= named
    assert [target for target in sorted(named) if f"make {target} " not in listed] == []
