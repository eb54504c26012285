"""How much may be used in a minute, as a team, a key and a model group say it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Calls, tokens and new jobs a minute, and calls at once. None: this one does not limit it."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel_calls: int | None = None
    jobs_per_minute: int | None = None

    @property
    def limits_calls(self) -> bool:
        """Whether it says anything about calls."""
        return (self.rpm, self.tpm, self.max_parallel_calls) != (None, None, None)


UNLIMITED = RateLimits()
