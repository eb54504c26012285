"""Alert rules and the board ask for what the program really exports; and an alert fires when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.metrics import Metrics
from tests.acceptance.deploy.files import DEPLOY, read

PLACE = DEPLOY / "observability"
BOARD = json.loads((PLACE / "grafana/boards/control-plane.json").read_text(encoding="utf-8"))
ALERTS = [rule for group in read("observability/rules.yaml")["groups"] for rule in group["rules"]]

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def asked() -> list[str]:
    """Every expression of rules and board."""
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in ALERTS] + panels


def exported() -> set[str]:
    """The names of the series that /metrics has, or will have when there is something to count."""
    names = set()
    for family in text_string_to_metric_families(Metrics().exposed().decode()):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {f"{family.name}{suffix}" for suffix in suffixes}
    return names


async def test_every_series_that_is_asked_for_exists() -> None:
    """A name that does not exist makes an alert that never fires, and an empty panel."""
    named = {name for expression in asked() for name in re.findall(r"control_plane_\w+", expression)}
    assert named
    assert named <= exported()


def test_every_alert_is_explained_in_the_runbook() -> None:
    runbook = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in ALERTS if f"**{rule['alert']}**" not in runbook] == []


def test_the_board_has_no_two_panels_in_one_place() -> None:
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in BOARD["panels"]]
    assert len(set(places)) == len(places)


@promtool
def test_prometheus_takes_its_configuration() -> None:
    for arguments in (["check", "config", "prometheus.yaml"], ["check", "rules", "rules.yaml"]):
        ran = subprocess.run(["promtool", *arguments], cwd=PLACE, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@promtool
@pytest.mark.parametrize(
    "case", json.loads(Path(__file__).with_name("alerts.json").read_text()), ids=lambda c: c["alert"]
)
def test_an_alert_fires_when_it_should_and_only_then(case: dict[str, Any], tmp_path: Path) -> None:
    """`quiet` and `bad` are series as Prometheus' own rule tests write them, a value a minute."""
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in case[kind].items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{case["alert"]}",alertstate="firing"}}) or vector(0)',
                    "eval_time": case.get("after", "60m"),
                    "exp_samples": [{"labels": "{}", "value": fires}],
                }
            ],
        }
        for kind, fires in (("quiet", 0), ("bad", 1))
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(
        json.dumps({"rule_files": [str(PLACE / "rules.yaml")], "evaluation_interval": "1m", "tests": tests})
    )
    ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_case() -> None:
    cases = json.loads(Path(__file__).with_name("alerts.json").read_text())
    assert [case["alert"] for case in cases] == [rule["alert"] for rule in ALERTS]
