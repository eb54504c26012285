"""Which fields of a conversation each provider accepts beside OpenAI's own: one table, for both lanes. Pure.

Sources: LiteLLM 1.106.2's transformations of each provider, and the providers' references and error messages. A provider
that is not in the table gets OpenAI's fields only: strict ones answer 400 to any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

OUTPUTS = frozenset({"audio", "modalities", "prediction"})
"""Parameters about the form of an answer, which LiteLLM passes on to most providers, whether they have it or not."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The fields of messages and parameters that one deployment accepts.

    `reasoning`: the field for the text of reasoning. `thinking_blocks`: Claude's, with signatures. `reasoning_details`:
    OpenRouter's. `signatures`: the place of Gemini's thought signatures in a tool call. `openai_only`: `refusal` and
    `audio` of assistants. `tool_media`: types of parts that results of tools may hold beside text. `merges_turns`:
    whether consecutive assistant messages are joined by LiteLLM, in order. `parses_arguments`: whether LiteLLM parses
    the arguments of tool calls, so that they must be JSON objects. `needs_thinking_first`: whether a tool's result is
    rejected, while thinking is on, when its call came without thinking blocks. `service_tiers`: the provider's name of
    each tier it has.
    """

    reasoning: Literal["reasoning_content", "reasoning"] | None = None
    thinking_blocks: bool = False
    reasoning_details: bool = False
    signatures: Literal["provider_specific_fields", "extra_content"] | None = None
    cache_control: bool = False
    openai_only: bool = False
    annotations: bool = False
    images: bool = False
    tool_media: frozenset[str] = frozenset()
    merges_turns: bool = False
    parses_arguments: bool = False
    needs_thinking_first: bool = False
    service_tiers: Mapping[str, str] | None = None
    tier_is_unlisted: bool = False
    outputs: frozenset[str] = frozenset()
    efforts: Mapping[str, str] = field(default_factory=dict)


OPENAI_TIERS: Mapping[str, str] = {
    **{tier: tier for tier in ("auto", "default", "flex", "priority", "scale")},
    "standard_only": "default",
}
ANTHROPIC_TIERS: Mapping[str, str] = {
    **dict.fromkeys(("auto", "priority", "scale"), "auto"),
    **dict.fromkeys(("default", "standard_only"), "standard_only"),
}
GROQ_TIERS: Mapping[str, str] = {
    **{tier: tier for tier in ("auto", "flex")},
    **dict.fromkeys(("default", "standard_only"), "on_demand"),
}
CLOUD_TIERS: Mapping[str, str] = {
    **{tier: tier for tier in ("default", "flex", "priority")},
    "standard_only": "default",
}
"""Bedrock and Gemini have no `auto`, and LiteLLM would make Gemini's `priority` of it, at a higher price."""

PLAIN = Dialect()
OPENAI = Dialect(openai_only=True, service_tiers=OPENAI_TIERS, outputs=OUTPUTS)
CLAUDE = Dialect(
    thinking_blocks=True,
    cache_control=True,
    tool_media=frozenset({"image_url", "file"}),
    merges_turns=True,
    parses_arguments=True,
    needs_thinking_first=True,
)
GEMINI = Dialect(
    reasoning="reasoning_content",
    signatures="provider_specific_fields",
    cache_control=True,
    images=True,
    tool_media=frozenset({"image_url", "file"}),
    merges_turns=True,
    parses_arguments=True,
    service_tiers=CLOUD_TIERS,
    outputs=frozenset({"audio", "modalities"}),
    efforts={"xhigh": "high", "max": "high"},
)
REASONING = Dialect(reasoning="reasoning_content")
CACHING = replace(REASONING, cache_control=True)

DIALECTS: Mapping[str, Dialect] = {
    "openai": OPENAI,
    "azure": OPENAI,
    "anthropic": replace(CLAUDE, service_tiers=ANTHROPIC_TIERS, tier_is_unlisted=True),
    "bedrock": Dialect(cache_control=True, parses_arguments=True, service_tiers=CLOUD_TIERS),
    "gemini": GEMINI,
    "openrouter": Dialect(
        reasoning="reasoning",
        reasoning_details=True,
        cache_control=True,
        annotations=True,
        images=True,
        service_tiers=OPENAI_TIERS,
        outputs=OUTPUTS,
    ),
    "litellm_proxy": Dialect(
        reasoning="reasoning_content",
        thinking_blocks=True,
        reasoning_details=True,
        signatures="provider_specific_fields",
        cache_control=True,
        openai_only=True,
        annotations=True,
        images=True,
        tool_media=frozenset({"image_url", "file"}),
        service_tiers={tier: tier for tier in OPENAI_TIERS},
        outputs=OUTPUTS,
    ),
    "databricks": Dialect(cache_control=True),
    "dashscope": replace(CACHING, outputs=frozenset({"audio", "modalities"})),
    "minimax": replace(CACHING, reasoning_details=True),
    "zai": CACHING,
    "fireworks_ai": replace(
        REASONING,
        outputs=frozenset({"prediction"}),
        service_tiers={"auto": "auto", "default": "default", "priority": "priority", "standard_only": "default"},
    ),
    "groq": Dialect(service_tiers=GROQ_TIERS),
    "ollama": replace(REASONING, parses_arguments=True),
    "ollama_chat": replace(REASONING, parses_arguments=True),
    **dict.fromkeys(("hosted_vllm", "vllm"), replace(REASONING, outputs=frozenset({"audio", "modalities"}))),
    "cohere": Dialect(parses_arguments=True),
    "cohere_chat": Dialect(parses_arguments=True),
    **dict.fromkeys(
        (
            "deepinfra",
            "deepseek",
            "llamafile",
            "lm_studio",
            "moonshot",
            "nebius",
            "novita",
            "nvidia_nim",
            "together_ai",
            "volcengine",
            "xai",
            "xiaomi_mimo",
        ),
        REASONING,
    ),
}

HOSTS: Mapping[str, Dialect] = {
    "api.deepseek.com": REASONING,
    "api.moonshot.ai": REASONING,
    "api.moonshot.cn": REASONING,
    "api.x.ai": REASONING,
    "api.groq.com": DIALECTS["groq"],
    "generativelanguage.googleapis.com": Dialect(signatures="extra_content"),
    "openrouter.ai": DIALECTS["openrouter"],
}
"""Providers recognized by their address when they are configured as `openai/…` with an `api_base`."""

CLAUDE_HOSTS = frozenset({"bedrock", "bedrock_converse", "vertex_ai", "vertex_ai_beta", "azure_ai"})
"""Clouds that serve Claude beside other models."""


def dialect_of(provider: str, model: str, *, host: str | None = None) -> Dialect:
    """The dialect of a deployment. `model`: the provider's name of it; `host`: of its address, where the YAML has one."""
    name = model.lower()
    if provider in CLAUDE_HOSTS and "claude" in name:
        return replace(CLAUDE, service_tiers=CLOUD_TIERS if provider.startswith("bedrock") else None)
    match provider:
        case "bedrock_converse":
            return DIALECTS["bedrock"]
        case "vertex_ai" | "vertex_ai_beta":
            is_gemini = "gemini" in name or name.rpartition("/")[2].isdigit()  # an endpoint of a tuned model
            return GEMINI if is_gemini else PLAIN
        case "groq" if "gpt-oss" in name:  # other models of Groq refuse the field
            return replace(DIALECTS["groq"], reasoning="reasoning")
        case "openai" if host is not None and host in HOSTS:
            return HOSTS[host]
        case _:
            return DIALECTS.get(provider, PLAIN)
