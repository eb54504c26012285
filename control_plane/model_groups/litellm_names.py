"""Names with a meaning in LiteLLM 1.106.2, and those that are rejected here, each with its reason.

LiteLLM takes seconds to import, so the checker has its names here; a test compares them with the installed LiteLLM. The
typo lists need not be complete: a name is called a typo only when it is nearly one of them.
"""

from collections.abc import Mapping

from control_plane.gateway.settings import ROUTER_SETTINGS, UNSUPPORTED

OUR_SECTION = "model_groups"

SECTIONS_IN_USE = {
    "model_list": "The deployments: which models exist, at which provider, at what price.",
    "router_settings": "Settings of LiteLLM's Router: timeouts, retries, cooldowns, routing.",
    "litellm_settings": "Settings of the litellm module, such as drop_params.",
    "environment_variables": "Variables that os.environ/NAME in this file may refer to, and that providers' libraries read.",
    "credential_list": "Named credentials that deployments share through litellm_credential_name.",
}

PROXY_SECTIONS = (
    "general_settings",
    "agent_list",
    "agents",
    "assistant_settings",
    "callback_settings",
    "default_vertex_config",
    "files_settings",
    "finetune_settings",
    "mcp_aliases",
    "mcp_servers",
    "mcp_tools",
    "prompts",
    "sandbox_tools",
    "search_tools",
    "vector_store_registry",
    "worker_registry",
)
"""Only LiteLLM's proxy reads these. They may stand in a file that both share; nothing here depends on them."""

_UNGUARDED = "only LiteLLM's proxy applies it, so calls made here would pass unguarded"
_HOPS = (
    "the models of a model group, in their order, are the fallbacks; "
    "one written here could answer with a model outside the group, past the team's permission"
)
_SHARED_CACHE = "LiteLLM's response cache is shared by all teams, so one team would read another's answers"
_CODE = "it takes Python objects, which a file cannot hold"

REFUSED_SECTIONS: Mapping[str, str] = {
    "include": "everything must stand in one file, so that mistakes have a line and a version has one fingerprint",
    "guardrails": _UNGUARDED,
    "policies": _UNGUARDED,
    "policy_attachments": _UNGUARDED,
}

UNUSED_SECTIONS: Mapping[str, str] = {
    "mcp_servers": "clients' tools never reach an MCP server here",
    "mcp_tools": "clients' tools never reach an MCP server here",
    "callback_settings": "calls are reported to the spend log only",
    "vector_store_registry": "vector stores are not used here",
    "prompts": "prompts come from clients only",
}
"""Notes on some of `PROXY_SECTIONS`."""

UNUSED_GENERAL_SETTINGS: Mapping[str, str] = {
    "master_key": "the administrator's key is CONTROL_PLANE_MASTER_KEY",
    "database_url": "the database is CONTROL_PLANE_DATABASE_URL",
    "alerting": "alerts are rules for Prometheus: deploy/observability/rules.yaml",
    "max_request_size_mb": "CONTROL_PLANE_MAX_BODY_BYTES is the most a request may take",
    "max_parallel_requests": "teams, keys and model groups have limits of their own (max_parallel_calls)",
    "global_max_parallel_requests": "teams, keys and model groups have limits of their own (max_parallel_calls)",
    "store_model_in_db": "models stand in this file only",
    "pass_through_endpoints": "there are no other endpoints than those of GET /openapi.json",
    "enable_jwt_auth": "clients come with a team's virtual key",
    "custom_auth": "clients come with a team's virtual key",
    "key_management_system": "os.environ/NAME, or NAME_FILE, is where a secret comes from",
    "background_health_checks": "deployments that fail are left alone for a while (router_settings.cooldown_time)",
    "disable_spend_logs": "every call is recorded; CONTROL_PLANE_SPEND_LOG_RETENTION_DAYS drops old spend logs",
    "maximum_spend_logs_retention_period": "CONTROL_PLANE_SPEND_LOG_RETENTION_DAYS drops old spend logs",
}

_UNHELD = "only LiteLLM's proxy applies it, so that what it forbids would be allowed here"
REFUSED_GENERAL_SETTINGS: Mapping[str, str] = {
    "allowed_ips": f"{_UNHELD}; let a firewall or the proxy in front do it, and origins at a team's publishable keys",
    "enforced_params": _UNHELD,
    "custom_key_policy": _UNHELD,
    "blocked_file_extensions": _UNHELD,
    "allowed_file_extensions": _UNHELD,
    "control_plane_url": "it names a program of LiteLLM's that decides about calls, and is not used here",
}
"""Of `general_settings`: protection that an operator relies on."""

