"""SQLite is for one server process (D8): the second one is refused instead of taking the first one's calls for dead."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane.errors import InvalidConfig
from control_plane.storage.database import Database


@contextmanager
def only_process(db: Database) -> Iterator[None]:
    """Holds the SQLite file for this process until the end; the system lets go when the process dies.

    Does nothing on Postgres. Raises: InvalidConfig when another process holds it.
    """
    if not db.is_sqlite:
        yield
        return
    lock = Path(f"{db.url.database}.lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidConfig(
                [f"Another server already uses the SQLite database {db.url.database}; use Postgres for more than one."]
            ) from None
        yield
