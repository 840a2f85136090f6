"""The layout of images in memory under the fast kernels: channels last.

The axes of images are (N, C, H, W), as in PyTorch. The fast kernels write the channels of a pixel side by
side: they return an (N, H, W, C) array whose axes are transposed, which costs nothing, for only strides
change. Then every loop of a convolution, a pool or a normalization has the channels innermost, without gaps,
at any kernel size, stride or padding. NumPy keeps the order in memory from one elementwise operation to the
next.
"""

from __future__ import annotations

import numpy

from ...backend import memory
from ...backend.threads import in_pieces
from ...typing import Array, DType
from .loops import transpose

_LEAST = 1 << 16
"""The fewest elements that are worth handing to a thread."""


def channels_last(x: Array, dtype: DType = None) -> Array:
    """Return images (N, C, ...) as a contiguous array (N, ..., C): a view if they lie in that order."""
    moved = numpy.moveaxis(x, 1, -1)
    if moved.flags.c_contiguous or not x.flags.c_contiguous or not x.size or x.dtype != (dtype or x.dtype):
        return numpy.ascontiguousarray(moved, dtype)
    last = memory.empty(moved.shape, x.dtype)
    n, channels = x.shape[:2]
    source, target = x.reshape(n, channels, -1), last.reshape(n, -1, channels)
    in_pieces(lambda start, stop: transpose(source, target, start, stop), n, 1 + _LEAST * n // max(1, x.size))
    return last


def channels_first(x: Array) -> Array:
    """Return a view (N, C, H, W) of images (N, H, W, C)."""
    return x.transpose(0, 3, 1, 2)


def flat_alike(first: Array, *others: Array) -> tuple[Array, ...]:
    """Flatten arrays of one shape in the order in which `first`, an array without gaps, lies in memory.

    Arrays with the strides of `first` are flattened as views, the others as copies.
    """
    arrays = [first.ravel(order="K")]
    for other in others:
        if other.strides != first.strides:
            moved = numpy.empty_like(first, other.dtype)
            moved[...] = other
            other = moved
        arrays.append(other.ravel(order="K"))
    return tuple(arrays)
