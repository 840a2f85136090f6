"""The stand-in's streams: what is told to one is not done before another waits for it.

The stream that computes, `null`, does all at once. A copy from the host on another one

- must read pinned memory, and that must stay as it is, and be kept, until the host has waited for the copy;
- shows in the array when the computing stream waits for it, and not before;
- must itself have waited for what was computed before the array was made, for the memory may have been that
  of another array which is still read;
- must be waited for by the computing stream before the array is gone, for the next array may get the memory.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .state import clock, read

_faults: list[str] = []
_told: list[_Copy] = []


def check() -> None:
    """Raise what was wrong in copies that nobody waited for, and with arrays that are gone."""
    found = list(_faults)
    found += ["pinned memory was written to, and nobody waited for the copy"] * any(map(_Copy.spoilt, _told))
    _faults.clear()
    _told.clear()
    assert not found


class PinnedMemory(bytearray):
    """As ``cupy.cuda.PinnedMemoryPointer``: memory that a GPU can read by itself."""


class Event:
    """As ``cupy.cuda.Event``: a place in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.copies: list[_Copy] = []
        self.computed = 0

    def record(self, stream: Any = None) -> None:
        stream = stream or Stream.null
        self.copies = list(stream.copies)
        self.computed = next(clock) if stream is Stream.null else 0

    def synchronize(self) -> None:
        if self.computed:  # a wait for a copy from the host brings no value
            read()
        for copy in self.copies:
            copy.finish()

    @property
    def done(self) -> bool:
        return all(copy.finished for copy in self.copies)


class _Copy:
    """A copy from the host that a stream was told to make."""

    def __init__(self, array: Any, source: np.ndarray, memory: PinnedMemory) -> None:
        self._target, self._before = array._host, source.copy()
        start = source.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
        self._place = slice(start, start + source.nbytes)
        self._memory = weakref.ref(memory)  # it is for its owner to keep
        weakref.finalize(memory, self._given_back)
        self.shown = self.finished = False
        array._host.reshape(-1).view(np.uint8).fill(1)  # no value that a test could take for the right one
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
    """As ``cupy.cuda.Stream``."""

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
        """Copy from the host, as ``array.set(source, stream)`` does."""
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
