"""Progress of long commands: on a terminal only, and on standard error. In pipes and logs nothing is written."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

Advance = Callable[[int, int | None], None]
"""Takes how many are done, and of how many; None: as before."""


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Advance]:
    """A bar that counts while the block runs, and is gone afterwards."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=total if of is None else of)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A progress sign for work of unknown length."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as sign:
        sign.add_task(what, total=None)
        yield
