"""What is asked of every target: the same prompt, the same models, the same numbers of connections."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

GROUP, IDLE_GROUP, PACED_GROUP, TWO_GROUP = "Bench", "BenchIdle", "BenchPaced", "BenchTwo"
MODEL, IDLE_MODEL, PACED_MODEL, TWO_MODEL = "bench", "bench-idle", "bench-paced", "bench-two"
TEAM = "bench"
MANY_TEAMS = 2000
"""More than are asked in one cell, so that nobody's key is remembered from the last time."""


class Kind(StrEnum):
    """The sort of call. `JOB`: a job of its own around each buffered call: create, call, complete.

    `TWO`: the Router has two deployments to choose from. `MANY_TEAMS`: each call is made with another team's key.
    """

    BUFFERED = "buffered"
    TWO = "buffered, two deployments"
    MANY_TEAMS = f"buffered, {MANY_TEAMS} teams"
    STREAM = "stream"
    PACED = "paced stream"
    JOB = "job per call"
    IDLE = "idle stream"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row group of the report. `aim`: the CPU ratio to the bare router that we want to stay under.

    `pause_s`: each connection begins a call so often, which leaves the server idle in between: then latencies are the
    server's own and not those of its queue. `beside`: the scenario that differs from this one in one thing.
    """

    kind: Kind
    connections: int
    aim: float | None = None
    pause_s: float = 0
    beside: "Scenario | None" = None

    @property
    def name(self) -> str:
        """As the report calls it."""
        pace = f", {self.connections / self.pause_s:.0f}/s" if self.pause_s else ""
        return f"{self.kind.value}, {self.connections} conn.{pace}"


SIXTEEN = Scenario(Kind.BUFFERED, 16, aim=0.35)
SCENARIOS = (
    Scenario(Kind.BUFFERED, 1, aim=1.0),
    SIXTEEN,
    Scenario(Kind.BUFFERED, 64, aim=0.35),
    Scenario(Kind.TWO, 16, beside=SIXTEEN),
    Scenario(Kind.MANY_TEAMS, 16, beside=SIXTEEN),
    Scenario(Kind.STREAM, 8, pause_s=0.25),
    Scenario(Kind.STREAM, 16, aim=0.15),
    Scenario(Kind.STREAM, 16, pause_s=0.1),
    Scenario(Kind.PACED, 64),
    Scenario(Kind.JOB, 16),
)
IDLE_AIM_KB = 100

CALL: dict[str, Any] = {
    "messages": [
        {
            "role": "system",
            "content": "You read résumés and answer with what they say, in plain words, without guesses.",
        },
        {
            "role": "user",
            "content": "John Smith, john@example.com, 35, has built payment systems for eleven years, first in a bank, "
            "then in a start-up of his own; he likes mountains, old maps and short meetings. What does he do?",
        },
    ],
    "temperature": 0.2,
    "max_tokens": 500,
}


STREAMED = {Kind.STREAM, Kind.PACED, Kind.IDLE}
MODELS = {Kind.IDLE: IDLE_MODEL, Kind.PACED: PACED_MODEL, Kind.TWO: TWO_MODEL}
GROUPS = {Kind.IDLE: IDLE_GROUP, Kind.PACED: PACED_GROUP, Kind.TWO: TWO_GROUP}
"""Where it is not the usual one."""


def config(provider_port: int) -> str:
    """A `litellm_config.yaml` (JSON is YAML) that both the bare router and we read: one priced model at the provider."""

    def deployment(name: str, path: str, number: int = 1) -> dict[str, Any]:
        base = f"http://127.0.0.1:{provider_port}{path}/v1"
        return {
            "model_name": name,
            "litellm_params": {"model": "openai/gpt-4o", "api_base": base, "api_key": "sk-provider"},
            "model_info": {"id": f"{name}-{number}"},
        }

    def group(model: str) -> dict[str, Any]:
        return {"description": "What the benchmark asks.", "models": [model], "teams": [TEAM]}

    return json.dumps(
        {
            "model_list": [
                deployment(MODEL, ""),
                deployment(IDLE_MODEL, "/idle"),
                deployment(PACED_MODEL, "/paced"),
                *(deployment(TWO_MODEL, "", number) for number in (1, 2)),
            ],
            "model_groups": {GROUP: group(MODEL), **{GROUPS[kind]: group(MODELS[kind]) for kind in GROUPS}},
        },
        indent=2,
    )
