"""OpenAPI facts of each route that FastAPI does not derive: operation id, access, headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from control_plane.tenants.roles import TEAM_KEY, Permission


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
    """`id`: the method's name in generated clients. `permission`: what holders of a role need; None: for no role."""

    id: str
    access: Access
    sends: Sends = Sends.NOTHING
    permission: Permission | None = None


def _credits(method: str, name: str, id_: str, permission: Permission, below: str = "") -> Mapping[str, Operation]:
    """A route of a team's credits, which has two paths with one meaning. `below`: what the first has before the name."""
    access = Access.BOTH if permission in TEAM_KEY else Access.ADMIN
    return {
        f"{method} /api/teams/{{team_id}}/{below}{name}": Operation(id_, access, permission=permission),
        f"{method} /api/credits/teams/{{team_id}}/{name}": Operation(f"{id_}_alias", access, permission=permission),
    }


OPERATIONS: Mapping[str, Operation] = {
    "POST /api/jobs/create": Operation("create_job", Access.TEAM),
    "GET /api/jobs/{job_id}": Operation("get_job", Access.BOTH, permission=Permission.JOBS_READ),
    "PATCH /api/jobs/{job_id}/metadata": Operation("add_job_metadata", Access.BOTH, permission=Permission.JOBS_WRITE),
    "GET /api/jobs/{job_id}/costs": Operation("get_job_costs", Access.BOTH, permission=Permission.JOBS_READ),
    "POST /api/jobs/create-and-call": Operation("create_and_call", Access.TEAM, Sends.CALL),
    "POST /api/jobs/create-and-call-stream": Operation("create_and_call_stream", Access.TEAM, Sends.CALL),
    "POST /api/jobs/{job_id}/llm-call": Operation("llm_call", Access.JOB, Sends.CALL),
    "POST /api/jobs/{job_id}/llm-call-stream": Operation("llm_call_stream", Access.JOB, Sends.CALL),
    "POST /api/jobs/{job_id}/complete": Operation("complete_job", Access.JOB),
    "POST /api/jobs/{job_id}/tokens": Operation("create_job_token", Access.TEAM),
    "GET /api/teams/{team_id}/jobs": Operation("list_team_jobs", Access.BOTH, permission=Permission.JOBS_READ),
    "GET /api/teams/{team_id}/usage": Operation("get_team_usage", Access.BOTH, permission=Permission.USAGE_READ),
    "POST /api/organizations/create": Operation(
        "create_organization", Access.ADMIN, permission=Permission.ORGANIZATIONS_WRITE
    ),
    "GET /api/organizations": Operation("list_organizations", Access.ADMIN, permission=Permission.ORGANIZATIONS_READ),
    "GET /api/organizations/{organization_id}": Operation(
        "get_organization", Access.ADMIN, permission=Permission.ORGANIZATIONS_READ
    ),
    "GET /api/organizations/{organization_id}/teams": Operation(
        "list_organization_teams", Access.ADMIN, permission=Permission.TEAMS_READ
    ),
    "GET /api/organizations/{organization_id}/usage": Operation(
        "get_organization_usage", Access.ADMIN, permission=Permission.USAGE_READ
    ),
    "POST /api/teams/create": Operation("create_team", Access.ADMIN, permission=Permission.TEAMS_CREATE),
    "GET /api/teams": Operation("list_teams", Access.ADMIN, permission=Permission.TEAMS_READ),
    "GET /api/teams/{team_id}": Operation("get_team", Access.BOTH, permission=Permission.TEAMS_READ),
    "PUT /api/teams/{team_id}": Operation("change_team", Access.ADMIN, permission=Permission.TEAMS_WRITE),
    "DELETE /api/teams/{team_id}": Operation("delete_team", Access.ADMIN, permission=Permission.TEAMS_SUSPEND),
    "POST /api/teams/{team_id}/suspend": Operation("suspend_team", Access.ADMIN, permission=Permission.TEAMS_SUSPEND),
    "PUT /api/teams/{team_id}/suspend": Operation(
        "suspend_team_alias", Access.ADMIN, permission=Permission.TEAMS_SUSPEND
    ),
    "POST /api/teams/{team_id}/resume": Operation("resume_team", Access.ADMIN, permission=Permission.TEAMS_SUSPEND),
    "PUT /api/teams/{team_id}/resume": Operation(
        "resume_team_alias", Access.ADMIN, permission=Permission.TEAMS_SUSPEND
    ),
    "PUT /api/teams/{team_id}/model-groups": Operation(
        "set_team_model_groups", Access.ADMIN, permission=Permission.MODEL_GROUPS_GRANT
    ),
    "POST /api/teams/{team_id}/keys": Operation("create_key", Access.ADMIN, permission=Permission.KEYS_WRITE),
    "GET /api/teams/{team_id}/keys": Operation("list_keys", Access.ADMIN, permission=Permission.KEYS_READ),
    "POST /api/teams/{team_id}/keys/{key_id}/rotate": Operation(
        "rotate_key", Access.ADMIN, permission=Permission.KEYS_WRITE
    ),
    "PUT /api/teams/{team_id}/keys/{key_id}/origins": Operation(
        "set_key_origins", Access.ADMIN, permission=Permission.KEYS_WRITE
    ),
    "DELETE /api/teams/{team_id}/keys/{key_id}": Operation(
        "revoke_key", Access.ADMIN, permission=Permission.KEYS_WRITE
    ),
    "GET /api/teams/{team_id}/credits": Operation("get_credits", Access.BOTH, permission=Permission.CREDITS_READ),
    "GET /api/credits/teams/{team_id}/balance": Operation(
        "get_credits_alias", Access.BOTH, permission=Permission.CREDITS_READ
    ),
    **_credits("GET", "transactions", "list_credit_transactions", Permission.CREDITS_READ, "credits/"),
    **_credits("POST", "add", "add_credits", Permission.CREDITS_WRITE, "credits/"),
    **_credits("POST", "refund", "refund_credits", Permission.CREDITS_WRITE, "credits/"),
    **_credits("POST", "adjust", "adjust_credits", Permission.CREDITS_WRITE, "credits/"),
    **_credits("GET", "grants", "list_credit_grants", Permission.CREDITS_READ, "credits/"),
    **_credits("GET", "events", "list_credit_events", Permission.CREDITS_READ, "credits/"),
    **_credits("PATCH", "low-balance-threshold", "set_low_balance_threshold", Permission.TEAMS_WRITE, "credits/"),
    **_credits("GET", "conversion-rates", "get_billing_plan", Permission.TEAMS_READ),
    **_credits("PATCH", "conversion-rates", "change_conversion_rates", Permission.PRICES_WRITE),
    **_credits("PATCH", "budget-mode", "change_budget_mode", Permission.PRICES_WRITE),
    **_credits("POST", "configure-auto-refill", "configure_auto_refill", Permission.CREDITS_WRITE),
    **_credits("GET", "auto-refill", "get_auto_refill", Permission.CREDITS_READ),
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
    "GET /api/model-groups": Operation("list_model_groups", Access.BOTH, permission=Permission.MODEL_GROUPS_READ),
    "POST /api/model-groups/reload": Operation(
        "reload_configuration", Access.ADMIN, permission=Permission.CONFIGURATION_RELOAD
    ),
    "GET /api/model-groups/{name}/resolve": Operation(
        "resolve_model_group", Access.BOTH, permission=Permission.MODEL_GROUPS_READ
    ),
    "GET /api/model-groups/{name}": Operation("get_model_group", Access.BOTH, permission=Permission.MODEL_GROUPS_READ),
    "GET /api/spend/reconciliations": Operation(
        "list_reconciliations", Access.ADMIN, permission=Permission.RECONCILIATION_READ
    ),
    "GET /api/spend/lost": Operation("list_lost_calls", Access.ADMIN, permission=Permission.RECONCILIATION_READ),
    "POST /api/access-tokens": Operation("create_access_token", Access.ADMIN, permission=Permission.TOKENS_WRITE),
    "GET /api/access-tokens": Operation("list_access_tokens", Access.ADMIN, permission=Permission.TOKENS_READ),
    "DELETE /api/access-tokens/{token_id}": Operation(
        "revoke_access_token", Access.ADMIN, permission=Permission.TOKENS_WRITE
    ),
    "GET /api/me": Operation("get_permissions", Access.BOTH),
    "GET /api/audit": Operation("list_audit_entries", Access.ADMIN, permission=Permission.AUDIT_READ),
    "GET /health/live": Operation("get_liveness", Access.NOBODY),
    "GET /health/ready": Operation("get_readiness", Access.NOBODY),
    "GET /health": Operation("get_health", Access.NOBODY),
}
"""By method and path. A route that is not here has no place in the document: `document.py` raises."""
