"""`python tests/load/adversary/probe.py PORT`: asks for `/health/live` again and again, in a process of its own.

Writes a line for each answer, when it was asked for and how long it took, in seconds of the system's monotonic clock.
"""

import http.client
import sys
import time

PAUSE_S = 0.01


def main(port: int) -> None:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        begun = time.monotonic()
        try:
            connection.request("GET", "/health/live")
            connection.getresponse().read()
        except OSError:
            return
        finally:
            connection.close()
        sys.stdout.write(f"{begun} {time.monotonic() - begun}\n")
        sys.stdout.flush()
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(int(sys.argv[1]))
