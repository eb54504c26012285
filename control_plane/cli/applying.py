"""Puts a new version of the configuration in the place of the old one, and the old one back if servers refuse it."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from control_plane.cli.servers import Rollout, Servers
from control_plane.model_groups.config import generation_of

BACKUP = ".previous"
"""What the old version's name ends with."""


def replace_file(file: Path, content: bytes) -> None:
    """The file has this content, at once and whole, with the permissions it had.

    A file that is mounted by itself, as into a container, cannot be replaced: it is written to in its place.
    """
    real = file.resolve()
    descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(content)
        if real.exists():
            shutil.copymode(real, new)
        new.replace(real)
    except OSError as error:
        new.unlink()
        if error.errno != errno.EBUSY:
            raise
        real.write_bytes(content)


class Change:
    """One file, its old content kept beside it, so that it can be put back."""

    def __init__(self, file: Path) -> None:
        """Reads what is there. Raises: OSError."""
        self._file = file
        self._before = file.read_bytes() if file.exists() else None
        self.backup = file.resolve().with_name(file.resolve().name + BACKUP)

    def make(self, content: bytes) -> None:
        """The new content, with the old one beside it. Raises: OSError; then nothing has changed."""
        if self._before is not None:
            replace_file(self.backup, self._before)
            shutil.copymode(self._file, self.backup)
        replace_file(self._file, content)

    def undo(self) -> None:
        """What was there before. Raises: OSError."""
        if self._before is None:
            self._file.unlink(missing_ok=True)
        else:
            replace_file(self._file, self._before)

    @property
    def generation_before(self) -> str | None:
        """Which version was there; None: there was no file."""
        return None if self._before is None else generation_of(self._before)


def put_in_force(change: Change, content: bytes, servers: Servers, *, replicas: int, wait_s: float) -> Rollout:
    """The new content in the file's place and in force at every server, or the old one in both.

    Raises: OSError when the file cannot be written.
    """
    generation = generation_of(content)
    try:
        change.make(content)
        rollout = servers.follow(generation, wait_s, replicas=replicas)
    except BaseException:  # Ctrl-C too: a version that nobody waited for is not left behind
        change.undo()
        raise
    if rollout.is_good:
        return rollout
    change.undo()
    if change.generation_before is None:
        return Rollout(is_good=False, sentence=f"{rollout.sentence}\nThe file is removed again; there was none before.")
    back = servers.follow(change.generation_before, wait_s)
    told = f"{rollout.sentence}\nThe version before, {change.generation_before}, is in its place again. {back.sentence}"
    return Rollout(is_good=False, sentence=told)