_BUDGET = (
    "LiteLLM's budgets are not kept here, where calls are relayed past its counting, and a server does not start with "
    "them; budgets are credits and at_risk_limit_usd of teams, and limits of model groups"
)

ROUTER_ARGUMENTS = tuple(
    """
    alerting_config allowed_fails allowed_fails_policy assistants_config auto_router_capability_limit
    background_health_check_model_groups cache_kwargs cache_responses caching_groups client_ttl content_policy_fallbacks
    context_window_fallbacks cooldown_time debug_level default_fallbacks default_litellm_params
    default_max_parallel_requests default_priority deployment_affinity_ttl_seconds disable_cooldowns
    enable_health_check_routing enable_pre_call_checks enable_tag_filtering enable_weighted_failover
    fallback_access_check fallback_budget_check fallbacks guardrail_list health_check_ignore_transient_errors
    health_check_staleness_threshold ignore_invalid_deployments max_fallbacks model_group_affinity_config
    model_group_alias model_group_retry_policy model_list num_retries optional_pre_call_checks plugins polling_interval
    provider_budget_config redis_db redis_host redis_password redis_port redis_url retry_after retry_policy
    router_general_settings routing_groups routing_strategy routing_strategy_args search_tools set_verbose
    stream_timeout tag_filtering_match_any tag_routing_prefix timeout
    """.split()  # noqa: SIM905 - sixty names read better as a paragraph
)
"""`Router.get_valid_args()`; anything else is a TypeError when the Router is built."""

REFUSED_ROUTER_ARGUMENTS: Mapping[str, str] = {
    **{
        argument: UNSUPPORTED.get(argument, "the gateway does not support it")
        for argument in ROUTER_ARGUMENTS
        if argument not in ROUTER_SETTINGS
    },
    "model_list": "it stands at the top of the file",
    "fallbacks": _HOPS,
    "context_window_fallbacks": _HOPS,
    "content_policy_fallbacks": _HOPS,
    "default_fallbacks": _HOPS,
    "model_group_alias": "an alias can send a group's model to another one; give the model group another name instead",
    "fallback_access_check": _CODE,
    "fallback_budget_check": _CODE,
    "plugins": _CODE,
}
"""Of the Router's arguments. A harmless value (false, empty) is accepted, because many files carry one."""

REFUSED_MODULE_SETTINGS: Mapping[str, str] = {
    **UNSUPPORTED,
    "fallbacks": _HOPS,
    "context_window_fallbacks": _HOPS,
    "content_policy_fallbacks": _HOPS,
    "default_fallbacks": _HOPS,
    "model_fallbacks": _HOPS,
    "model_alias_map": "an alias can send a group's model to another one",
    "guardrails": _UNGUARDED,
    **dict.fromkeys(
        ("max_budget", "budget_duration", "max_user_budget", "max_internal_user_budget", "max_end_user_budget"), _BUDGET
    ),
}
"""Of `litellm_settings`, beyond what the gateway does not support at all."""

_CACHE_PLACE = "answers are kept in the Redis of CONTROL_PLANE_REDIS_URL, or in the process where there is none"
REFUSED_CACHE_PARAMETERS: Mapping[str, str] = {
    **dict.fromkeys(("type", "host", "port", "password"), _CACHE_PLACE),
    "namespace": "every team has one of its own",
    "supported_call_types": "`cache: false` at a model group switches it off for the group",
    "mode": "clients skip the response cache with `Cache-Control: no-cache`",
}
"""Of `cache_params`."""

REFUSED_PARAMETERS: Mapping[str, str] = {
    "fallbacks": _HOPS,
    "context_window_fallback_dict": _HOPS,
    "model_list": "it stands at the top of the file",
    "silent_model": "its calls would cost money that no job shows",
    "max_budget": _BUDGET,
    "budget_duration": _BUDGET,
    "cache": _SHARED_CACHE,
    "caching": _SHARED_CACHE,
}
"""Of `litellm_params`."""

REFUSED_INFO: Mapping[str, str] = {
    "team_id": (
        "in LiteLLM's proxy the deployment is that team's alone, here every team may use it that a model group with it "
        "admits; name the team there (model_groups: {…: {teams: [...]}})"
    ),
}
"""Of `model_info`."""

UNUSED_PARAMETERS: Mapping[str, str] = {
    **dict.fromkeys(
        ("tags", "tag_regex"), "calls are not routed by tags; give the deployments a model group of their own"
    ),
    **dict.fromkeys(("itpm", "otpm"), "a model group has an rpm and a tpm"),
    "max_retries": "router_settings.num_retries, or num_retries here, sets the number of retries",
    "use_in_pass_through": "there are no pass-through endpoints",
    "max_file_size_mb": "CONTROL_PLANE_MAX_FILE_BYTES is the most the files of a request may take",
}
"""Of `litellm_params`."""

