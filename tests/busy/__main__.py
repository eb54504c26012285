"""`python -m tests.busy [pytest's arguments]`: tests while four loops keep the machine busy, as a newcomer's laptop is.

Without arguments: the tests that race for something, on both databases.
"""

import os
import subprocess
import sys

LOOPS = 4
RACES = [
    "tests/billing/test_races.py",
    "tests/billing/test_two_servers.py",
    "tests/idempotency",
    "tests/limits/test_replicas.py",
    "tests/storage",
]


def main() -> int:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOOPS)]
    try:
        arguments = sys.argv[1:] or RACES
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--quiet", *arguments], check=False, env=os.environ
        ).returncode
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    sys.exit(main())
