"""The entry point. Importing the program takes seconds, in which a signal must not cause a traceback either."""

import gc
import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Runs the command line. A server that is signalled before it has begun ends with 0, as later."""
    is_server = sys.argv[1:2] == ["serve"]

    def leave(_number: int, _frame: object) -> None:
        os._exit(0 if is_server else INTERRUPTED)  # nothing has begun that would have to end

    gc.disable()  # what is imported stays: a fifth of the time went into looking whether some of it may go
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    from control_plane.cli import main as program  # noqa: PLC0415 - behind the handlers

    program.add_groups(sys.argv[1:])
    if not is_server:  # `serve` has handlers of its own, as soon as there is something to end
        gc.enable()
        for number, handler in before.items():
            signal.signal(number, handler)
    program.main()
