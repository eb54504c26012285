"""Usage of one call by kind, as far as the provider reports it."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, by kind.

    `prompt_tokens` is the whole input: fresh, read from the provider's cache (`cached_tokens`) and written to it
    (`cache_write_tokens`, of which `cache_write_1h_tokens` are kept for an hour, the others for five minutes).
    `completion_tokens` is the whole output, `reasoning_tokens` included. Audio and image tokens are among the input's or
    the output's. `units`: pages or searches, of endpoints that are priced by them. `service_tier`: the one served, where
    the provider names it. `is_estimated`: at least one side was counted here, because the provider's count is missing or
    impossible.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    units: int = 0
    service_tier: str | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def fresh_tokens(self) -> int:
        """Input that was neither read from nor written to the provider's cache."""
        return max(0, self.prompt_tokens - self.cached_tokens - self.cache_write_tokens)


KINDS = tuple(
    field.name
    for field in fields(Usage)
    if field.name not in ("prompt_tokens", "completion_tokens", "is_estimated", "service_tier")
)
"""The fields of a Usage that are counts beside the two totals."""
