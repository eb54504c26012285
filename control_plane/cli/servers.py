"""The running servers at one address, as a command that changes their configuration sees them."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from control_plane.cli.guest import GuestFailed
from control_plane.model_groups.losses import Admission

POLL_S = 0.5
REQUEST_S = 60  # a large file takes seconds
PAGE = 100
MOST_TEAMS = 20_000
"""Teams that are looked at for lost access; a server gives a hundred at a time."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What became of a version, in a sentence. `is_good`: every server has it in force."""

    is_good: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class InForce:
    """What the servers run: whom each model group admits, and how many servers there are."""

    admissions: Mapping[str, Admission]
    replicas: int


class Servers:
    """Asks with the master key. Every method but `follow` raises GuestFailed when there is no such server."""

    def __init__(self, url: str, master_key: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {master_key}"}

    def in_force(self) -> InForce:
        """What they run now."""
        with self._asking() as http:
            body = _json(http.get("/api/model-groups"), self.url)
        try:
            groups, replicas = body["model_groups"], body["configuration"]["replicas"]
            admissions = {
                group["group_name"]: Admission(group["team_patterns"], group["granted_teams"]) for group in groups
            }
        except (KeyError, TypeError):
            raise GuestFailed(
                f"What answers at {self.url} is not the control plane, or not to the master key."
            ) from None
        return InForce(admissions, len(replicas))

    def list_teams(self) -> list[str]:
        """The ids of their teams, up to MOST_TEAMS."""
        found: list[str] = []
        cursor = None
        with self._asking() as http:
            while len(found) < MOST_TEAMS:
                page = {"limit": PAGE, **({} if cursor is None else {"cursor": cursor})}
                body = _json(http.get("/api/teams", params=page), self.url)
                found += [str(team["team_id"]) for team in body["teams"]]
                cursor = body["next_cursor"]
                if cursor is None:
                    break
        return found

    def follow(self, generation: str, wait_s: float, *, replicas: int = 1, is_same_file: bool = True) -> Rollout:
        """Asks for a reload, and waits until this version is in force at every server, and at as many as `replicas`.

        `is_same_file`: the server reads the file that was just written, so another version, or a refusal, is final.
        """
        until = time.monotonic() + wait_s
        try:
            with self._asking() as http:
                refusal = self._reload(http, generation)
                while refusal is not None and not is_same_file and time.monotonic() < until:
                    time.sleep(POLL_S)
                    refusal = self._reload(http, generation)
                if refusal is not None:
                    return Rollout(is_good=False, sentence=refusal)
                return self._wait(http, generation, until, replicas)
        except GuestFailed as failure:
            return Rollout(is_good=False, sentence=failure.message)

    def _reload(self, http: httpx.Client, generation: str) -> str | None:
        """Why this version is not in force at the server that answers; None when it is."""
        answer = http.post("/api/model-groups/reload")
        if answer.status_code != HTTPStatus.OK:
            return f"The server at {self.url} refuses: {_detail(answer)}"
        if _json(answer, self.url).get("generation") != generation:
            return f"The server at {self.url} reads another file than this."
        return None

    def _wait(self, http: httpx.Client, generation: str, until: float, replicas: int) -> Rollout:
        said = "Not in force: no server has answered since."
        while True:
            try:
                found = _json(http.get("/api/model-groups"), self.url)["configuration"]["replicas"]
            except (httpx.TransportError, GuestFailed):
                found = None  # a server that others replace
            if found is not None:
                behind = [str(each["name"]) for each in found if each["generation"] != generation]
                if not behind and len(found) >= replicas:
                    return Rollout(is_good=True, sentence=f"In force at {_servers(len(found))}.")
                said = (
                    f"Not in force at {', '.join(behind)}: see the log there."
                    if behind
                    else f"Of {replicas} servers {len(found)} are left: see the logs."
                )
            if time.monotonic() > until:
                return Rollout(is_good=False, sentence=said)
            time.sleep(POLL_S)

    @contextmanager
    def _asking(self) -> Iterator[httpx.Client]:
        try:
            with httpx.Client(base_url=self.url, headers=self._headers, timeout=REQUEST_S) as http:
                yield http
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GuestFailed(f"No server answers at {self.url}: {str(error) or type(error).__name__}.") from None


def _servers(count: int) -> str:
    return "1 server" if count == 1 else f"all {count} servers"


def _json(answer: httpx.Response, url: str) -> Mapping[str, Any]:
    if answer.status_code != HTTPStatus.OK:
        raise GuestFailed(f"The server at {url} refuses: {_detail(answer)}")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise GuestFailed(f"What answers at {url} is not the control plane.")
    return body


def _detail(answer: httpx.Response) -> Any:
    try:
        return answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
