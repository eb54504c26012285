"""Request bodies that succeed unchanged, by operation. Their model groups are those of the shipped configuration."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

MESSAGES = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "What is a control plane?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL: Json = {"model_group": "ChatAgent", "messages": MESSAGES}
CALLS: Mapping[str, Json] = {
    "A call of a model group": {**CALL, "purpose": "first draft", "temperature": 0.2, "max_tokens": 500},
    "With a tool": {**CALL, "tools": [TOOL], "tool_choice": "auto"},
    "JSON that fits a schema": {
        **CALL,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "person",
                "schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            },
        },
    },
}
ONE_CALL: Mapping[str, Json] = {"A job of one call": {"job_type": "chat", "user_id": "user-42", **CALL}}
CREATE_JOB: Mapping[str, Json] = {
    "A job": {"job_type": "resume_parse"},
    "With caps and metadata": {
        "job_type": "resume_parse",
        "user_id": "user-42",
        "metadata": {"document": "resume-7"},
        "max_credits": 5,
        "max_cost_usd": 0.5,
        "ttl_seconds": 3600,
    },
}
COMPLETE: Mapping[str, Json] = {
    "It worked": {"status": "completed"},
    "It failed": {"status": "failed", "error_message": "The document could not be read."},
}
RESPOND: Mapping[str, Json] = {
    "A question": {
        "model": "meta/llama-3-70b-instruct",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is a control plane?"}]}],
    },
    "With a tool": {"model": "openai/gpt-4o", "messages": MESSAGES, "tools": [TOOL]},
}
CREATE_TEAM: Mapping[str, Json] = {
    "A team with 1,000 credits": {
        "team_id": "acme-corp",
        "organization_id": "acme",
        "team_alias": "Acme",
        "model_groups": ["ChatAgent", "ResumeAgent"],
        "credits_allocated": 1000,
    },
    "Charged by cost, with a markup": {
        "team_id": "acme-labs",
        "credits_allocated": 1000,
        "budget_mode": "consumption_usd",
        "credits_per_dollar": 100,
        "markup_bps": 2000,
        "rpm": 120,
    },
}
CREATE_KEY: Mapping[str, Json] = {
    "For a server": {"name": "backend", "ttl_seconds": 7_776_000},
    "For web pages": {
        "name": "website",
        "kind": "publishable",
        "origins": ["https://app.example.com"],
        "model_groups": ["ChatAgent"],
        "rpm": 30,
    },
}
ADD_CREDITS: Mapping[str, Json] = {
    "Credits that stay": {"credits": 500, "reason": "Invoice 2026-11"},
    "Credits that expire, used up first": {
        "credits": 100,
        "reason": "Trial",
        "priority": 10,
        "expires_at": "2199-12-31T00:00:00Z",
    },
}
AUTO_REFILL: Mapping[str, Json] = {
    "Each month": {
        "refill_amount": 1000,
        "refill_period": "monthly",
        "timezone": "Europe/Berlin",
        "starts_on": "2026-01-31",
        "rollover": False,
    },
    "No more": {"enabled": False},
}
RESPONSES: Mapping[str, Json] = {
    "A question": {"model": "ChatAgent", "instructions": "Answer in one sentence.", "input": "What is a control plane?"}
}
MESSAGE: Json = {"model": "ChatAgent", "messages": [{"role": "user", "content": "What is a control plane?"}]}

BODIES: Mapping[str, Mapping[str, Json]] = {
    "create_job": CREATE_JOB,
    "add_job_metadata": {"Two keys": {"metadata": {"page": 3, "reviewed": True}}},
    "create_and_call": ONE_CALL,
    "create_and_call_stream": ONE_CALL,
    "llm_call": CALLS,
    "llm_call_stream": {"A call of a model group": CALLS["A call of a model group"]},
    "complete_job": COMPLETE,
    "create_job_token": {
        "For a page, for ten minutes": {
            "ttl_seconds": 600,
            "origins": ["https://app.example.com"],
            "model_groups": ["ChatAgent"],
        }
    },
    "create_organization": {"An organization": {"organization_id": "acme", "name": "Acme Corporation"}},
    "create_team": CREATE_TEAM,
    "change_team": {"Limits and default": {"rpm": 120, "tpm": 100_000, "default_model_group": "ChatAgent"}},
    "set_team_model_groups": {"Two groups": {"model_groups": ["ChatAgent", "ResumeAgent"]}},
    "create_key": CREATE_KEY,
    "create_access_token": {
        "An organization's administrator": {"name": "Acme's admin", "role": "admin", "organization_id": "acme"},
        "Finance, for the platform": {"name": "billing export", "role": "finance"},
    },
    "rotate_key": {"The old key works for an hour": {"grace_seconds": 3600}},
    "set_key_origins": {"Two origins": {"origins": ["https://app.example.com", "http://localhost:5173"]}},
    "add_credits": ADD_CREDITS,
    "refund_credits": {"One credit": {"credits": 1, "reason": "The answer was of no use"}},
    "adjust_credits": {"Less": {"credits": -10, "reason": "Given by mistake"}},
    "set_low_balance_threshold": {"At 100 credits": {"threshold": 100}, "Never": {"threshold": None}},
    "change_conversion_rates": {"A rate": {"credits_per_dollar": 100}},
    "change_budget_mode": {"By cost": {"budget_mode": "consumption_usd", "credits_per_dollar": 100}},
    "configure_auto_refill": AUTO_REFILL,
    "respond": RESPOND,
    "create_chat_completion": {
        "A question": {"model": "ChatAgent", "messages": MESSAGES},
        "As a stream": {
            "model": "ChatAgent",
            "messages": MESSAGES,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "create_embeddings": {"Two texts": {"model": "text-embedding-3-small", "input": ["a cat", "a dog"]}},
    "create_moderation": {"A text": {"model": "omni-moderation-latest", "input": "I like cats."}},
    "rerank": {
        "Three documents": {
            "model": "rerank-v3.5",
            "query": "What is a control plane?",
            "documents": ["It routes.", "It bills.", "It flies."],
            "top_n": 2,
        }
    },
    "create_response": RESPONSES,
    "create_message": {"A question": {**MESSAGE, "max_tokens": 500}},
    "count_tokens": {"A question": MESSAGE},
}