UNUSED_INFO: Mapping[str, str] = {
    "access_groups": "the teams of a model group decide who may use a model",
    "team_public_model_name": "clients use the names of model groups",
    **dict.fromkeys(
        ("health_check_model", "health_check_timeout", "health_check_max_tokens", "disable_background_health_check"),
        "deployments are not called to see whether they work",
    ),
}
"""Of `model_info`."""

ROUTING_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "usage-based-routing",
    "usage-based-routing-v2",
    "latency-based-routing",
    "cost-based-routing",
    "lar1",
)

REFUSED_PRE_CALL_CHECKS: Mapping[str, str] = {"router_budget_limiting": _BUDGET}

PRE_CALL_CHECKS = (
    "prompt_caching",
    "router_budget_limiting",
    "responses_api_deployment_check",
    "deployment_affinity",
    "session_affinity",
    "forward_client_headers_by_model_group",
    "enforce_model_rate_limits",
    "encrypted_content_affinity",
)

_FAILURES = (
    "BadRequestError",
    "AuthenticationError",
    "TimeoutError",
    "RateLimitError",
    "ContentPolicyViolationError",
    "InternalServerError",
    "ServiceUnavailableError",
    "NotFoundError",
)
RETRIED = (*_FAILURES, "Default")
COUNTED = (*_FAILURES, "BadGatewayError")
"""Failures that `retry_policy` and `allowed_fails_policy` support; LiteLLM silently ignores other names."""

PARAMETERS = frozenset(
    """
    allowed_openai_params api_base api_key api_version aws_access_key_id aws_profile_name aws_region_name aws_role_name
    aws_secret_access_key aws_session_name aws_session_token aws_bedrock_runtime_endpoint azure_ad_token base_model
    base_url budget_duration client_id client_secret cooldown_time custom_llm_provider default_headers drop_params
    extra_body extra_headers frequency_penalty headers input_cost_per_second input_cost_per_token keepalive_seconds
    litellm_credential_name logit_bias logprobs max_budget max_completion_tokens max_parallel_requests max_retries
    max_tokens metadata mock_delay mock_response mock_timeout mock_tool_calls model model_info modify_params num_retries
    order organization output_cost_per_second output_cost_per_token parallel_tool_calls presence_penalty
    reasoning_effort region_name request_timeout response_format rpm safety_settings seed service_tier ssl_verify stop
    stream stream_options stream_timeout tags temperature tenant_id thinking timeout tool_choice tools top_k top_logprobs
    top_p tpm use_in_pass_through user verbosity vertex_credentials vertex_location vertex_project watsonx_region_name
    weight
    aws_session_tags azure_password azure_username itpm max_file_size_mb otpm s3_access_key_id s3_region_name
    s3_secret_access_key tag_regex
    """.split()  # noqa: SIM905 - as above
)
"""Common keys of `litellm_params`, which is open-ended: every provider adds its own. The last two lines are there
because they resemble a typo of one above.
"""

INFO_NAMES = frozenset(
    """
    id base_model lane mode confirmed_price input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second
    cache_read_input_token_cost cache_creation_input_token_cost max_tokens max_input_tokens max_output_tokens
    team_id team_public_model_name health_check_timeout health_check_max_tokens disable_background_health_check
    supports_vision supports_function_calling supports_parallel_function_calling supports_response_schema access_groups health_check_model
    """.split()  # noqa: SIM905 - as above
)
"""Common keys of `model_info`, open-ended too."""

PROVIDERS = frozenset(
    """
    a2a ai21 anthropic azure azure_ai azure_text bedrock cerebras cloudflare codestral cohere cohere_chat custom_openai
    dashscope databricks datarobot deepgram deepinfra deepseek elevenlabs fireworks_ai friendliai gemini github
    github_copilot groq hosted_vllm huggingface hyperbolic lambda_ai litellm_proxy llamafile lm_studio meta_llama
    mistral moonshot nebius novita nscale nvidia_nim oci ollama ollama_chat openai openai_like openrouter perplexity
    predibase replicate sagemaker sagemaker_chat sambanova snowflake text-completion-openai together_ai triton
    vercel_ai_gateway vertex_ai vertex_ai_beta vllm volcengine voyage watsonx xai xinference zai
    ai21_chat azure_speech chatgpt meta reka text-completion-codestral v0 watsonx_text
    """.split()  # noqa: SIM905 - as above
)
"""Providers one is likely to mean; the last line as above."""
