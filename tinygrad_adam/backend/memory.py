"""Memory of large arrays, kept for the next of their size.

The operating system hands out memory page by page, each cleared when it is first touched. A training step
that makes and drops the same large arrays each time spends a quarter of its time on that. So what kernels
make large is taken from here, and comes back by itself when the last array that looks at it is gone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

_LARGE = 1 << 18
"""Bytes from which on memory is kept; the C library recycles smaller pieces itself."""
_MOST = 1 << 29
"""Bytes that are kept at most while no array uses them."""

_kept: dict[int, list[Any]] = {}  # by size


def unused() -> int:
    """Return how many bytes are kept that no array uses."""
    return sum(size * len(blocks) for size, blocks in list(_kept.items()))


class _Block:
    """Memory in use. Arrays made of it hold it, as views hold their base."""

    __slots__ = ("__array_interface__", "memory")

    def __init__(self, memory: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.memory = memory
        place = memory.__array_interface__["data"]
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": place, "version": 3}

    def __del__(self) -> None:
        if unused() + self.memory.size <= _MOST:
            _kept.setdefault(self.memory.size, []).append(self.memory)


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a new array whose elements are not set, as `numpy.empty`."""
    dtype = numpy.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return numpy.empty(shape, dtype)
    step = 1 << (size.bit_length() - 3)  # an eighth to a quarter more at most, so that sizes meet again
    room = -(-size // step) * step
    try:
        memory = _kept.get(room, []).pop()
    except IndexError:
        memory = numpy.empty(room, numpy.uint8)
    return numpy.asarray(_Block(memory, shape, dtype))


def empty_like(array: Any, dtype: Any = None) -> Any:
    """Return a new array whose elements lie in memory in the order of those of `array`, without gaps."""
    if array.size < _LARGE // 8:
        return numpy.empty_like(array, dtype, subok=False)
    order = numpy.argsort([-abs(stride) for stride in array.strides], kind="stable")
    made = empty(tuple(array.shape[axis] for axis in order), dtype or array.dtype)
    return made.transpose(numpy.argsort(order))


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a new array of zeros, as `numpy.zeros`."""
    array = empty(shape, dtype)
    array[...] = 0
    return array
