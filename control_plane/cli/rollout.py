"""Puts a new version of the configuration in the place of the old one, and the old one back if servers refuse it."""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane.cli.servers import Rollout, Servers
from control_plane.errors import ControlPlaneError
from control_plane.model_groups.config import generation_of

BACKUP = ".previous"
"""What the old version's name ends with."""
LOCK_S, LOCK_POLL_S = 30.0, 0.1
"""How long a command waits for another that changes the same file."""


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


class Busy(ControlPlaneError):
    """Another command is putting a version in the place of this file."""


class ChangedMeanwhile(ControlPlaneError):
    """Somebody else has changed the file since this command read it."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Alone among the commands that put versions in the place of the file. Raises: Busy, OSError."""
    real = file.resolve()
    descriptor = os.open(real.with_name(f".{real.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        until = time.monotonic() + LOCK_S
        while not _lock(descriptor):
            if time.monotonic() > until:
                raise Busy(f"Another command is putting a version in the place of {file}; wait for it and try again.")
            time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Change:
    """One file, its old content kept beside it, so that it can be put back. `make` and `undo` are for who holds its lock."""

    def __init__(self, file: Path) -> None:
        """Reads what is there. Raises: OSError."""
        self.file = file
        self.before = _content(file)
        self.backup = file.resolve().with_name(file.resolve().name + BACKUP)
        self._backup_before = _content(self.backup)
        self._made: bytes | None = None

    def make(self, content: bytes, *, is_kept: bool = True) -> None:
        """The new content, with the old one beside it if it `is_kept`.

        Raises: ChangedMeanwhile when the file is not what was read, then nothing is done; OSError.
        """
        if _content(self.file) != self.before:
            raise ChangedMeanwhile(f"{self.file} was changed by somebody else meanwhile; look at it, and try again.")
        self._backup_before = _content(self.backup)
        self._made = content
        if self.before is not None and is_kept:
            replace_file(self.backup, self.before)
            shutil.copymode(self.file, self.backup)
        replace_file(self.file, content)

    def undo(self) -> bool:
        """What was there before, beside it too. Not done where the file is somebody else's by now. Raises: OSError."""
        if self._made is None:
            return True
        current = _content(self.file)
        if current != self.before and not self._is_ours(current):
            return False
        if current != self.before:
            _put_back(self.file, self.before)
        if _content(self.backup) != self._backup_before:
            _put_back(self.backup, self._backup_before)
        return True

    def _is_ours(self, current: bytes | None) -> bool:
        """Also where writing it has failed in its midst."""
        return current is not None and self._made is not None and self._made.startswith(current)


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _put_back(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink(missing_ok=True)
    else:
        replace_file(file, content)


def put_in_place(change: Change, content: bytes) -> None:
    """The new content in the file's place, where no server runs. Raises: Busy, ChangedMeanwhile, OSError."""
    with locked(change.file):
        change.make(content)


def put_in_force(
    change: Change,
    content: bytes,
    servers: Servers,
    *,
    replicas: int,
    wait_s: float,
    generations: Collection[str | None] | None = None,
) -> Rollout:
    """The new content in the file's place and in force at every server, or the old one in both.

    `generations`: what the servers ran before; the version before is kept only if it is among them. None: it is.
    Raises: Busy, ChangedMeanwhile, OSError when the file cannot be written.
    """
    before = None if change.before is None else generation_of(change.before)
    with locked(change.file):
        try:
            change.make(content, is_kept=generations is None or before in generations)
            rollout = servers.follow(generation_of(content), wait_s, replicas=replicas)
        except BaseException:  # Ctrl-C too: a version that nobody waited for is not left behind
            change.undo()
            raise
        if rollout.is_good:
            return rollout
        if not change.undo():
            left = f"{change.file} was changed by somebody else meanwhile, and is left as it is."
            return Rollout(is_good=False, sentence=f"{rollout.sentence}\n{left}")
        if before is None:
            told = f"{rollout.sentence}\nThe file is removed again; there was none before."
            return Rollout(is_good=False, sentence=told)
        back = servers.follow(before, wait_s)
        told = f"{rollout.sentence}\nThe version before, {before}, is in its place again. {back.sentence}"
        return Rollout(is_good=False, sentence=told)
