"""Waiting without sleep for a moment, so that a thread starts at once on its next piece of work.

A thread that sleeps takes some 70 us to wake up, as long as a product of a small network takes.
"""

from __future__ import annotations

import numba

_sched_yield = numba.types.ExternalFunction("sched_yield", numba.types.int32())


@numba.njit(cache=True, nogil=True)
def wait_awake(seen, counter, value, times, politely):  # type: ignore[no-untyped-def]
    """Increment ``seen[0]``; return once ``counter[0]`` is no longer `value`, or after so many times.

    Each time, the core is yielded to threads that have work. At the end it is yielded `politely` times more,
    because a thread increments `counter` while it holds the interpreter lock: to ask for the lock at once
    would put this thread to sleep. A thread that reads `seen` incremented may take the lock at once, for this
    code runs without it.
    """
    seen[0] += 1
    for _ in range(times):
        if counter[0] != value:
            for _ in range(politely):
                _sched_yield()
            return
        _sched_yield()
