"""Settings and provider keys from files, as container engines mount secrets."""

from pathlib import Path

import pytest

from control_plane.errors import InvalidConfig
from control_plane.model_groups.config import load_catalog
from control_plane.settings import Settings

KEY = "sk-master-from-a-file"


def test_a_setting_is_read_from_the_file_its_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "port").write_text("9000\n")
    monkeypatch.setenv("CONTROL_PLANE_MASTER_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("CONTROL_PLANE_PORT_FILE", str(tmp_path / "port"))
    settings = Settings()
    assert settings.master_key is not None
    assert settings.master_key.get_secret_value() == KEY
    assert settings.port == 9000
    assert KEY not in repr(settings)


def test_a_secret_that_is_not_there_or_is_there_twice_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTROL_PLANE_MASTER_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(InvalidConfig, match="missing cannot be read: No such file"):
        Settings()
    (tmp_path / "missing").write_text(KEY)
    monkeypatch.setenv("CONTROL_PLANE_MASTER_KEY", "sk-another-master-key")
    with pytest.raises(InvalidConfig, match="CONTROL_PLANE_MASTER_KEY_FILE are both set") as refused:
        Settings()
    assert KEY not in str(refused.value)


def config(folder: Path) -> Path:
    file = folder / "litellm_config.yaml"
    file.write_text(
        "model_list:\n"
        "  - model_name: gpt\n"
        "    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"
        "model_groups:\n"
        "  Agent: {models: [gpt]}\n"
    )
    return file


def test_a_providers_key_is_read_from_the_file_its_variable_names(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-provider\n")
    catalog = load_catalog(config(tmp_path), {"OPENAI_API_KEY_FILE": str(tmp_path / "key")})
    assert catalog.router.deployments[0].params["api_key"] == "sk-provider"


@pytest.mark.parametrize(("text", "said"), [(None, "cannot be read: No such file"), ("\n", "is empty")])
def test_a_providers_key_that_cannot_be_read_is_a_mistake(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "key").write_text(text)
    with pytest.raises(InvalidConfig, match=said):
        load_catalog(config(tmp_path), {"OPENAI_API_KEY_FILE": str(tmp_path / "key")})
