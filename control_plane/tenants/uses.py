"""When keys and tokens were last used: collected in memory, written together, so that no request waits for it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from control_plane.storage.database import Database, Tx

ROWS_AT_ONCE = 1000


class Uses:
    """The ids that were used since they were written before."""

    def __init__(self) -> None:
        self._used: set[UUID] = set()

    def note(self, id_: UUID) -> None:
        """This one is used now."""
        self._used.add(id_)

    async def write(
        self, db: Database, write: Callable[[Tx, Sequence[UUID], datetime], Awaitable[None]], at: datetime
    ) -> int:
        """Writes them, so many in a transaction and in the order of their ids; returns how many.

        Raises: DatabaseUnavailable; what is not written then is written the next time.
        """
        due = sorted(self._used)
        for begin in range(0, len(due), ROWS_AT_ONCE):
            page = due[begin : begin + ROWS_AT_ONCE]
            async with db.transaction() as tx:
                await write(tx, page, at)
            self._used.difference_update(page)
        return len(due)
