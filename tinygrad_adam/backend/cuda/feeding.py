"""Bringing batches to a GPU while it computes with the one before.

A copy from ordinary memory makes the host wait. One from pinned memory, which the operating system never
moves, is done by the GPU on its own, beside its kernels, if it is told to on another stream: a list of work
that the GPU does in order. The host fills one pinned buffer while the GPU empties the other. Between
streams nothing is in order by itself, so three things wait:

- the host, before it writes to a buffer or gives it back, until the copy from it is done;
- the copy, before it writes to an array, until the kernels are done that were told to the GPU before: the
  memory may be that of an array which is gone for the host, and which they still read;
- the kernels, before they read an array, until the copy is done.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ...typing import Array
from ..device import Backend, device_of, get_backend, to_device

Hosted = tuple[NDArray[Any], ...]


def fed(batches: Iterable[tuple[Array, ...]], device: str) -> Generator[tuple[Array, ...], None, None]:
    """Yield batches as arrays of a GPU, each on its way while the one before is worked with.

    Parameters
    ----------
    batches : iterable of tuples of numpy.ndarray
    device : str
        ``"cuda"`` or ``"cuda:N"``.

    Yields
    ------
    tuple of arrays
        New ones for each batch. One that is on a GPU already is handed on.
    """
    feeder = _Feeder(get_backend(device))
    waiting: _Sent | None = None
    try:
        for batch in batches:
            if device_of(batch[0]) != "cpu":
                yield tuple(to_device(array, device) for array in batch)
                continue
            sent, waiting = waiting, feeder.send(batch)
            if sent is not None:
                yield feeder.receive(sent)
        if waiting is not None:
            sent, waiting = waiting, None
            yield feeder.receive(sent)
    finally:
        if waiting is not None:  # left early: the memory must not go to another array before the copy is done
            feeder.receive(waiting)
        feeder.close()


class _Sent(NamedTuple):
    """A batch on its way: its arrays, and the event after which they hold it."""

    arrays: tuple[Array, ...]
    copied: Any


class _Buffers:
    """Pinned memory for the arrays of a batch, and the event after which it may be written to."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._memory: list[NDArray[numpy.uint8]] = []
        self.copied = cuda.Event(disable_timing=True)

    def hold(self, batch: Hosted) -> Hosted:
        """Return copies of the arrays in pinned memory, which grows to the greatest batch."""
        self._memory += [numpy.empty(0, numpy.uint8)] * (len(batch) - len(self._memory))
        for i, array in enumerate(batch):
            if self._memory[i].size < array.nbytes:
                self._memory[i] = numpy.frombuffer(
                    self._cuda.alloc_pinned_memory(array.nbytes), numpy.uint8, array.nbytes
                )
        held = tuple(
            memory[: array.nbytes].view(array.dtype.newbyteorder("=")).reshape(array.shape)
            for memory, array in zip(self._memory, batch, strict=False)
        )
        for place, array in zip(held, batch, strict=True):
            place[...] = array
        return held


class _Feeder:
    """Copies batches on a stream of its own, from two sets of buffers in turn."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cuda = backend.xp.cuda
        with backend.current("DataLoader"):
            self._copying = self._cuda.Stream(non_blocking=True)
            self._buffers = [_Buffers(self._cuda), _Buffers(self._cuda)]

    def send(self, batch: Hosted) -> _Sent:
        """Begin to copy a batch."""
        xp, copying = self._backend.xp, self._copying
        buffers = self._buffers[0]
        self._buffers.reverse()
        with self._backend.current("DataLoader"):
            buffers.copied.synchronize()
            held = buffers.hold(batch)
            arrays = tuple(xp.empty(array.shape, array.dtype) for array in held)
            copying.wait_event(self._cuda.get_current_stream().record())
            for array, host in zip(arrays, held, strict=True):
                array.set(host, copying)
            copying.record(buffers.copied)
        return _Sent(arrays, buffers.copied)

    def close(self) -> None:
        """Wait for the last copies: the next to get pinned memory may get that of the buffers."""
        with self._backend.current("DataLoader"):
            for buffers in self._buffers:
                buffers.copied.synchronize()

    def receive(self, sent: _Sent) -> tuple[Array, ...]:
        """Return the arrays of a batch; what is computed from now on waits until they hold it."""
        with self._backend.current("DataLoader"):
            self._cuda.get_current_stream().wait_event(sent.copied)
        return sent.arrays
