"""Which tools models called lately, for clients that go on with the results alone.

Kept in this process, for minutes: another replica, or this one later, does not know, and says so. Whoever sends the whole
conversation, as everybody should, does not need it.
"""

from dataclasses import dataclass

from cachetools import TTLCache

from control_plane.ids import TeamId

KEPT_S = 600
KEPT_CHARS = 20_000_000


@dataclass(frozen=True, slots=True)
class ToolCallSaid:
    """A tool call a model made: what it called, with which arguments (JSON text)."""

    name: str
    arguments: str


class RecentToolCalls:
    """The tool calls of the last minutes, by team and id."""

    def __init__(self) -> None:
        self._said: TTLCache[tuple[TeamId, str], ToolCallSaid] = TTLCache(KEPT_CHARS, KEPT_S, getsizeof=_size)

    def remember(self, team_id: TeamId, call_id: str, said: ToolCallSaid) -> None:
        """A model made this call. One that is too large to keep is not kept."""
        if call_id and _size(said) <= KEPT_CHARS // 100:
            self._said[team_id, call_id] = said

    def recall(self, team_id: TeamId, call_id: str) -> ToolCallSaid | None:
        """What that call was, if it was made here lately."""
        return self._said.get((team_id, call_id))


def _size(said: ToolCallSaid) -> int:
    return 200 + len(said.name) + len(said.arguments)
