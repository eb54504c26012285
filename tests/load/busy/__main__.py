"""`python -m tests.load.busy [options] [paths]`: tests while four loops keep the machine busy, as a newcomer's laptop is.

Without paths: the tests that race for something, on both databases.
"""

import os
import subprocess
import sys

LOOPS = 4
RACES = [
    "tests/acceptance/billing/test_races.py",
    "tests/acceptance/billing/test_two_servers.py",
    "tests/idempotency",
    "tests/limits/test_replicas.py",
    "tests/storage",
]


def main() -> int:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOOPS)]
    try:
        options = sys.argv[1:]
        arguments = options if any(not each.startswith("-") for each in options) else [*options, *RACES]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--quiet", *arguments], check=False, env=os.environ
        ).returncode
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    sys.exit(main())
