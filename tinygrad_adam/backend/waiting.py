"""Waiting awake for a moment, so that a thread is there at once when its next piece of work comes.

A thread that sleeps takes some 70 us to wake up, as long as a product of a small network takes.
"""

from __future__ import annotations

import numba

_sched_yield = numba.types.ExternalFunction("sched_yield", numba.types.int32())


_POLITELY = 12


@numba.njit(cache=True, nogil=True)
def wait_awake(counter, value, times):  # type: ignore[no-untyped-def]
    """Return when ``counter[0]`` is greater than `value`, or after yielding the core so many times."""
    for _ in range(times):
        if counter[0] > value:
            # Who counted still holds the interpreter lock. To ask for it now would be to sleep.
            for _ in range(_POLITELY):
                _sched_yield()
            return
        _sched_yield()  # whoever else has something to do goes first
