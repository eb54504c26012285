"""Puts a new version of the configuration in the place of the old one, and sees that the running servers follow."""

import errno
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

POLL_S = 0.5
REQUEST_S = 60  # a large file takes seconds


@dataclass(frozen=True, slots=True)
class Told:
    """What became of it, in a sentence."""

    is_good: bool
    sentence: str


def replace_file(file: Path, content: bytes) -> None:
    """The file has this content, at once and whole, with the permissions it had.

    A file that is mounted by itself, as into a container, cannot be replaced: it is written to in its place.
    """
    real = file.resolve()
    descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(content)
        if real.exists():
            shutil.copymode(real, new)
        new.replace(real)
    except OSError as error:
        new.unlink()
        if error.errno != errno.EBUSY:
            raise
        real.write_bytes(content)


class Servers:
    """The running servers, asked at one address."""

    def __init__(self, url: str, master_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {master_key}"}

    def follow(self, generation: str, wait_s: float) -> Told:
        """Asks for a reload, and waits until every server has this version in force."""
        try:
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=REQUEST_S) as http:
                return self._follow(http, generation, wait_s)
        except httpx.TransportError:
            return Told(
                is_good=True,
                sentence=f"No server answers at {self._url}; the next that starts has this version in force.",
            )

    def _follow(self, http: httpx.Client, generation: str, wait_s: float) -> Told:
        answer = http.post("/api/model-groups/reload")
        if answer.status_code != HTTPStatus.OK:
            return Told(is_good=False, sentence=f"The server at {self._url} refuses: {_detail(answer)}")
        if answer.json()["generation"] != generation:
            return Told(is_good=False, sentence=f"The server at {self._url} reads another file than this.")
        until = time.monotonic() + wait_s
        while True:
            replicas = http.get("/api/model-groups").raise_for_status().json()["configuration"]["replicas"]
            behind = [str(each["name"]) for each in replicas if each["generation"] != generation]
            if not behind:
                return Told(is_good=True, sentence=f"In force at {_servers(len(replicas))}.")
            if time.monotonic() > until:
                return Told(is_good=False, sentence=f"Not in force at {', '.join(behind)}: see the log there.")
            time.sleep(POLL_S)


def _servers(count: int) -> str:
    return "1 server" if count == 1 else f"all {count} servers"


def _detail(answer: httpx.Response) -> Any:
    try:
        return answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
