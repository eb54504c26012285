"""SQL of the spend logs."""

from collections.abc import Sequence

from sqlmodel import col

from control_plane.chat import SpendReport
from control_plane.ids import JobId, TeamId
from control_plane.jobs.models import Call
from control_plane.reconciliation.models import SpendLog
from control_plane.storage.database import Reader, Tx
from control_plane.storage.rows import every, many
from control_plane.storage.upsert import upsert
from control_plane.storage.usage_columns import usage_values


async def add_reports(tx: Tx, reports: Sequence[SpendReport]) -> None:
    """Keeps what LiteLLM reported, one row per attempt, also when a report is written again."""
    rows = [
        {
            "id": report.id,
            "call_id": report.call_id,
            "request_id": report.request_id,
            "status": report.status,
            "model": report.model,
            "model_group": report.model_group,
            "deployment_id": report.deployment_id,
            "provider": report.provider,
            "lane": report.lane,
            "cost_nano_usd": report.cost,
            "prompt_tokens": report.prompt_tokens,
            "completion_tokens": report.completion_tokens,
            "is_cached": report.is_cached,
            "error_class": report.error_class,
            **usage_values(report.usage),
            "started_at": report.started_at,
            "ended_at": report.ended_at,
        }
        for report in reports
    ]
    await tx.execute(upsert(tx.dialect.name, SpendLog).on_conflict_do_nothing(index_elements=["id"]), rows)


async def list_logs(reader: Reader, team_id: TeamId, job_id: JobId) -> Sequence[SpendLog]:
    """The spend logs of a job's calls, in the order they arrived."""
    statement = (
        every(SpendLog)
        .join(Call, col(Call.id) == col(SpendLog.call_id))
        .where(col(Call.job_id) == job_id, col(Call.team_id) == team_id)
        .order_by(col(SpendLog.id))
    )
    return many(SpendLog, await reader.execute(statement))
