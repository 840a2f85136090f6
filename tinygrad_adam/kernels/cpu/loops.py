"""The compiler of loops, and the few loops that several kernels share.

Numba vectorizes divisions only under ``error_model="numpy"``, which returns infinities as NumPy does instead
of checking every divisor. ``fastmath`` stays off: it assumes that there are no NaNs.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy

from ...backend.threads import in_pieces
from ...typing import Array

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


def in_flat_pieces(
    kernel: Callable[..., Array], arrays: tuple[Array, ...], *scalars: Array, least: int
) -> list[Array]:
    """Call ``kernel(*arrays, *scalars)`` on pieces of equally long flat arrays (or None), in threads."""
    size = arrays[0].size
    if size < 2 * least:
        return [kernel(*arrays, *scalars)]
    return in_pieces(
        lambda start, stop: kernel(*[None if a is None else a[start:stop] for a in arrays], *scalars),
        size,
        least,
        align=64,  # no two threads write to one cache line
    )


# Unsigned indices: Numba checks the sign of a signed index, which keeps a loop from vectorizing.


@compiled
def copy(source, begin, target, to, length):  # type: ignore[no-untyped-def]
    """Write ``source[begin : begin + length]`` to `target`, from place `to` on."""
    begin, to = numpy.uint64(begin), numpy.uint64(to)
    for q in range(numpy.uint64(length)):
        target[to + q] = source[begin + q]


@compiled
def add(source, begin, target, to, length):  # type: ignore[no-untyped-def]
    """Add ``source[begin : begin + length]`` to `target`, from place `to` on."""
    begin, to = numpy.uint64(begin), numpy.uint64(to)
    for q in range(numpy.uint64(length)):
        target[to + q] += source[begin + q]


@compiled
def clear(target, to, length):  # type: ignore[no-untyped-def]
    """Write zeros to `target`, from place `to` on."""
    to = numpy.uint64(to)
    for q in range(numpy.uint64(length)):
        target[to + q] = 0


_ROWS = 8
"""Cache lines a power of two apart compete for the same set of the cache, which holds eight."""
_COLUMNS = 64


@compiled
def transpose(source, target, first, last):  # type: ignore[no-untyped-def]
    """Write the transposes of matrices `first` to `last` in blocks whose rows and columns fit the cache."""
    _, rows, columns = source.shape
    for n in range(first, last):
        for j in range(0, columns, _COLUMNS):
            for i in range(0, rows, _ROWS):
                for q in range(numpy.uint64(j), numpy.uint64(min(j + _COLUMNS, columns))):
                    for p in range(numpy.uint64(i), numpy.uint64(min(i + _ROWS, rows))):
                        target[n, q, p] = source[n, p, q]
