"""Every setting, read once from the environment by the composition root. Model groups and deployments are not settings:
they are in `litellm_config.yaml` and nowhere else.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from control_plane.errors import InvalidConfig

PREFIX = "CONTROL_PLANE_"


LOCAL = ("unix", "postgresql", "postgres")
"""Schemes of addresses that may name a local socket instead of a host."""


def _address(example: str, *schemes: str) -> Any:
    """The check of an address, which is never repeated: it may hold a password."""
    fault = f"must be an address such as {example}"

    def check(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is None:
            return value
        try:
            parts = urlsplit(text)
            has_place = bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, half an IPv6 address
            raise ValueError(fault) from None
        may_be_local = parts.scheme in LOCAL and bool(parts.path)
        is_numbered = not parts.scheme.startswith("redis") or re.fullmatch(r"/?\d*", parts.path) is not None
        if parts.scheme not in schemes or not (has_place or may_be_local) or not is_numbered:
            raise ValueError(fault)
        return value

    return AfterValidator(check)


MIN_KEY_CHARS = 16


def _long_key(value: SecretStr | None) -> SecretStr | None:
    """A key that is set to nothing is a mistake: what it should close would be open. Surrounding blanks do not count."""
    if value is None:
        return None
    key = value.get_secret_value().strip()
    if len(key) < MIN_KEY_CHARS:
        raise ValueError(f"must have {MIN_KEY_CHARS} characters or more; leave it out for no key")
    return SecretStr(key)


class FilesSource(PydanticBaseSettingsSource):
    """Settings whose variable, with `_FILE` at its end, names a file: what container engines mount as secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - its interface
        """The file's text without the line's end, the setting, and that it is not JSON. Raises: InvalidConfig."""
        variable = f"{PREFIX}{field_name.upper()}"
        file = os.environ.get(f"{variable}_FILE")
        if not file:
            return None, field_name, False
        if os.environ.get(variable):
            raise InvalidConfig([f"{variable} and {variable}_FILE are both set; leave one of them out."])
        try:
            return Path(file).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidConfig([f"{variable}_FILE: {file} cannot be read: {why}."]) from None

    def __call__(self) -> dict[str, Any]:
        """All of them."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """`CONTROL_PLANE_` and the name in capitals; `database_url` is `CONTROL_PLANE_DATABASE_URL`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    env: Literal["development", "production"] = Field(
        default="development", description="`production` refuses to start without a master key instead of making one."
    )
    database_url: str = Field(
        default="sqlite:///var/control_plane.db",
        description="`sqlite:///path` (one process) or `postgresql://user:password@host/name`, unix sockets too.",
    )
    config: Path = Field(default=Path("litellm_config.yaml"), description="The YAML of deployments and model groups.")
    watch_config: bool = Field(
        default=True, description="Whether the server reloads that file within seconds of a change."
    )
    master_key: SecretStr | None = Field(
        default=None,
        description="The administrator's key. Without one, the first start makes one and stores it in `var/master_key`.",
    )
    var: Path = Field(default=Path("var"), description="Where the generated master key is kept.")
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=8003, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    metrics_key: Annotated[SecretStr | None, AfterValidator(_long_key)] = Field(
        default=None,
        description="`/metrics` then needs it, or the master key, as `Authorization: Bearer …`; 16 characters or more; unset: no key is needed.",
    )
    redis_url: Annotated[SecretStr | None, _address("redis://host:6379/0", "redis", "rediss", "unix")] = Field(
        default=None,
        description="`redis://host:6379/0`: several servers share limits, cooldowns of deployments and the response cache.",
    )
    otlp_endpoint: Annotated[str | None, _address("http://collector:4318", "http", "https")] = Field(
        default=None,
        description="`http://collector:4318`: an OpenTelemetry collector that gets a trace of every call.",
    )
    database_pool_size: int = Field(default=10, ge=4, description="Postgres connections of one process, at most.")
    database_timeout_s: float = Field(
        default=10.0,
        ge=0.5,
        description="How long a transaction may take, and how long one of a server that froze keeps its locks, in seconds; a wait for a lock or a connection half of it.",
    )
    wait_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        description="The most seconds that a request may queue, all its waits together; one that would wait longer gets 503 `overloaded` at once. Clients may set less: `X-Max-Wait`.",
    )
    completion_wait_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="How long the completion of a job waits for its running calls, in seconds; then 409 `calls_in_flight`.",
    )
    lease_s: float = Field(
        default=30.0,
        ge=1.5,
        description="A server without a heartbeat for so long counts as dead, and its calls as lost; about the same at all servers. In seconds.",
    )
    max_body_bytes: int = Field(default=20_000_000, gt=0, description="Larger request bodies get 413.")
    max_json_chars: int = Field(
        default=2_000_000, gt=0, description="Bodies with more characters than this beside the data of files get 413."
    )
    max_held_bytes: int = Field(
        default=200_000_000,
        gt=0,
        description="Bytes of the bodies of running requests, of one process; 503 for more.",
    )
    max_held_bytes_of_team: int = Field(
        default=100_000_000, gt=0, description="The same of one team; 429 for more. Bodies under 64 KB do not count."
    )
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="How long the headers of a request may take to arrive, in seconds; then 408."
    )
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="How long a body may take to arrive, and a second more for each 20 KB of it; then 408.",
    )
    max_prompt_chars: int = Field(
        default=1_000_000, gt=0, description="Messages with more text than this get 413; files and images do not count."
    )
    max_file_bytes: int = Field(
        default=20_000_000, gt=0, description="The most that the files of one request may take, fetched ones too."
    )
    file_timeout_s: float = Field(
        default=20.0, gt=0, description="How long fetching a file may take, and reading one, in seconds."
    )
    max_pdf_pages: int = Field(
        default=500, gt=0, description="Further pages of a PDF are not read; a warning reports it."
    )
    private_file_hosts: str | None = Field(
        default=None,
        description="Hosts without a public address that files may be fetched from: `host`, `host:port`, with commas.",
    )
    job_ttl_s: int = Field(default=86_400, gt=0, description="Default lifetime of an open job, in seconds.")
    lost_calls: Literal["estimate", "void"] = Field(
        default="estimate",
        description="Cost of a call whose server died: the usual cost of its prompt, or nothing.",
    )
    refuse_unpriced: bool = Field(
        default=False,
        description="Reject calls of model groups with an unpriced model, instead of marking them.",
    )
    at_risk_limit_usd: float | None = Field(
        default=None,
        gt=0,
        description="Provider cost of running calls, open and unbilled jobs at which a team's calls are refused; a team may "
        "differ. Unset: what its remaining credits are worth (credits_per_dollar), and 5 at least.",
    )
    at_risk_window_h: int = Field(default=24, gt=0, description="How long an unbilled job counts as at risk, in hours.")
    spend_log_retention_days: int = Field(
        default=0,
        ge=0,
        description="Spend logs older than this are dropped, which changes no bill; on Postgres by whole months, when all of a "
        "month is older. 0 keeps them.",
    )
    keep_provider_error_text: bool = Field(
        default=False,
        description="Store providers' messages about failed calls, redacted, for administrators at `/costs`.",
    )
    proxy_database_url: Annotated[
        SecretStr | None, _address("postgresql://user@host/litellm", "postgresql", "postgres")
    ] = Field(
        default=None,
        description="The Postgres of a LiteLLM proxy, whose spend logs `spend reconcile --source proxy` reads.",
    )
    proxy_url: Annotated[str | None, _address("http://proxy:4000", "http", "https")] = Field(
        default=None, description="The address of a LiteLLM proxy, when its logs are read over its API instead."
    )
    proxy_key: SecretStr | None = Field(default=None, description="A key of that proxy which may read its spend logs.")
    call_timeout_s: float = Field(
        default=1800.0,
        gt=0,
        description="How long one call may take, all its attempts together; what a stream delivered until then is billed.",
    )
    stall_timeout_s: float = Field(
        default=600.0,
        gt=0,
        description="The most seconds between two chunks of an answer; a buffered one is one chunk.",
    )
    max_answer_bytes: int = Field(
        default=64_000_000,
        gt=0,
        description="A larger answer of a provider is a failed call; the limit of a stream is four times as large.",
    )
    lane: Literal["auto", "litellm"] = Field(
        default="auto",
        description="`auto` relays to providers of OpenAI's wire past LiteLLM's objects; `litellm` never does.",
    )
    relay_check_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of relayed calls that LiteLLM's own logging prices, too, for the reconciliation.",
    )
    drain_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds after SIGTERM in which calls are still accepted, while `/health/ready` returns 503 to load balancers.",
    )
    shutdown_grace_s: float = Field(
        default=20.0,
        ge=0,
        description="How long running calls may then go on before they are ended and recorded.",
    )
    keep_alive_s: float = Field(
        default=15.0,
        gt=0,
        description="A stream that is silent for so long gets a comment line, so that proxies keep it open.",
    )
    write_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="A client that reads nothing of its response for so long counts as disconnected.",
    )
    idle_connection_s: int = Field(
        default=75,
        gt=0,
        description="How long a connection without a request is kept; longer than a balancer in front keeps it.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least level logged."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's interface; we read no such file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values from the code, then the environment, then the files it names."""
        return init_settings, env_settings, FilesSource(settings_cls)

    def shown(self) -> dict[str, Any]:
        """The settings as the audit log has them: numbers and switches; of text only whether it is set, since it may hold
        a password.
        """
        return {
            name: value if isinstance(value, bool | int | float) else ("unset" if value is None else "set")
            for name in type(self).model_fields
            for value in (getattr(self, name),)
        }

    @property
    def spend_logs_kept_for(self) -> timedelta | None:
        """How long spend logs are kept; None: for ever."""
        return timedelta(days=self.spend_log_retention_days) if self.spend_log_retention_days else None
