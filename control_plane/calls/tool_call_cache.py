"""Which tools models called lately, for clients that go on with the results alone.

Kept in this process, for minutes: another replica, or this one later, does not know, and says so. Whoever sends the whole
conversation, as everybody should, does not need it.
"""

from dataclasses import dataclass

from cachetools import TTLCache

from control_plane.ids import KeyId, TeamId

KEPT_S = 600
KEPT_CHARS = 20_000_000


@dataclass(frozen=True, slots=True)
class RememberedToolCall:
    """A tool call a model made: what it called, with which arguments (JSON text)."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallOwner:
    """Whose conversation a tool call belongs to. Ids of tool calls can be guessed where a model counts them.

    `is_anonymous`: a key that many share without saying who they are; then nothing is remembered.
    """

    team_id: TeamId
    key_id: KeyId | None
    user_id: str | None
    is_anonymous: bool = False


class ToolCallCache:
    """The tool calls of the last minutes, by owner and id."""

    def __init__(self) -> None:
        self._said: TTLCache[tuple[CallOwner, str], RememberedToolCall] = TTLCache(KEPT_CHARS, KEPT_S, getsizeof=_size)

    def remember(self, owner: CallOwner, call_id: str, said: RememberedToolCall) -> None:
        """A model made this call. One that is too large to keep is not kept."""
        if call_id and not owner.is_anonymous and _size(said) <= KEPT_CHARS // 100:
            self._said[owner, call_id] = said

    def recall(self, owner: CallOwner, call_id: str) -> RememberedToolCall | None:
        """What that call was, if it was made here lately for the same owner."""
        return self._said.get((owner, call_id))


def _size(said: RememberedToolCall) -> int:
    return 300 + len(said.name) + len(said.arguments)
