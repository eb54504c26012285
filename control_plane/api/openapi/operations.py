"""OpenAPI facts of each route that FastAPI does not derive: operation id, access, headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Access(Enum):
    """Which keys a route takes, as names of security schemes; any one of them is enough."""

    NOBODY = ()
    TEAM = ("virtualKey", "xApiKey")
    PAGE = ("virtualKey", "xApiKey", "publishableKey")
    JOB = ("virtualKey", "xApiKey", "jobToken")
    BOTH = ("virtualKey", "xApiKey", "masterKey")
    ADMIN = ("masterKey", "xApiKey")


class Sends(Enum):
    """Which of our headers an answer of success has."""

    NOTHING = ()
    CALL = (
        *("X-Call-Id", "X-Job-Id", "X-Credits-Remaining", "X-Cached"),
        *("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests"),
        *("X-RateLimit-Limit-Tokens", "X-RateLimit-Remaining-Tokens", "X-RateLimit-Reset-Tokens"),
    )
    BILLED_CALL = (*CALL, "X-Call-Cost-Usd", "X-Credits-Charged")
    MESSAGE = (*BILLED_CALL, "request-id")


@dataclass(frozen=True, slots=True)
class Operation:
    """`id`: the method's name in generated clients."""

    id: str
    access: Access
    sends: Sends = Sends.NOTHING


def _credits(method: str, name: str, id_: str, access: Access, below: str = "") -> Mapping[str, Operation]:
    """A route of a team's credits, which has two paths with one meaning. `below`: what the first has before the name."""
    return {
        f"{method} /api/teams/{{team_id}}/{below}{name}": Operation(id_, access),
        f"{method} /api/credits/teams/{{team_id}}/{name}": Operation(f"{id_}_alias", access),
    }


