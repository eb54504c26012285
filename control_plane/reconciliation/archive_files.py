"""Files of an archive: a JSON object per line, gzip. A file that bears its name is whole, and on the disk."""

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from control_plane.errors import Unprocessable
from control_plane.reconciliation.archiving import Sums

UNFINISHED = ".part"


class ArchiveFile:
    """One that is being written, under another name until it is whole. Only its owner may read it."""

    def __init__(self, path: Path) -> None:
        """Raises: Unprocessable for a file that exists, or cannot be made."""
        self._path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                raise FileExistsError
            self._file: IO[bytes] = os.fdopen(
                os.open(self._unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
            )
        self._gzip = gzip.GzipFile("", "wb", fileobj=self._file, mtime=0)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends them. Raises: Unprocessable when the disk does not take them."""
        with explained(self._path):
            self._gzip.writelines(json.dumps(dict(row), default=_as_text).encode() + b"\n" for row in rows)

    def finish(self) -> None:
        """It has its name, and survives a loss of power. Raises: Unprocessable."""
        with explained(self._path):
            self._gzip.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._unfinished.rename(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Removes what was written, if it is not finished."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def read_sums(path: Path) -> Sums:
    """What a file holds, read to its end. Raises: Unprocessable."""
    rows = cost = 0
    for row in read_rows(path):
        rows += 1
        cost += int(row["cost_nano_usd"])
    return Sums(rows, cost)


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Its rows, one at a time. Raises: Unprocessable."""
    with explained(path), gzip.open(path) as lines:
        for line in lines:
            yield json.loads(line)


def read_ids(path: Path, *, count: int) -> Iterator[Sequence[UUID]]:
    """The ids of its rows, so many at a time. Raises: Unprocessable."""
    ids = (UUID(row["id"]) for row in read_rows(path))
    while page := list(islice(ids, count)):
        yield page


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises: Unprocessable for what the file system refuses."""
    try:
        yield
    except FileExistsError:
        raise Unprocessable(
            f"{path} or {path.name}{UNFINISHED} exists already, of an archive that runs or broke off. Delete it, or write to "
            "another folder."
        ) from None
    except (OSError, EOFError) as error:
        raise Unprocessable(f"{path} cannot be written whole: {getattr(error, 'strerror', None) or error}.") from None


def _as_text(value: object) -> str:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            raise TypeError(f"a column of {type(value).__name__}")
