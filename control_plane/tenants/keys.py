"""Creates, hashes and recognizes virtual keys. Pure, but for the randomness of a new key."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum


class KeyKind(StrEnum):
    """Where a key may be: on the customer's servers, or public in its web pages."""

    SECRET = "secret"  # noqa: S105 - a word
    PUBLISHABLE = "publishable"


PREFIXES = {KeyKind.SECRET: "sk", KeyKind.PUBLISHABLE: "pk"}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `secret` is shown once and then forgotten; `prefix` is what people recognise it by."""

    secret: str
    prefix: str
    secret_hash: str


def make_key(kind: KeyKind = KeyKind.SECRET) -> NewKey:
    """`sk-<12 public>-<48 secret>`, `pk-…` for pages: 192 random bits, so one round of SHA-256 hides it well enough."""
    return _make(PREFIXES[kind])


JOB_TOKEN = "jt"  # noqa: S105 - how they begin
"""Prefix of tokens with which web pages use one job."""


def make_job_token() -> NewKey:
    """`jt-<12 public>-<48 secret>`, made as keys are."""
    return _make(JOB_TOKEN)


ACCESS_TOKEN = "adm"  # noqa: S105 - how they begin
"""Prefix of tokens for administration."""


def make_access_token() -> NewKey:
    """`adm-<12 public>-<48 secret>`, made as keys are."""
    return _make(ACCESS_TOKEN)


def _make(kind: str) -> NewKey:
    prefix = f"{kind}-{secrets.token_hex(6)}"
    secret = f"{prefix}-{secrets.token_hex(24)}"
    return NewKey(secret, prefix, hash_key(secret))


def hash_key(secret: str) -> str:
    """The hash a key is stored and looked up by, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_same(secret_hash: str, other_hash: str) -> bool:
    """Compares without telling by its duration how much was right."""
    return hmac.compare_digest(secret_hash, other_hash)
