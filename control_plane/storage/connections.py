"""Divides a server's connections, so that its heartbeat never queues behind its customers."""

from dataclasses import dataclass

from control_plane.storage.database import ANSWER_TIMEOUT_S, Database

FEW = 8
"""With fewer connections than this the background work has one of them."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of one server to its database.

    `heartbeat`: one, for the lease and readiness alone. `background`: for sweepers and for what is written a second time.
    `customers`: the rest, for requests. On SQLite all three are one writer, where the heartbeat goes first.
    """

    customers: Database
    background: Database
    heartbeat: Database

    @classmethod
    def open(
        cls, url: str, *, pool_size: int, answer_timeout_s: float = ANSWER_TIMEOUT_S, heartbeat_timeout_s: float
    ) -> "Connections":
        """At most `pool_size` connections together, of which customers have two or more. Raises: InvalidConfig."""
        of_background = 1 if pool_size < FEW else 2
        customers = Database(url, pool_size=pool_size - of_background - 1, answer_timeout_s=answer_timeout_s)
        return cls(
            customers,
            customers.beside(of_background),
            customers.beside(1, is_urgent=True, answer_timeout_s=heartbeat_timeout_s),
        )

    @property
    def is_full(self) -> bool:
        """Whether any write failed for a full database disk within the last seconds."""
        return any(each.is_full for each in (self.customers, self.background, self.heartbeat))

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.customers.aclose()
        if not self.customers.is_sqlite:
            await self.background.aclose()
            await self.heartbeat.aclose()
