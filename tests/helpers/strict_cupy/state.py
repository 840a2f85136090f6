"""State shared by the stand-in's GPUs: the current one, the reads so far, and the memory available."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

DEVICES = 2
SUPPORTED = "?bhilqBHILQefdFD"
MEMORY = 2**34


class _State(threading.local):
    """State of a thread: its current GPU, and whether it may read values."""

    device = 0
    reads_allowed = True


state = _State()
counts = {"host_reads": 0, "used": 0}
clock = itertools.count(1)
"""Counts arrays created and events recorded, to determine their order."""
limit = [MEMORY]
"""Bytes that a GPU can allocate; a test may lower it."""


class DeviceSynchronized(RuntimeError):
    """Like ``cupyx.DeviceSynchronized``."""


class OutOfMemoryError(MemoryError):
    """Like ``cupy.cuda.memory.OutOfMemoryError``."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class CUDARuntimeError(RuntimeError):
    """Like ``cupy.cuda.runtime.CUDARuntimeError``."""


def host_reads() -> int:
    """Return the number of values transferred to the host so far."""
    return counts["host_reads"]


@contextlib.contextmanager
def reading(allowed: bool) -> Iterator[None]:
    """Allow or reject reads of values on the host in this thread, like ``cupyx.allow_synchronize``."""
    before, state.reads_allowed = state.reads_allowed, allowed
    try:
        yield
    finally:
        state.reads_allowed = before


def no_host_reads() -> contextlib.AbstractContextManager[None]:
    """Reject every read of a value on the host, in this thread, inside a ``with`` block."""
    return reading(False)


def read() -> None:
    """Count the transfer of a value to the host."""
    if not state.reads_allowed:
        raise DeviceSynchronized("Device synchronization was detected while disallowed.")
    counts["host_reads"] += 1
