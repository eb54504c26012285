"""Orders tool calls one after another, for APIs with sequential items: a provider may alternate between two. Pure."""

from collections.abc import Sequence

from pydantic_core import from_json

from control_plane.completion.events import Content, ToolCallArguments, ToolCallBegun, ToolCallEnded
from control_plane.completion.json_end import JsonEnd

MOST_LOOKED_AT = 65_536
"""Characters of arguments up to which completeness is checked; longer ones end with the answer."""


class CallsInOrder:
    """Feed it the events of one answer. What comes while a call is not whole waits for that call's end, which follows its
    last piece. A call is whole when its arguments are; one of free text, or without any, at the end of the answer.
    """

    def __init__(self) -> None:
        self._open: ToolCallBegun | None = None
        self._pieces: list[str] = []
        self._end = JsonEnd()
        self._length = 0
        self._is_whole: bool | None = None
        self._waiting: list[Content] = []
        self._ended: set[int] = set()

    def take(self, event: Content) -> Sequence[Content]:
        """The events that can be written now."""
        if isinstance(event, ToolCallArguments | ToolCallEnded) and event.number in self._ended:
            return ()
        if self._open is None:
            if isinstance(event, ToolCallBegun):
                self._open = event
            return (event,)
        if isinstance(event, ToolCallArguments) and event.number == self._open.number:
            self._pieces.append(event.text)
            self._length += len(event.text)
            self._end.take(event.text)
            self._is_whole = None
            return (event, *(self._end_open() if self._waiting and self._has_whole() else ()))
        if isinstance(event, ToolCallEnded) and event.number == self._open.number:
            return self._end_open()
        self._waiting.append(event)
        return self._end_open() if self._has_whole() else ()

    def end(self) -> Sequence[Content]:
        """The waiting parts at the end of the answer."""
        events: list[Content] = []
        while self._open is not None:
            events += self._end_open()
        return events

    def _end_open(self) -> Sequence[Content]:
        """The end of the open call, and what waited for it."""
        assert self._open is not None
        events: list[Content] = [ToolCallEnded(self._open.number, self._open.choice)]
        self._ended.add(self._open.number)
        self._open, self._is_whole = None, None
        self._pieces.clear()
        self._end = JsonEnd()
        self._length = 0
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            events += self.take(event)
        return events

    def _has_whole(self) -> bool:
        if self._is_whole is None:
            assert self._open is not None
            is_looked_at = self._open.kind == "function" and self._length <= MOST_LOOKED_AT
            self._is_whole = is_looked_at and self._end.is_reached and _is_object("".join(self._pieces))
        return self._is_whole


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
