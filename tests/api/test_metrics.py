"""What Prometheus reads of a server: how long its calls take and where, what is held, whether the ledger agrees with the jobs."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from control_plane.metrics import MOST_TEAMS, Metrics
from control_plane.reconciliation.service import ReconciliationService
from control_plane.settings import Settings
from tests.calls.sse import streaming
from tests.support.provider import Provider
from tests.support.server import MASTER_KEY, Team, config_for, new_team, serving, settings_for, write_config


async def seen(team: Team) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = await team.http.get("/metrics")
    assert answer.status_code == 200
    return {name: float(value) for name, value in re.findall(r"^control_plane_(\S+) (\S+)$", answer.text, re.MULTILINE)}


async def test_a_call_is_seen_while_it_runs_and_timed_when_it_has_ended(
    provider: Provider, tmp_path: Path, sqlite_url: str
) -> None:
    settings = settings_for(sqlite_url, write_config(tmp_path, config_for(provider)))
    async with serving(settings) as server, new_team(server) as team:
        later = ReconciliationService(server.services.db, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
        await team.call(await team.create_job())
        found = await later.reconcile("embedded", datetime.now(UTC) - timedelta(hours=1))

        async with streaming(team, await team.create_job(), "hold") as stream:
            await stream.pieces(3)
            running = await seen(team)
            provider.release("hold")
            await stream.rest()
        assert running["calls_in_flight"] == 1
        assert running["credits_held"] == 2
        assert running['reconciliation_unexplained{source="embedded"}'] == found.unexplained
        assert running['reconciliation_drift_nano_usd{source="embedded"}'] == found.drift
        assert running['reconciliation_timestamp_seconds{source="embedded"}'] > datetime.now(UTC).timestamp()

        ended = await seen(team)
        assert ended["calls_in_flight"] == ended["writes_waiting"] == 0
        assert ended["call_admission_seconds_count"] == ended["call_settlement_seconds_count"] == 2
        assert ended['provider_seconds_count{model_group="ok"}'] == 1
        assert ended['provider_seconds_count{model_group="hold"}'] == 1
        assert ended['time_to_first_token_seconds_count{model_group="hold"}'] == 1
        assert (
            ended['time_to_first_token_seconds_sum{model_group="hold"}']
            < ended['provider_seconds_sum{model_group="hold"}']
        )
        assert 'time_to_first_token_seconds_count{model_group="ok"}' not in ended
        assert ended["group_commit_seconds_count"] >= 2


async def test_metrics_with_a_key_are_for_prometheus_and_the_administrator(
    provider: Provider, tmp_path: Path, sqlite_url: str
) -> None:
    file = write_config(tmp_path, config_for(provider))
    settings = settings_for(sqlite_url, file, metrics_key=SecretStr("for-prometheus-alone"))
    async with serving(settings) as server, new_team(server) as team:
        for key, status in (
            ("for-prometheus-alone", 200),
            (MASTER_KEY, 200),
            (team.key, 401),
            ("for-prom", 401),
            (None, 401),
        ):
            async with server.client(key) as client:
                answer = await client.get("/metrics")
                assert (answer.status_code, "cost" in answer.text) == (status, status == 200), key


@pytest.mark.parametrize("key", ["", "   ", "short", " 15-characters- "])
def test_a_metrics_key_that_closes_nothing_is_refused(key: str) -> None:
    """compose's `${METRICS_KEY:-}` is empty when it is forgotten: /metrics was open then."""
    with pytest.raises(ValidationError, match="16 characters"):
        Settings(metrics_key=SecretStr(key))


async def test_so_many_teams_are_told_apart_and_the_others_together() -> None:
    metrics = Metrics()
    for number in range(MOST_TEAMS + 5):
        metrics.overloaded("job", f"team-{number}")
    metrics.overloaded("job", "team-1")
    metrics.overloaded("call", None)
    found = metrics.exposed().decode()
    for team, turn, times in (("team-1", "job", 2), ("others", "job", 5), ("none", "call", 1)):
        assert f'control_plane_overloaded_total{{team="{team}",turn="{turn}"}} {times}.0' in found
    assert f"team-{MOST_TEAMS}" not in found
