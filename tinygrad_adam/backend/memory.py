"""Memory of large arrays, kept for the next arrays of their size.

The operating system hands out memory page by page, and clears each page on first use. A training step that
makes and drops the same large arrays each time spends a quarter of its time on that. So kernels take the
memory of large arrays from here; it returns by itself when the last array that uses it is gone.
"""

from __future__ import annotations

import math

import numpy
from numpy.typing import NDArray

from ..typing import Array, DType

_LARGE = 1 << 18
"""The fewest bytes that are kept; the C library recycles smaller pieces itself."""
_MOST = 1 << 29
"""The most bytes that are kept while no array uses them."""

_kept: dict[int, list[NDArray[numpy.uint8]]] = {}  # by size


def unused() -> int:
    """Return the number of bytes that are kept and that no array uses."""
    return sum(size * len(blocks) for size, blocks in list(_kept.items()))


class _Block:
    """Memory in use. Arrays made of it refer to it, as views refer to their base."""

    __slots__ = ("__array_interface__", "memory")

    def __init__(self, memory: NDArray[numpy.uint8], shape: tuple[int, ...], dtype: DType) -> None:
        self.memory = memory
        place = memory.__array_interface__["data"]
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": place, "version": 3}

    def __del__(self) -> None:
        if unused() + self.memory.size <= _MOST:
            _kept.setdefault(self.memory.size, []).append(self.memory)


def empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """Return a new array whose elements are not set, as `numpy.empty` does."""
    dtype = numpy.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return numpy.empty(shape, dtype)
    step = 1 << (
        size.bit_length() - 3
    )  # rounding up adds at most a quarter, and lets similar sizes share memory
    room = -(-size // step) * step
    try:
        memory = _kept.get(room, []).pop()
    except IndexError:
        memory = numpy.empty(room, numpy.uint8)
    return numpy.asarray(_Block(memory, shape, dtype))


def empty_like(array: Array, dtype: DType = None) -> Array:
    """Return a new array of the shape of `array`, with the same order in memory, and without gaps."""
    if array.size < _LARGE // 8:
        return numpy.empty_like(array, dtype, subok=False)
    order = numpy.argsort([-abs(stride) for stride in array.strides], kind="stable")
    made = empty(tuple(array.shape[axis] for axis in order), dtype or array.dtype)
    return made.transpose(numpy.argsort(order))


def zeros(shape: tuple[int, ...], dtype: DType) -> Array:
    """Return a new array of zeros, as `numpy.zeros` does."""
    array = empty(shape, dtype)
    array[...] = 0
    return array
