"""The running servers at one address, as a command that changes their configuration sees them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.cli.answers import AdminGroups, ApiCallFailed, Reloaded, Team
from control_plane.cli.requests import REQUEST_S, Connection, connected
from control_plane.model_groups.losses import Admission

POLL_S = 0.5
LEAST_S = 5.0
"""What a request may take when the time to wait is nearly over."""
MOST_TEAMS = 20_000
"""Teams that are looked at for lost access; a server gives a hundred at a time."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What became of a version, in a sentence. `is_good`: every server has it in force."""

    is_good: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class InForce:
    """What the servers run: whom each model group admits, how many servers there are, and their versions."""

    admissions: Mapping[str, Admission]
    replicas: int
    generations: frozenset[str | None]


class Servers:
    """Asks with the master key. Every method but `follow` raises ApiCallFailed when there is no such server."""

    def __init__(self, url: str, master_key: str) -> None:
        self.url = url
        self._master_key = master_key

    def in_force(self) -> InForce:
        """What they run now."""
        with connected(self.url, self._master_key) as server:
            found = server.request("GET", "/api/model-groups").read(AdminGroups)
        admissions = {
            group.group_name: Admission(group.team_patterns, group.granted_teams) for group in found.model_groups
        }
        replicas = found.configuration.replicas
        return InForce(admissions, len(replicas), frozenset(replica.generation for replica in replicas))

    def list_teams(self) -> list[str]:
        """The ids of their teams, up to MOST_TEAMS."""
        with connected(self.url, self._master_key) as server:
            teams = server.rows("/api/teams", "teams", Team, query={}, limit=MOST_TEAMS)
        return [str(team["team_id"]) for team in teams]

    def follow(self, generation: str, wait_s: float, *, replicas: int = 1, is_same_file: bool = True) -> Rollout:
        """Asks for a reload, and waits until this version is in force at every server, and at as many as `replicas`.

        `is_same_file`: the server reads the file that was just written, so another version, or a refusal, is final.
        """
        until = time.monotonic() + wait_s
        try:
            with connected(self.url, self._master_key) as server:
                refusal = self._reload(server, generation, until)
                while refusal is not None and not is_same_file and time.monotonic() < until:
                    time.sleep(POLL_S)
                    refusal = self._reload(server, generation, until)
                if refusal is not None:
                    return Rollout(is_good=False, sentence=refusal)
                return self._wait(server, generation, until, replicas)
        except ApiCallFailed as failure:
            return Rollout(is_good=False, sentence=failure.message)

    def _reload(self, server: Connection, generation: str, until: float) -> str | None:
        """Why this version is not in force at the server that answers; None when it is."""
        answer = server.request("POST", "/api/model-groups/reload", within_s=_left(until))
        if not answer.is_success:
            return f"The server at {self.url} refuses: {answer.reason}"
        if answer.read(Reloaded).generation != generation:
            return f"The server at {self.url} reads another file than this."
        return None

    def _wait(self, server: Connection, generation: str, until: float, replicas: int) -> Rollout:
        said = "Not in force: no server has answered since."
        while True:
            try:
                answer = server.request("GET", "/api/model-groups", within_s=_left(until))
                found = answer.read(AdminGroups).configuration.replicas
            except ApiCallFailed:
                found = None  # a server that others replace
            if found is not None:
                behind = [str(each.name) for each in found if each.generation != generation]
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


def _left(until: float) -> float:
    return min(REQUEST_S, max(LEAST_S, until - time.monotonic()))


def _servers(count: int) -> str:
    return "1 server" if count == 1 else f"all {count} servers"
