"""A writer's speed: predicts the wait of a queue from the durations of the last batches. Pure.

A batch costs its transaction, and a little for each item: small batches show the first cost, large ones the second.
Neither exceeds the shortest batch: measurements of a stalled database are forgotten, whatever the batches' size.
"""

SMALL, LARGE = 4, 16
"""Batches of up to so many items measure the cost of a transaction, those of as many or more that of an item."""

FIRST_BATCH_S, FIRST_ITEM_S = 0.005, 0.0005
"""Before anything was measured: rather too low than too high, since no request is rejected for a guess."""

NEW = 0.2
"""Weight of the latest measurement."""


class Pace:
    """Of one writer, which writes one batch at a time."""

    def __init__(self) -> None:
        self._batch_s = FIRST_BATCH_S
        self._item_s = FIRST_ITEM_S
        self._busy_since: float | None = None

    def begin(self, now: float) -> float:
        """A batch is being written."""
        self._busy_since = now
        return now

    def end(self, begun_at: float, now: float, items: int) -> None:
        """It was written, or has failed, which takes its time, too."""
        self._busy_since = None
        took = now - begun_at
        if items <= SMALL or took < self._batch_s:
            self._batch_s += NEW * (took - self._batch_s)
        if items >= LARGE:
            self._item_s += NEW * (max(0.0, took - self._batch_s) / items - self._item_s)
        elif took / items < self._item_s:
            self._item_s += NEW * (took / items - self._item_s)

    def wait_s(self, ahead: int, now: float) -> float:
        """How long an item with so many before it waits; 0 when the writer is idle."""
        if self._busy_since is None and not ahead:
            return 0.0
        stuck = 0.0 if self._busy_since is None else now - self._busy_since
        return max(stuck, self._batch_s) + ahead * self._item_s
