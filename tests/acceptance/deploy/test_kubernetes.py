"""The manifests as kustomize puts them together: what a cluster would refuse, and what would break there."""

import os
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from control_plane.settings import Settings
from tests.acceptance.deploy.files import DEPLOY

PLACE = DEPLOY / "kubernetes"
OVERLAYS = [path.name for path in sorted((PLACE / "overlays").iterdir())]
COMPONENTS = [path.name for path in sorted((PLACE / "components").iterdir())]
VERSION = "1.30"  # the oldest that is served; a newer one takes what it takes
CUSTOM = {"ServiceMonitor"}  # of the Prometheus operator: kubernetes' own schemas do not know them
KUSTOMIZE = [["kubectl", "kustomize"], ["kustomize", "build"]]

Manifest = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not any(shutil.which(command[0]) for command in KUSTOMIZE), reason="neither kubectl nor kustomize is installed"
)


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """An overlay with every component."""
    folder = tmp_path_factory.mktemp("kustomize")
    place = os.path.relpath(PLACE, folder)  # what kustomize wants
    kustomization = {
        "resources": [f"{place}/overlays/{request.param}"],
        "components": [f"{place}/components/{component}" for component in COMPONENTS],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    command = next(command for command in KUSTOMIZE if shutil.which(command[0]))
    ran = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return [each for each in yaml.safe_load_all(ran.stdout) if each]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def only(manifests: list[Manifest], kind: str, name: str = "control-plane") -> Manifest:
    (found,) = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    return found


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What pods each workload makes, by its name; and the one that backup and restore use."""
    found = {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in of_kind(manifests, "Deployment", "StatefulSet", "Job")
    }
    tools = yaml.safe_load((PLACE / "tools.yaml").read_text(encoding="utf-8"))
    return found | {"tools": tools}


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def test_each_is_as_the_schema_of_its_kind_says(manifests: list[Manifest]) -> None:
    known = [each for each in manifests if each["kind"] not in CUSTOM]
    for each in [*known, yaml.safe_load((PLACE / "tools.yaml").read_text(encoding="utf-8"))]:
        kubernetes_validate.validate(each, VERSION, strict=True)
    wrong = only(manifests, "Deployment")
    wrong = {**wrong, "spec": {**wrong["spec"], "replicsa": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_pod_is_one_that_a_restricted_namespace_admits(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests).items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert {"memory"} <= container["resources"]["limits"].keys(), name


def test_no_pod_of_ours_is_told_of_services_in_variables_that_are_settings(manifests: list[Manifest]) -> None:
    """A service called control-plane would set CONTROL_PLANE_PORT to an address, and no server would start."""
    ours = {
        name: pod
        for name, pod in pods(manifests).items()
        if any(container["image"] == "control-plane" for container in containers(pod))
    }
    assert {"control-plane", "control-plane-migrate"} <= ours.keys()
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in ours.values())


def test_what_is_mounted_and_selected_exists(manifests: list[Manifest]) -> None:
    made_by_script = {"control-plane-next", "control-plane-config", "control-plane-fleet"}
    accounts = {each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")}
    for name, pod in pods(manifests).items():
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
        claimed = {
            claim["metadata"]["name"]
            for each in of_kind(manifests, "StatefulSet")
            for claim in each["spec"]["volumeClaimTemplates"]
        }
        for container in containers(pod):
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes.keys() | claimed, name
        assert {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume} <= made_by_script
        assert pod["spec"].get("serviceAccountName", "control-plane") in accounts
    labels = [pod["metadata"]["labels"].items() for pod in pods(manifests).values()]
    for service in of_kind(manifests, "Service"):
        assert any(service["spec"]["selector"].items() <= each for each in labels), service["metadata"]["name"]
    for policy in of_kind(manifests, "NetworkPolicy"):
        wanted = policy["spec"]["podSelector"].get("matchLabels", {}).items()
        assert any(wanted <= each for each in labels), policy["metadata"]["name"]


def test_a_pod_that_stops_has_the_time_it_takes_and_is_replaced_before_it_stops(manifests: list[Manifest]) -> None:
    deployment = only(manifests, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    variables = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    drain_s = float(variables["CONTROL_PLANE_DRAIN_S"])
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < drain_s
    stopping = drain_s + float(variables["CONTROL_PLANE_SHUTDOWN_GRACE_S"])
    assert stopping + 15 < pod["terminationGracePeriodSeconds"]
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in deployment["spec"]  # else each deployment would undo what the autoscaler did
    autoscaler = only(manifests, "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["minReplicas"] >= 2
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_probes_and_ports_are_those_of_the_program(manifests: list[Manifest]) -> None:
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": Settings.model_fields["port"].default}]
    probes = {name: each["httpGet"]["path"] for name, each in container.items() if name.endswith("Probe")}
    assert probes == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }


def test_secrets_come_from_secrets_alone(manifests: list[Manifest]) -> None:
    assert of_kind(manifests, "Secret") == []
    for pod in pods(manifests).values():
        for container in containers(pod):
            for variable in container.get("env", ()):
                if any(word in variable["name"] for word in ("PASSWORD", "KEY", "_URL")):
                    assert "valueFrom" in variable or variable["name"].endswith("_FILE") or "http:" in variable["value"]


def test_prometheus_asks_with_the_key_that_the_server_wants(manifests: list[Manifest]) -> None:
    (endpoint,) = only(manifests, "ServiceMonitor")["spec"]["endpoints"]
    secret = endpoint["authorization"]["credentials"]
    template = only(manifests, "Deployment")["spec"]["template"]
    (server,) = [each for each in containers(template) if each["name"] == "control-plane"]
    wanted = {each["name"]: each.get("value") for each in server["env"]}["CONTROL_PLANE_METRICS_KEY_FILE"]
    (folder,) = [each["mountPath"] for each in server["volumeMounts"] if str(wanted).startswith(each["mountPath"])]
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "secrets"]
    assert (volume["secret"]["secretName"], f"{folder}/{secret['key']}") == (secret["name"], wanted)
