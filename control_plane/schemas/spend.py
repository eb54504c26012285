"""Response models of reconciliations and lost calls."""

from collections.abc import Sequence

from pydantic import Field

from control_plane.schemas.base import Answer, Moment


class FindingSum(Answer):
    """Calls of one finding; amounts in nano-USD."""

    calls: int = Field(description="calls with this finding")
    recorded: int = Field(description="what we recorded, in nano-USD")
    reported: int = Field(description="what LiteLLM reported, in nano-USD")
    priced: int = Field(description="what our price list gives, in nano-USD")
    unexplained: int = Field(description="the part of the difference that has no explanation, in nano-USD")


class ReconciliationView(Answer):
    """One comparison of our calls with what LiteLLM reported. `drift_nano_usd`: reported minus recorded."""

    reconciliation_id: str = Field(description="id of the comparison")
    source: str = Field(description="source of the reports: `embedded` (the server's own LiteLLM) or a proxy's name")
    since: Moment = Field(description="begin of the time compared (RFC 3339, UTC), inclusive")
    until: Moment = Field(description="end of the time compared (RFC 3339, UTC), exclusive")
    findings: dict[str, FindingSum] = Field(description="sums by finding")
    drift_nano_usd: int = Field(description="reported minus recorded, in nano-USD")
    unexplained: int = Field(description="calls with an unexplained difference")
    created_at: Moment = Field(description="when the comparison was made (RFC 3339, UTC)")


class ReconciliationList(Answer):
    """The comparisons, newest first. `next_cursor` leads to the next page; null on the last."""

    reconciliations: Sequence[ReconciliationView] = Field(description="the comparisons, newest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


class LostCall(Answer):
    """A call whose server died, with the tokens and cost it counts as."""

    call_id: str = Field(description="id of the call")
    job_id: str = Field(description="id of the job")
    team_id: str = Field(description="id of the team")
    model_group: str = Field(description="model group that was called")
    purpose: str | None = Field(description="purpose of the call, named by the app")
    is_stream: bool = Field(description="whether the answer was streamed")
    tokens: int = Field(description="tokens that the call counts as")
    cost_usd: float = Field(description="cost that the call counts as, in US dollars")
    created_at: Moment = Field(description="when the call began (RFC 3339, UTC)")


class LostCallList(Answer):
    """Lost calls, newest first. `next_cursor` leads to the next page; null on the last."""

    calls: Sequence[LostCall] = Field(description="the lost calls, newest first")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")
