"""Draining: after SIGTERM a server first reports that it is not ready, and serves until load balancers have noticed.

It closes shared sockets at once: other processes accept the next connections.
"""

import asyncio
from collections.abc import Callable
from types import FrameType

import uvicorn

ASK_ANOTHER = (b"connection", b"close")
"""With every answer from then on, so that no customer sends a request into a connection that is about to be closed."""


class DrainingServer(uvicorn.Server):
    """Stops `drain_s` after the first signal, and at once after a second."""

    def __init__(self, config: uvicorn.Config, *, drain_s: float, say_so: Callable[[], None]) -> None:
        """`say_so`: is called when draining begins."""
        super().__init__(config)
        self._drain_s = drain_s
        self._say_so = say_so
        self._loop = asyncio.get_running_loop()
        self._is_draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called for SIGTERM and Ctrl-C, between any two instructions of the program."""
        if self._is_draining or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True
        self._loop.call_soon_threadsafe(self._drain, sig)

    def _drain(self, sig: int) -> None:
        self._say_so()
        self.config.encoded_headers.append(ASK_ANOTHER)  # from the next clock tick on
        self.server_state.default_headers = [*self.server_state.default_headers, ASK_ANOTHER]
        for shared in self.servers[1:]:
            shared.close()
        self._loop.call_later(self._drain_s, super().handle_exit, sig, None)
