"""What a soak finds fault with."""

from dataclasses import replace

from tests.load.soak.__main__ import MOST_THREADS, Sample, leftovers

BEFORE = Sample(memory_kb=300_000, files=60, threads=MOST_THREADS - 3, tasks=9)


def test_a_pool_that_filled_late_is_no_fault_and_a_thread_beside_the_pools_is() -> None:
    """One thread for each of some requests would pass for a pool otherwise."""
    full, beside = replace(BEFORE, threads=MOST_THREADS), replace(BEFORE, threads=MOST_THREADS + 1)
    assert leftovers(BEFORE, full, [full] * 10) == []
    [fault] = leftovers(BEFORE, beside, [beside] * 10)
    assert fault.startswith(f"threads: {MOST_THREADS + 1} after")
