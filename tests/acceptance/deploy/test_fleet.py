"""The fleet of LiteLLM proxies: the two files about its models agree, and it is the LiteLLM that is locked."""

import re

from control_plane.model_groups.config import load_catalog
from tests.acceptance.deploy.files import DEPLOY, read, texts

ENVIRONMENT = {"FLEET_URL": "http://fleet:4000", "FLEET_KEY": "sk-fleet"}


def test_every_model_of_the_control_plane_is_one_of_the_proxies_and_has_a_price() -> None:
    """`load_catalog` refuses a model without a price."""
    catalog = load_catalog(DEPLOY / "fleet/litellm_config.yaml", ENVIRONMENT)
    served = {each["model_name"] for each in read("fleet/proxy.yaml")["model_list"]}
    for deployment in catalog.router.deployments:
        assert str(deployment.params["model"]).removeprefix("litellm_proxy/") in served
        assert deployment.params["api_base"] == ENVIRONMENT["FLEET_URL"]


def test_the_proxies_are_the_litellm_that_is_locked() -> None:
    """Other versions may keep other spend logs, which then cannot be compared."""
    locked = re.search(r"^litellm==(\S+)", (DEPLOY / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert locked is not None
    images = [image for text in texts().values() for image in re.findall(r"berriai/litellm[\w-]*:v([\d.]+)", text)]
    assert images
    assert set(images) == {locked[1]}
