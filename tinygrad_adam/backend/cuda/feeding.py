"""Copying batches to a GPU while it computes with the batch before.

A copy from ordinary memory makes the host wait. From pinned memory, which the operating system never moves,
the GPU copies on its own while its kernels run, if the copy is on another stream: a queue of work that the
GPU does in order. The host fills one pinned buffer while the GPU empties the other. Streams run
independently, so three things must wait:

- the host, before it writes to a buffer or frees it, until the copy from it is done;
- the copy, before it writes to an array, until the kernels launched before are done: the array may reuse
  memory that the host has freed, and which they still read;
- the kernels, before they read an array, until the copy is done.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from ...typing import Array, Xp
from ..device import Backend, device_of, get_backend, to_device

Hosted = tuple[NDArray[Any], ...]


def fed(batches: Iterable[tuple[Array, ...]], device: str) -> Generator[tuple[Array, ...], None, None]:
    """Yield batches as arrays of a GPU; each is copied while the caller computes with the batch before.

    Parameters
    ----------
    batches : iterable of tuples of numpy.ndarray
    device : str
        ``"cuda"`` or ``"cuda:N"``.

    Yields
    ------
    tuple of arrays
        New ones for each batch. A batch that is on a GPU already is not copied.
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
        if waiting is not None:  # left early: no other array may get the memory before the copy is done
            feeder.receive(waiting)
        feeder.close()


class _Sent(NamedTuple):
    """A batch that is being copied: its arrays, and the event after which they hold it."""

    arrays: tuple[Array, ...]
    copied: object


class _Buffers:
    """Pinned memory for the arrays of a batch, and the event after which it may be overwritten."""

    def __init__(self, cuda: Xp) -> None:
        self._cuda = cuda
        self._memory: list[NDArray[numpy.uint8]] = []
        self.copied = cuda.Event(disable_timing=True)

    def hold(self, batch: Hosted) -> Hosted:
        """Return copies of the arrays in pinned memory, which grows to the size of the largest batch."""
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
    """A stream that copies batches, from two sets of buffers in turn."""

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
        """Wait for the last copies: the memory of the buffers may be allocated again afterwards."""
        with self._backend.current("DataLoader"):
            for buffers in self._buffers:
                buffers.copied.synchronize()

    def receive(self, sent: _Sent) -> tuple[Array, ...]:
        """Return the arrays of a batch; kernels launched from now on wait until they hold it."""
        with self._backend.current("DataLoader"):
            self._cuda.get_current_stream().wait_event(sent.copied)
        return sent.arrays
