"""Recent tool calls of models, for clients that continue with the results alone.

Stored in this process for minutes: another replica, or this one later, does not have them and reports that. Clients
that send the whole conversation, as all should, do not need it.
"""

from dataclasses import dataclass

from cachetools import TTLCache

from control_plane.ids import KeyId, TeamId

TTL_S = 600
MAX_CHARS = 20_000_000


@dataclass(frozen=True, slots=True)
class RememberedToolCall:
    """A tool call a model made: what it called, with which arguments (JSON text)."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallOwner:
    """The owner of a conversation with tool calls. Ids of tool calls can be guessed where a model counts them.

    `is_anonymous`: a key that many share without identifying themselves; then nothing is remembered.
    """

    team_id: TeamId
    key_id: KeyId | None
    user_id: str | None
    is_anonymous: bool = False


class ToolCallCache:
    """The tool calls of the last minutes, by owner and id."""

    def __init__(self) -> None:
        self._said: TTLCache[tuple[CallOwner, str], RememberedToolCall] = TTLCache(MAX_CHARS, TTL_S, getsizeof=_size)

    def remember(self, owner: CallOwner, call_id: str, said: RememberedToolCall) -> None:
        """A model made this call. One that is too large is not cached."""
        if call_id and not owner.is_anonymous and _size(said) <= MAX_CHARS // 100:
            self._said[owner, call_id] = said

    def recall(self, owner: CallOwner, call_id: str) -> RememberedToolCall | None:
        """The call of that id, if it was recently made here for the same owner."""
        return self._said.get((owner, call_id))


def _size(said: RememberedToolCall) -> int:
    return 300 + len(said.name) + len(said.arguments)
