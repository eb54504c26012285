"""What must be true of a database after anything: calls, jobs, credits, rollups. Each returns sentences; none is good."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from control_plane.credits.rules import bill
from control_plane.jobs.models import Job
from control_plane.jobs.plans import read_plan, usage_of
from control_plane.jobs.rules import JobStatus
from control_plane.storage.database import Database
from control_plane.storage.rows import every, many

IN_PROGRESS = "('pending', 'in_progress')"
BILLABLE = "(status IN ('succeeded', 'lost') OR (status = 'cancelled' AND first_chunk_ms IS NOT NULL))"

MUST_BE_EMPTY = {
    "calls are open in closed jobs": f"""SELECT c.id FROM open_calls c JOIN jobs j ON j.id = c.job_id
        WHERE j.status NOT IN {IN_PROGRESS}""",
    "calls are written before they have ended": "SELECT id FROM calls WHERE status = 'open'",
    "calls run and have ended": "SELECT id FROM calls WHERE id IN (SELECT id FROM open_calls)",
    "jobs count open calls wrongly": """SELECT id FROM jobs
        WHERE calls_open <> (SELECT count(*) FROM open_calls c WHERE c.job_id = jobs.id)""",
    "jobs' totals are not the sums of their calls": f"""SELECT j.id FROM jobs j LEFT JOIN (
            SELECT job_id, count(*) calls, sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) succeeded,
                sum(CASE WHEN {BILLABLE} THEN cost_nano_usd ELSE 0 END) cost,
                sum(CASE WHEN {BILLABLE} THEN price_nano_usd ELSE 0 END) price,
                sum(CASE WHEN {BILLABLE} THEN 0 ELSE cost_nano_usd END) unbilled,
                sum(CASE WHEN {BILLABLE} THEN prompt_tokens + completion_tokens ELSE 0 END) tokens
            FROM calls GROUP BY job_id) s ON s.job_id = j.id
        WHERE j.calls_total <> coalesce(s.calls, 0) OR j.calls_succeeded <> coalesce(s.succeeded, 0)
            OR j.cost_nano_usd <> coalesce(s.cost, 0) OR j.price_nano_usd <> coalesce(s.price, 0)
            OR j.unbilled_nano_usd <> coalesce(s.unbilled, 0)
            OR j.prompt_tokens + j.completion_tokens <> coalesce(s.tokens, 0)""",
    "calls have more tokens of a kind than tokens": """SELECT id FROM calls
        WHERE cached_tokens + cache_write_tokens > prompt_tokens OR cache_write_1h_tokens > cache_write_tokens
            OR reasoning_tokens > completion_tokens""",
    "something is reserved for calls that are over": """SELECT id FROM jobs
        WHERE calls_open = 0 AND (reserved_tokens <> 0 OR reserved_cost_nano_usd <> 0 OR reserved_price_nano_usd <> 0)""",
    "closed jobs hold credits": f"SELECT id FROM jobs WHERE status NOT IN {IN_PROGRESS} AND credits_held <> 0",
    "what is held is not what jobs hold": """SELECT team_id FROM credit_balances b
        WHERE held <> (SELECT coalesce(sum(credits_held), 0) FROM jobs j WHERE j.team_id = b.team_id)""",
    "jobs are charged twice or not at all": """SELECT j.id FROM jobs j
        LEFT JOIN (SELECT ref, count(*) entries, sum(-available_delta - held_delta) credits FROM ledger_entries
            WHERE kind = 'deduction' GROUP BY ref) l ON replace(l.ref, '-', '') = replace(CAST(j.id AS text), '-', '')
        WHERE coalesce(l.credits, 0) <> coalesce(j.credits_charged, 0) OR coalesce(l.entries, 0) > 1""",
    "one-call jobs that were asked for again are charged twice": """SELECT c.purpose FROM calls c
        JOIN jobs j ON j.id = c.job_id LEFT JOIN ledger_entries l
            ON l.kind = 'refund' AND replace(l.ref, '-', '') = replace(CAST(j.id AS text), '-', '')
        WHERE c.purpose LIKE 'token-%' AND j.job_type = 'single' AND j.credits_charged > 0 AND l.id IS NULL
        GROUP BY c.purpose HAVING count(*) > 1""",
    "calls that were asked for again are counted twice": f"""SELECT purpose FROM calls
        WHERE purpose LIKE 'token-%' AND {BILLABLE} AND prompt_tokens + completion_tokens > 0
            AND job_id IN (SELECT id FROM jobs WHERE job_type <> 'single')
        GROUP BY purpose HAVING count(*) > 1""",
    "balances are not the sums of their ledgers": """SELECT b.team_id FROM credit_balances b
        WHERE available <> (SELECT coalesce(sum(available_delta), 0) FROM ledger_entries l WHERE l.team_id = b.team_id)
            OR held <> (SELECT coalesce(sum(held_delta), 0) FROM ledger_entries l WHERE l.team_id = b.team_id)""",
    "balances are below 0": "SELECT team_id FROM credit_balances WHERE available < 0 OR held < 0",
    "what open jobs cost is counted wrongly": f"""SELECT b.team_id FROM credit_balances b
        WHERE open_cost_nano_usd <> (SELECT coalesce(sum(cost_nano_usd + unbilled_nano_usd), 0) FROM jobs j
            WHERE j.team_id = b.team_id AND j.status IN {IN_PROGRESS})""",
    "what running calls may cost is counted wrongly": """SELECT b.team_id FROM credit_balances b
        WHERE open_worst_nano_usd <> (SELECT coalesce(sum(worst_nano_usd), 0) FROM open_calls c
            WHERE c.team_id = b.team_id)""",
    "days do not count their jobs": """SELECT d.team_id FROM job_days d
        WHERE jobs <> (SELECT count(*) FROM jobs j
            WHERE j.team_id = d.team_id AND j.day = d.day AND j.job_type = d.job_type)
        OR credits_charged <> (SELECT coalesce(sum(j.credits_charged), 0) FROM jobs j
            WHERE j.team_id = d.team_id AND j.day = d.day AND j.job_type = d.job_type)""",
    "days do not sum up their calls": """SELECT t.team_id FROM
        (SELECT team_id, day, job_type, sum(cost_nano_usd) cost, sum(price_nano_usd) price, sum(calls_total) calls,
            sum(unbilled_nano_usd) unbilled, sum(prompt_tokens + completion_tokens) tokens
            FROM jobs GROUP BY team_id, day, job_type) t
        LEFT JOIN (SELECT team_id, day, job_type, sum(cost_nano_usd) cost, sum(price_nano_usd) price, sum(calls) calls,
            sum(unbilled_nano_usd) unbilled, sum(prompt_tokens + completion_tokens) tokens
            FROM usage_days GROUP BY team_id, day, job_type) u
        ON u.team_id = t.team_id AND u.day = t.day AND u.job_type = t.job_type
        WHERE coalesce(u.cost, 0) <> t.cost OR coalesce(u.price, 0) <> t.price OR coalesce(u.calls, 0) <> t.calls
            OR coalesce(u.unbilled, 0) <> t.unbilled OR coalesce(u.tokens, 0) <> t.tokens""",
}


async def rows(db: Database, statement: str) -> Sequence[Any]:
    async with db.reader(is_long=True) as reader:
        found: Sequence[Any] = (await reader.execute(text(statement))).all()
    return found


async def find_inconsistencies(db: Database) -> list[str]:
    """Every sentence that should not be true."""
    found = []
    for sentence, statement in MUST_BE_EMPTY.items():
        if bad := await rows(db, statement):
            found.append(f"{sentence}: {[str(row[0]) for row in bad[:5]]}")
    return found + await wrong_bills(db)


async def wrong_bills(db: Database) -> list[str]:
    """Closed jobs whose charge is not what the billing rules say of their calls."""
    async with db.reader() as reader:
        jobs = many(Job, await reader.execute(every(Job)))
    found = []
    for job in jobs:
        if job.completed_at is None:
            continue
        is_completed = job.status == JobStatus.COMPLETED
        charged = bill(read_plan(job.plan), is_completed=is_completed, usage=usage_of(job))
        if charged != job.credits_charged:
            found.append(f"job {job.id} was charged {job.credits_charged} instead of {charged}")
    return found
