"""The master key: from the settings, or made at the first start and stored in a file only its owner can read."""

import os
import secrets
from pathlib import Path

from control_plane.errors import InvalidConfig
from control_plane.settings import MIN_KEY_CHARS, Settings


def find_master_key(settings: Settings) -> tuple[str, bool]:
    """The key, and whether it was made just now (then show it, once).

    Raises: InvalidConfig for a short one, and in production for none at all.
    """
    if settings.master_key is not None:
        key = settings.master_key.get_secret_value()
        if len(key) < MIN_KEY_CHARS:
            raise InvalidConfig([f"CONTROL_PLANE_MASTER_KEY is shorter than {MIN_KEY_CHARS} characters."])
        return key, False
    if settings.env == "production":
        raise InvalidConfig(["CONTROL_PLANE_MASTER_KEY is not set; in production none is made up."])
    file = settings.var / "master_key"
    if file.exists():
        return file.read_text().strip(), False
    key = f"sk-master-{secrets.token_hex(24)}"
    _write_private(file, key)
    return key, True


def existing_master_key(settings: Settings) -> str:
    """The key, for a command that talks to a running server: a new one would not be that server's.

    Raises: InvalidConfig for a short one, and for none at all.
    """
    file = settings.var / "master_key"
    if settings.master_key is None and (settings.env == "production" or not file.exists()):
        where = "" if settings.env == "production" else f", and there is no file {file}"
        raise InvalidConfig([f"CONTROL_PLANE_MASTER_KEY is not set{where}. Give the key of the server."])
    return find_master_key(settings)[0]


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
        private.write(f"{text}\n")