OPERATIONS: Mapping[str, Operation] = {
    "POST /api/jobs/create": Operation("create_job", Access.TEAM),
    "GET /api/jobs/{job_id}": Operation("get_job", Access.BOTH),
    "PATCH /api/jobs/{job_id}/metadata": Operation("add_job_metadata", Access.BOTH),
    "GET /api/jobs/{job_id}/costs": Operation("get_job_costs", Access.BOTH),
    "POST /api/jobs/create-and-call": Operation("create_and_call", Access.TEAM, Sends.CALL),
    "POST /api/jobs/create-and-call-stream": Operation("create_and_call_stream", Access.TEAM, Sends.CALL),
    "POST /api/jobs/{job_id}/llm-call": Operation("llm_call", Access.JOB, Sends.CALL),
    "POST /api/jobs/{job_id}/llm-call-stream": Operation("llm_call_stream", Access.JOB, Sends.CALL),
    "POST /api/jobs/{job_id}/complete": Operation("complete_job", Access.JOB),
    "POST /api/jobs/{job_id}/tokens": Operation("create_job_token", Access.TEAM),
    "GET /api/teams/{team_id}/jobs": Operation("list_team_jobs", Access.BOTH),
    "GET /api/teams/{team_id}/usage": Operation("get_team_usage", Access.BOTH),
    "POST /api/organizations/create": Operation("create_organization", Access.ADMIN),
    "GET /api/organizations": Operation("list_organizations", Access.ADMIN),
    "GET /api/organizations/{organization_id}": Operation("get_organization", Access.ADMIN),
    "GET /api/organizations/{organization_id}/teams": Operation("list_organization_teams", Access.ADMIN),
    "GET /api/organizations/{organization_id}/usage": Operation("get_organization_usage", Access.ADMIN),
    "POST /api/teams/create": Operation("create_team", Access.ADMIN),
    "GET /api/teams": Operation("list_teams", Access.ADMIN),
    "GET /api/teams/{team_id}": Operation("get_team", Access.BOTH),
    "PUT /api/teams/{team_id}": Operation("change_team", Access.ADMIN),
    "DELETE /api/teams/{team_id}": Operation("delete_team", Access.ADMIN),
    "POST /api/teams/{team_id}/suspend": Operation("suspend_team", Access.ADMIN),
    "PUT /api/teams/{team_id}/suspend": Operation("suspend_team_alias", Access.ADMIN),
    "POST /api/teams/{team_id}/resume": Operation("resume_team", Access.ADMIN),
    "PUT /api/teams/{team_id}/resume": Operation("resume_team_alias", Access.ADMIN),
    "PUT /api/teams/{team_id}/model-groups": Operation("set_team_model_groups", Access.ADMIN),
    "POST /api/teams/{team_id}/keys": Operation("create_key", Access.ADMIN),
    "GET /api/teams/{team_id}/keys": Operation("list_keys", Access.ADMIN),
    "POST /api/teams/{team_id}/keys/{key_id}/rotate": Operation("rotate_key", Access.ADMIN),
    "PUT /api/teams/{team_id}/keys/{key_id}/origins": Operation("set_key_origins", Access.ADMIN),
    "DELETE /api/teams/{team_id}/keys/{key_id}": Operation("revoke_key", Access.ADMIN),
    "GET /api/teams/{team_id}/credits": Operation("get_credits", Access.BOTH),
    "GET /api/credits/teams/{team_id}/balance": Operation("get_credits_alias", Access.BOTH),
    **_credits("GET", "transactions", "list_credit_transactions", Access.BOTH, "credits/"),
    **_credits("POST", "add", "add_credits", Access.ADMIN, "credits/"),
    **_credits("POST", "refund", "refund_credits", Access.ADMIN, "credits/"),
    **_credits("POST", "adjust", "adjust_credits", Access.ADMIN, "credits/"),
    **_credits("GET", "grants", "list_credit_grants", Access.BOTH, "credits/"),
    **_credits("GET", "events", "list_credit_events", Access.BOTH, "credits/"),
    **_credits("PATCH", "low-balance-threshold", "set_low_balance_threshold", Access.ADMIN, "credits/"),
    **_credits("GET", "conversion-rates", "get_billing_plan", Access.BOTH),
    **_credits("PATCH", "conversion-rates", "change_conversion_rates", Access.ADMIN),
    **_credits("PATCH", "budget-mode", "change_budget_mode", Access.ADMIN),
    **_credits("POST", "configure-auto-refill", "configure_auto_refill", Access.ADMIN),
    **_credits("GET", "auto-refill", "get_auto_refill", Access.BOTH),
    "POST /api/v1/llm/respond": Operation("respond", Access.PAGE, Sends.BILLED_CALL),
    "POST /v1/chat/completions": Operation("create_chat_completion", Access.TEAM, Sends.BILLED_CALL),
    "POST /v1/embeddings": Operation("create_embeddings", Access.TEAM, Sends.BILLED_CALL),
    "POST /v1/moderations": Operation("create_moderation", Access.TEAM, Sends.BILLED_CALL),
    "POST /v1/rerank": Operation("rerank", Access.TEAM, Sends.BILLED_CALL),
    "GET /v1/models": Operation("list_models", Access.TEAM),
    "GET /v1/models/{name}": Operation("get_model", Access.TEAM),
    "POST /v1/responses": Operation("create_response", Access.TEAM, Sends.BILLED_CALL),
    "POST /v1/messages": Operation("create_message", Access.TEAM, Sends.MESSAGE),
    "POST /v1/messages/count_tokens": Operation("count_tokens", Access.TEAM),
    "GET /api/model-groups": Operation("list_model_groups", Access.BOTH),
    "POST /api/model-groups/reload": Operation("reload_configuration", Access.ADMIN),
    "GET /api/model-groups/{name}/resolve": Operation("resolve_model_group", Access.BOTH),
    "GET /api/model-groups/{name}": Operation("get_model_group", Access.BOTH),
    "GET /api/spend/reconciliations": Operation("list_reconciliations", Access.ADMIN),
    "GET /api/spend/lost": Operation("list_lost_calls", Access.ADMIN),
    "GET /health/live": Operation("get_liveness", Access.NOBODY),
    "GET /health/ready": Operation("get_readiness", Access.NOBODY),
    "GET /health": Operation("get_health", Access.NOBODY),
}
"""By method and path. A route that is not here has no place in the document: `document.py` raises."""
