"""How arrays of images lie in memory under the fast kernels: channels last.

The surface of this package is (N, C, H, W), PyTorch's order of axes. The fast kernels write the channels
of a pixel side by side, that is, they return an (N, H, W, C) array with its axes put in the other order,
which costs nothing: strides say where each element is. Then every loop of a convolution, a pool or a
normalization has the channels innermost, without gaps, at any kernel size, stride or padding.
NumPy keeps the order in memory from one elementwise operation to the next.
"""

from __future__ import annotations

from typing import Any

import numpy


def channels_last(x: Any, dtype: Any = None) -> Any:
    """Return images (N, C, H, W) as a contiguous array (N, H, W, C); a view if they lie like that."""
    return numpy.ascontiguousarray(x.transpose(0, 2, 3, 1), dtype)


def channels_first(x: Any) -> Any:
    """Return a view (N, C, H, W) of images (N, H, W, C)."""
    return x.transpose(0, 3, 1, 2)


def flat_alike(first: Any, *others: Any) -> tuple[Any, ...]:
    """Return arrays of one shape as flat ones, in the order in which `first`, without gaps, lies in memory.

    `first` as a view of it, the others likewise where they lie like it, or else copied.
    """
    arrays = [first.ravel(order="K")]
    for other in others:
        if other.strides != first.strides:
            moved = numpy.empty_like(first, other.dtype)
            moved[...] = other
            other = moved
        arrays.append(other.ravel(order="K"))
    return tuple(arrays)
