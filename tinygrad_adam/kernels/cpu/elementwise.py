"""Elementwise kernels and scatters compiled by Numba: one pass over memory, no temporary arrays."""

from __future__ import annotations

import math

import numpy

from ...backend import memory, sums
from ...ops import activation, indexing
from ...typing import Array
from .layout import flat_alike
from .loops import compiled, in_flat_pieces

_FEW = 1 << 12
"""Below so many elements, NumPy's own operations are as fast as a compiled loop."""
_LEAST = 1 << 18
"""The fewest elements that are worth handing to a thread."""
_LEAST_OF_ERF = 1 << 13
"""The same for the error function, which takes longer."""


# --- Elementwise and random ------------------------------------------------------------------


@compiled
def _relu(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = 0 if x[i] <= 0 else x[i]  # NaN stays NaN


@compiled
def _relu_vjp(g, y, out):  # type: ignore[no-untyped-def]
    for i in range(g.size):
        out[i] = 0 if y[i] <= 0 else g[i]


def relu(a: Array) -> Array:
    """See `activation.relu`."""
    if a.size < _FEW or a.dtype.kind != "f":
        return activation.relu.forward(numpy, a)
    out = memory.empty_like(a)
    in_flat_pieces(_relu, flat_alike(out, a)[::-1], least=_LEAST)
    return out


def relu_vjp(a: Array, output: Array) -> Array:
    """See `activation.relu_vjp`."""
    if a.shape != output.shape or a.dtype.kind != "f":
        return activation.relu_vjp.forward(numpy, a, output)
    if (
        a.size < _FEW and a.flags.c_contiguous and output.flags.c_contiguous
    ):  # small: flattening by hand is faster
        out = numpy.empty(a.shape, a.dtype)
        _relu_vjp(a.reshape(-1), output.reshape(-1), out.reshape(-1))
        return out
    out = memory.empty_like(output, a.dtype)
    flat, a, output = flat_alike(out, a, output)
    in_flat_pieces(_relu_vjp, (a, output, flat), least=_LEAST)
    return out


@compiled
def _erf(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = math.erf(x[i])


def erf(a: Array) -> Array:
    """See `special.erf`."""
    flat = numpy.ascontiguousarray(a).reshape(-1)
    out = numpy.empty(flat.size, numpy.result_type(flat, numpy.float32))
    in_flat_pieces(_erf, (flat, out), least=_LEAST_OF_ERF)
    return out.reshape(numpy.shape(a))


@compiled
def _dropout(x, out, threshold, scale, key):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        word = numpy.uint64(i + 1) * numpy.uint64(0x9E3779B97F4A7C15) + key
        word = (word ^ (word >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        word = word ^ (word >> numpy.uint64(31))
        kept = (word >> numpy.uint64(32)) >= threshold
        out[i] = x[i] * out.dtype.type(scale) if kept else out.dtype.type(0)


def dropout(a: Array, *, p: float, key: int) -> Array:
    """See `activation.dropout`."""
    flat = numpy.ascontiguousarray(a).reshape(-1)
    out = numpy.empty_like(flat)
    _dropout(flat, out, numpy.uint64(activation.dropout_threshold(p)), 1.0 / (1.0 - p), numpy.uint64(key))
    return out.reshape(a.shape)


# --- Indexing --------------------------------------------------------------------------------


@compiled
def _add_rows(values, index, total):  # type: ignore[no-untyped-def]
    for i in range(index.size):
        row = index[i]
        for j in range(values.shape[1]):
            total[row, j] += values[i, j]


def add_at(a: Array, *, index: object, shape: tuple[int, ...]) -> Array:
    """See `indexing._add_at`; rows at one integer array, as of an embedding, are added in one pass."""
    if indexing.is_basic(index):  # nothing repeats
        total: Array = numpy.zeros(shape, a.dtype)
        total[index] = a
        return total
    if not (
        isinstance(index, numpy.ndarray)
        and index.dtype.kind in "iu"
        and len(shape) == 2
        and a.dtype.kind == "f"
    ):
        return indexing._add_at.forward(numpy, a, index=index, shape=shape)
    # Widened before it meets the number of rows, which an index of bytes cannot always hold.
    flat = index.reshape(-1).astype(numpy.int64, copy=False) % shape[0]
    # A row with many terms is summed in double precision.
    many = flat.size > sums.BLOCK and numpy.bincount(flat).max() > sums.BLOCK
    total = numpy.zeros(shape, numpy.float64 if many else a.dtype)
    _add_rows(numpy.ascontiguousarray(a).reshape(flat.size, shape[1]), flat, total)
    return total.astype(a.dtype, copy=False)
