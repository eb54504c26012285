"""Removes secrets from a provider's text: keys, tokens, passwords, accounts, addresses of people. Pure.

Errs on the side of removal: text that only resembles a key is removed, too.
"""

import re
from collections.abc import Sequence

REDACTED = "[redacted]"
MAX_READ = 4000
"""Characters of a text that are searched; the rest is left out."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

NAMED = r"(?:keys?|tokens?|secrets?|passwords?|passwd|pwd|signature|sig|credentials?|authorization|auth|cookie)"
VALUE = r"(?!\[redacted)(?:(?:bearer|basic)\s+)?[^\s\"'`&,;)}\]]+"
ACCOUNT = r"(?:organi[sz]ation|account|project|subscription|tenant|workspace|customer)(?:[ _-]?(?:id|number|name))?"

PATTERNS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern, re.IGNORECASE if is_any_case else 0), replacement)
    for pattern, replacement, is_any_case in (
        # the credentials of a URL
        (r"(://)[^\s@\"'<>]{0,300}@", rf"\1{REDACTED}@", True),
        # Authorization: Bearer …, and the words alone
        (r"\b(bearer|basic)\s+(?!(?:tokens?|auth\w*|scheme|header|keys?|credentials?)\b)[^\s\"'`,;]+", REDACTED, True),
        # api_key=…, "x-api-key": "…", ?sig=…, password: …; a count (max_tokens: 4096) is none
        (rf"({NAMED}[\"'`]?\s*[=:]\s*[\"'`]?)(?!\d{{1,9}}\b){VALUE}", rf"\1{REDACTED}", True),
        # Incorrect API key provided, and then a key
        (r"(\bkey\b[^.:=]{0,30}[:=]\s+[\"'`]?)(?!\[redacted)[^\s\"'`,;]+", rf"\1{REDACTED}", True),
        # keys by their beginnings
        (
            r"\b(?:sk|pk|rk|ak|gsk|csk|xai|hf|ghp|gho|glpat|pplx|nvapi|fw|tgp|r8|sess)[-_][\w.*\-]{4,}",
            REDACTED,
            False,
        ),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}|\bAIza[\w\-]{10,}|\bya29\.[\w\-.]+", REDACTED, False),
        (r"\beyJ[\w\-]+\.[\w\-.]+", REDACTED, False),
        # accounts, of whatever name
        (rf"\b({ACCOUNT}[\s:=#(]{{0,3}}[\"'`])(?!\[redacted)[^\"'`]+", rf"\1{REDACTED}", True),
        (rf"\b({ACCOUNT}[\s:=#(]{{1,3}})(?=[\w\-]*\d)[\w\-]+", rf"\1{REDACTED}", True),
        (r"\borg-[A-Za-z0-9]{4,}", REDACTED, False),
        (
            r"(?<![\w\-])(?:org|proj|project|acct|account|user|workspace|wrkspc|team|tenant)[-_][\w\-]*\d[\w\-]*",
            REDACTED,
            False,
        ),
        (r"\barn:[^\s\"'`,;)]+", REDACTED, False),
        (r"\b((?:projects|subscriptions|accounts|resourceGroups)/)[^\s/\"'`,;)]+", rf"\1{REDACTED}", False),
        (r"(?<![\w.+\-])[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+", REDACTED, False),
        # anything masked, and whatever is as long and mixed as keys are
        (r"(?<![^\s\"'`])[^\s\"'`]*\*{3,}[^\s\"'`]*", REDACTED, False),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", REDACTED, True),
        (
            r"(?<![\w+/\-])(?=[\w+/\-]*\d)(?=[\w+/\-]*[a-z])(?=[\w+/\-]*[A-Z])[\w+/\-]{32,}=*",
            REDACTED,
            False,
        ),
        (r"(?<![\w+/])(?=[\w+/]*\d)(?=[\w+/]*[A-Za-z])[\w+/]{20,}=*", REDACTED, False),
        (r"\b[0-9a-fA-F]{16,}\b|\b\d{10,}\b", REDACTED, False),
    )
)


def storable(text: str, limit: int) -> str:
    """The text on one line, as any database and log takes it, and at most `limit` characters of it."""
    clean = text[: limit * 2].encode("utf-8", "replace").decode("utf-8")
    return CONTROL.sub(" ", clean).strip()[:limit]


def redacted(text: str, limit: int = MAX_READ) -> str:
    """The text without secrets, on one line, at most `limit` characters of it. What is redacted stays as it is."""
    line = storable(text, MAX_READ)
    if len(text) > MAX_READ:
        line = line.rpartition(" ")[0] or REDACTED  # half a key is not seen to be one
    for pattern, replacement in PATTERNS:
        line = pattern.sub(replacement, line)
    return line[:limit]
