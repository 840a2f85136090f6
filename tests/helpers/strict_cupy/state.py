"""What the stand-in's GPUs have in common: which one is current, what was read, how much memory there is."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

DEVICES = 2
SUPPORTED = "?bhilqBHILQefdFD"
MEMORY = 2**34


class _State(threading.local):
    """What belongs to a thread: its current GPU, and whether it may read."""

    device = 0
    reads_allowed = True


state = _State()
counts = {"host_reads": 0, "used": 0}
clock = itertools.count(1)
"""Counts arrays that are made and events that are recorded, to tell which was first."""
limit = [MEMORY]
"""How many bytes a GPU gives away; a test may lower it."""


class DeviceSynchronized(RuntimeError):
    """As ``cupyx.DeviceSynchronized``."""


class OutOfMemoryError(MemoryError):
    """As ``cupy.cuda.memory.OutOfMemoryError``."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class CUDARuntimeError(RuntimeError):
    """As ``cupy.cuda.runtime.CUDARuntimeError``."""


def host_reads() -> int:
    """How often a value was brought to the host so far."""
    return counts["host_reads"]


@contextlib.contextmanager
def reading(allowed: bool) -> Iterator[None]:
    """Allow or refuse reads of values on the host in this thread; as ``cupyx.allow_synchronize``."""
    before, state.reads_allowed = state.reads_allowed, allowed
    try:
        yield
    finally:
        state.reads_allowed = before


def no_host_reads() -> contextlib.AbstractContextManager[None]:
    """Refuse every read of a value on the host, in this thread, inside a ``with`` block."""
    return reading(False)


def read() -> None:
    """Note that a value is brought to the host."""
    if not state.reads_allowed:
        raise DeviceSynchronized("Device synchronization was detected while disallowed.")
    counts["host_reads"] += 1
