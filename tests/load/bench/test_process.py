"""What the bench and the soak measure of a server."""

import subprocess
import sys

from tests.load.bench.process import rss_kb

HELD_KB = 64_000
FORKING = f"""
import os, sys
held = b"x" * {HELD_KB * 1024}
child = os.fork()
if child:
    print(flush=True)
sys.stdin.read()
"""


def test_a_child_that_has_not_begun_its_own_program_does_not_double_its_parents_memory() -> None:
    """A server that reads PDFs would be 938 MB for a moment, of which half is not there."""
    forking = subprocess.Popen([sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with forking:
        assert forking.stdout is not None
        forking.stdout.readline()
        measured = rss_kb(forking.pid)
    assert HELD_KB < measured < 1.5 * HELD_KB
