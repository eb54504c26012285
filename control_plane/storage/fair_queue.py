"""A queue of several classes, of which the first is served first; in each the owners take turns. Pure."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of an owner wait behind that owner's earlier ones, not before other owners'."""

    def __init__(self, classes: int) -> None:
        self._classes: list[OrderedDict[Hashable, deque[Item]]] = [OrderedDict() for _ in range(classes)]
        self._sizes = [0] * classes

    def __len__(self) -> int:
        return sum(self._sizes)

    def put(self, item: Item, rank: int, owner: Hashable) -> None:
        """Adds an item of an owner to a class: 0 is the first."""
        self._classes[rank].setdefault(owner, deque()).append(item)
        self._sizes[rank] += 1

    def take(self, most: int) -> list[Item]:
        """Removes up to so many items, in the order of their turns."""
        taken: list[Item] = []
        for rank, owners in enumerate(self._classes):
            while owners and len(taken) < most:
                owner, items = owners.popitem(last=False)
                taken.append(items.popleft())
                self._sizes[rank] -= 1
                if items:
                    owners[owner] = items  # at the end: the others have their turns first
        return taken

    def size(self, rank: int) -> int:
        """The number of waiting items of a class."""
        return self._sizes[rank]

    def ahead_of(self, rank: int, owner: Hashable) -> int:
        """The number of queued items that are served before one that this owner would put now."""
        owners = self._classes[rank]
        own = len(owners.get(owner, ()))
        fair = sum(min(len(items), own + 1) for other, items in owners.items() if other != owner)
        return sum(self._sizes[:rank]) + own + fair
