"""Waiting awake for a moment, so that a thread is there at once when its next piece of work comes.

A thread that sleeps takes some 70 us to wake up, as long as a product of a small network takes.
"""

from __future__ import annotations

import numba

_sched_yield = numba.types.ExternalFunction("sched_yield", numba.types.int32())


@numba.njit(cache=True, nogil=True)
def wait_awake(told, counter, value, times, politely):  # type: ignore[no-untyped-def]
    """Count ``told[0]`` up; return once ``counter[0]`` is no longer `value`, or after so many times.

    Each time the core is yielded, so that whoever else has something to do goes first. It is `politely` times
    at the end, for one who counts `counter` with the interpreter lock in hand: to ask for that at once would
    be to sleep. Who sees `told` counted may ask at once, for this code runs without the lock.
    """
    told[0] += 1
    for _ in range(times):
        if counter[0] != value:
            for _ in range(politely):
                _sched_yield()
            return
        _sched_yield()
