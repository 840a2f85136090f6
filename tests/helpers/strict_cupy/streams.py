"""The stand-in's streams: work on one is not done until another waits for it.

The compute stream, `null`, does everything immediately. A copy from the host on another stream

- must read pinned memory, which must stay unchanged and alive until the host has waited for the copy;
- becomes visible in the array when the compute stream waits for it, and not before;
- must itself have waited for the computations before the array's creation, because the memory may have
  belonged to another array that is still being read;
- must be awaited by the compute stream before the array is freed, because the next array may get the memory.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .state import clock, read

_faults: list[str] = []
_told: list[_Copy] = []


def check() -> None:
    """Raise the errors found in copies that were never awaited, and in freed arrays."""
    found = list(_faults)
    found += ["pinned memory was written to, and nobody waited for the copy"] * any(map(_Copy.spoilt, _told))
    _faults.clear()
    _told.clear()
    assert not found


class PinnedMemory(bytearray):
    """Like ``cupy.cuda.PinnedMemoryPointer``: memory that a GPU can read directly."""


class Event:
    """Like ``cupy.cuda.Event``: a point in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.copies: list[_Copy] = []
        self.computed = 0

    def record(self, stream: Any = None) -> None:
        stream = stream or Stream.null
        self.copies = list(stream.copies)
        self.computed = next(clock) if stream is Stream.null else 0

    def synchronize(self) -> None:
        if self.computed:  # waiting for a copy from the host transfers no value
            read()
        for copy in self.copies:
            copy.finish()

    @property
    def done(self) -> bool:
        return all(copy.finished for copy in self.copies)


class _Copy:
    """A copy from the host, queued on a stream."""

    def __init__(self, array: Any, source: np.ndarray, memory: PinnedMemory) -> None:
        self._target, self._before = array._host, source.copy()
        start = source.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        self._place = slice(start, start + source.nbytes)
        self._memory = weakref.ref(memory)  # its owner must keep it alive
        weakref.finalize(memory, self._given_back)
        self.shown = self.finished = False
        array._host.reshape(-1).view(np.uint8).fill(1)  # cannot be mistaken for the right value
        weakref.finalize(array, self._gone)
        _told.append(self)

    def show(self) -> None:
        if not self.shown:
            self._target[...] = self._before
        self.shown = True

    def finish(self) -> None:
        if self.spoilt():
            raise AssertionError("pinned memory was written to before the copy from it was done")
        self.finished = True

    def spoilt(self) -> bool:
        memory = self._memory()
        return not self.finished and memory is not None and memory[self._place] != self._before.tobytes()

    def _given_back(self) -> None:
        if not self.finished:
            _faults.append("pinned memory was given back before the copy from it was done")

    def _gone(self) -> None:
        if not self.shown:
            _faults.append("an array was gone before the computing stream had waited for the copy to it")


class Stream:
    """Like ``cupy.cuda.Stream``."""

    null: Any = None

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ):
        self.ptr = 0 if null else id(self)
        self.copies: list[_Copy] = []
        self._waited_for = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None: ...

    def use(self) -> Stream:
        return self

    def _copy(self, array: Any, source: np.ndarray) -> None:
        """Copy from the host, like ``array.set(source, stream)``."""
        if self is Stream.null or not source.size:
            array._host[...] = source
            return
        memory: Any = source
        while isinstance(memory, np.ndarray):
            memory = memory.base
        memory = getattr(memory, "obj", memory)
        if not isinstance(memory, PinnedMemory):
            raise AssertionError("the host would wait for a copy from memory that is not pinned")
        if self._waited_for < array._made:
            raise AssertionError("the memory of the array may still be read by what was computed before")
        self.copies.append(_Copy(array, source, memory))

    def synchronize(self) -> None:
        read()
        for copy in self.copies:
            copy.finish()

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self._waited_for = max(self._waited_for, event.computed)
        if self is Stream.null:
            for copy in event.copies:
                copy.show()

    @property
    def done(self) -> bool:
        return all(copy.finished for copy in self.copies)


Stream.null = Stream(null=True)
