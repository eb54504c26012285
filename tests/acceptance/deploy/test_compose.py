"""compose.yaml and the image: what Compose would refuse, and what would not be kept or not be safe."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from control_plane.settings import Settings
from tests.acceptance.deploy.files import DEPLOY, read

# https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json, Apache-2.0
SCHEMA = json.loads(Path(__file__).with_name("compose-spec.schema.json").read_text(encoding="utf-8"))
FILES = [path.name for path in sorted((DEPLOY / "compose").glob("compose*.yaml"))]
REPLICAS = ("control-plane-1", "control-plane-2")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = read("compose/compose.yaml")
    return found


@pytest.mark.parametrize("name", FILES)
def test_it_is_as_the_compose_specification_says(name: str) -> None:
    file = read(f"compose/{name}")
    jsonschema.Draft7Validator(SCHEMA).validate(file)
    next(iter(file["services"].values()))["no_such_key"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(file)


@pytest.mark.parametrize("name", FILES)
def test_what_is_referred_to_is_there(name: str) -> None:
    """Files of ours that are mounted, and the secrets, volumes, networks and services that are named."""
    base, file = read("compose/compose.yaml"), read(f"compose/{name}")
    together = {key: {**base[key], **file.get(key, {})} for key in ("services", "secrets", "volumes", "networks")}
    for service in file["services"].values():
        assert set(service.get("secrets", ())) <= together["secrets"].keys()
        assert set(service.get("networks", ())) <= together["networks"].keys()
        assert set(service.get("depends_on", ())) <= together["services"].keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), source
            elif not source.startswith("$"):
                assert source in together["volumes"]


def test_data_outlives_the_containers(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert "caddy:/data" in services["proxy"]["volumes"]  # the certificates


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_has_nothing_it_does_not_need_and_the_time_to_stop(compose: dict[str, Any], name: str) -> None:
    replica = compose["services"][name]
    assert (replica["read_only"], replica["cap_drop"]) == (True, ["ALL"])
    assert "ports" not in replica
    environment = replica["environment"]
    assert not {"CONTROL_PLANE_MASTER_KEY", "CONTROL_PLANE_DATABASE_URL"} & environment.keys()
    assert {f"CONTROL_PLANE_{secret.upper()}_FILE" for secret in replica["secrets"]} <= environment.keys()
    stopping = float(environment["CONTROL_PLANE_DRAIN_S"]) + float(environment["CONTROL_PLANE_SHUTDOWN_GRACE_S"])
    assert stopping + 15 < float(replica["stop_grace_period"].removesuffix("s"))


def test_the_proxy_notices_that_a_replica_will_stop_while_it_still_takes_calls(compose: dict[str, Any]) -> None:
    caddyfile = (DEPLOY / "compose/caddy/Caddyfile").read_text(encoding="utf-8")
    asked = re.findall(r"health_(?:interval|timeout) (\d+)s", caddyfile)
    drain_s = float(compose["services"][REPLICAS[0]]["environment"]["CONTROL_PLANE_DRAIN_S"])
    assert sum(map(int, asked)) < drain_s
    upstreams = re.search(r"UPSTREAMS:([^}]+)", caddyfile)
    assert upstreams is not None
    assert upstreams[1].split() == [f"{name}:8003" for name in REPLICAS]


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stands_in_an_environment(name: str) -> None:
    """Everybody who may look at a container sees its environment."""
    for service in read(f"compose/{name}")["services"].values():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|KEY|SECRET|DATABASE_URL", variable):
                assert variable.endswith("_FILE")
                assert str(value).startswith("/run/secrets/")


def test_the_image_is_not_roots_and_takes_only_what_is_locked() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    _, _, last = dockerfile.rpartition("\nFROM ")
    assert re.search(r"^USER (\d+):", last, re.MULTILINE) is not None
    assert "HEALTHCHECK" in last
    installs = re.findall(r"pip install (.*)", dockerfile)
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)
    assert f"EXPOSE {Settings.model_fields['port'].default}" in last
