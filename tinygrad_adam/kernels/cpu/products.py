"""Matrix products, cut into pieces for our own threads; `threads.py` says why.

Each thread adds the bias and applies the ReLU to its piece of a product while that is in its cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ...backend import memory
from ...backend.threads import products_in_pieces
from ...typing import Array
from .loops import compiled

_ONE_THREAD = 1 << 18
"""Up to so many multiplications, BLAS libraries use one thread by themselves."""
_LEAST = 1 << 21
"""The fewest multiplications that are worth handing to a thread."""
_ROWS = 64
"""The fewest rows that are cut for several threads."""


def matmul(a: Array, b: Array, *, into: Array = None) -> Array:
    """See `linalg._matmul`."""
    multiplications = a.size * b.shape[-1]
    floats = a.dtype.kind == b.dtype.kind == "f"  # integers have no BLAS
    if multiplications <= _ONE_THREAD or not floats or min(a.ndim, b.ndim) < 2:
        return numpy.matmul(a, b, out=into)
    if into is None:
        leading = numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        into = memory.empty((*leading, a.shape[-2], b.shape[-1]), numpy.result_type(a, b))
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and into.flags.c_contiguous:
        matmul(a.reshape(-1, a.shape[-1]), b, into=into.reshape(-1, b.shape[-1]))
    elif a.ndim == b.ndim == 2:
        _of_two(a, b, into, lambda top, bottom, left, right: None)
    else:
        alike = a.shape[:-2] == b.shape[:-2]

        def some_members(
            start: int, stop: int
        ) -> None:  # matrices of the batch, or all of them if one factor is broadcast
            part = slice(start, stop) if alike else slice(None)
            numpy.matmul(a[part], b[part], out=into[part])

        size = len(into) if alike else 1
        products_in_pieces(some_members, size, 1 + _LEAST * size // multiplications)
    return into


def _of_two(a: Array, b: Array, into: Array, finish: Callable[[int, int, int, int], None]) -> None:
    """Write the product of two matrices to `into`, and ``finish(top, bottom, left, right)`` each piece."""
    height, width = into.shape

    def some_columns(start: int, stop: int) -> None:
        numpy.matmul(a, b[:, start:stop], out=into[:, start:stop])
        finish(0, height, start, stop)

    def some_rows(start: int, stop: int) -> None:
        numpy.matmul(a[start:stop], b, out=into[start:stop])
        finish(start, stop, 0, width)

    # The gradient of a weight, g.T @ x, is cut as the weight was: each core has its part in the cache.
    like_a_weight = height >= _ROWS and a.flags.f_contiguous
    work, size = (some_columns, width) if width > height and not like_a_weight else (some_rows, height)
    products_in_pieces(work, size, 1 + _LEAST * size // (a.size * width))


def linear(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear`."""
    return _affine(x, weight, bias, relu=False)


def linear_relu(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `linalg._linear_relu`."""
    return _affine(x, weight, bias, relu=True)


def _affine(x: Array, weight: Array, bias: Array, relu: bool) -> Array:
    if x.size * len(weight) <= _ONE_THREAD or not x.dtype.kind == weight.dtype.kind == "f":
        y = numpy.matmul(x, weight.T)
        if bias is not None:
            y += bias
        return numpy.maximum(y, 0, out=y) if relu else y
    y = memory.empty((*x.shape[:-1], len(weight)), numpy.result_type(x, weight))
    rows = y.reshape(-1, len(weight))
    _of_two(x.reshape(-1, x.shape[-1]), weight.T, rows, finishing(rows, bias, relu))
    return y


def finishing(rows: Array, bias: Array, relu: bool) -> Callable[[int, int, int, int], None]:
    """Return a function that adds a bias to a part of `rows`, and applies ReLU if `relu` is set."""
    if bias is None and not relu:
        return lambda top, bottom, left, right: None
    bias = numpy.zeros(rows.shape[1], rows.dtype) if bias is None else bias.astype(rows.dtype, copy=False)
    bias = numpy.ascontiguousarray(bias)
    kernel = _add_and_clamp if relu else _add

    def finish(top: int, bottom: int, left: int, right: int) -> None:
        kernel(rows, bias, top, bottom, left, right)

    return finish


@compiled
def _add(y, bias, top, bottom, left, right):  # type: ignore[no-untyped-def]
    for i in range(numpy.uint64(top), numpy.uint64(bottom)):
        for j in range(numpy.uint64(left), numpy.uint64(right)):
            y[i, j] += bias[j]


@compiled
def _add_and_clamp(y, bias, top, bottom, left, right):  # type: ignore[no-untyped-def]
    for i in range(numpy.uint64(top), numpy.uint64(bottom)):
        for j in range(numpy.uint64(left), numpy.uint64(right)):
            value = y[i, j] + bias[j]
            y[i, j] = 0 if value <= 0 else value  # NaN stays NaN
