"""The wire of the reconciliation: comparisons made, and calls that were lost."""

from collections.abc import Sequence

from control_plane.schemas.base import Answer, Moment


class FindingSum(Answer):
    """Calls of one finding; amounts in nano-USD."""

    calls: int
    recorded: int
    reported: int
    priced: int
    unexplained: int


class ReconciliationView(Answer):
    """One comparison of our calls with what LiteLLM reported. `drift_nano_usd`: reported minus recorded."""

    reconciliation_id: str
    source: str
    since: Moment
    until: Moment
    findings: dict[str, FindingSum]
    drift_nano_usd: int
    unexplained: int
    created_at: Moment


class ReconciliationList(Answer):
    """The comparisons, newest first. `next_cursor` leads to the next page; null on the last."""

    reconciliations: Sequence[ReconciliationView]
    next_cursor: str | None


class LostCall(Answer):
    """A call whose server died; tokens and cost are what it counts as."""

    call_id: str
    job_id: str
    team_id: str
    model_group: str
    purpose: str | None
    is_stream: bool
    tokens: int
    cost_usd: float
    created_at: Moment


class LostCallList(Answer):
    """Lost calls, newest first. `next_cursor` leads to the next page; null on the last."""

    calls: Sequence[LostCall]
    next_cursor: str | None
