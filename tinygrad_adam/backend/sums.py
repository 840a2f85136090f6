"""Sums that stay exact over many terms.

NumPy adds pairwise along the innermost axis in memory, and one term after the other along the other axes: in
float32 the sum of a million rows of 0.1 is 1 % off. Sums of blocks, then sums of these sums, take as many
additions and round as little as pairwise sums (N. J. Higham, "The accuracy of floating point summation",
SIAM J. Sci. Comput. 14, 1993).
"""

from __future__ import annotations

import math

import numpy

from ..typing import Array, Xp

BLOCK = 128
"""The most terms that are added one after the other; NumPy's pairwise sums have blocks of this size, too."""


Axis = int | tuple[int, ...] | None


def total(xp: Xp, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over `axis`, as ``xp.sum`` does, but accurately over any axis.

    Parameters
    ----------
    xp : namespace
        The namespace of the array. The package's own operations on Tensors sum by this function themselves.
    a : array or Tensor
        Any shape. Integers and booleans are summed by ``xp.sum``.
    axis : int or tuple of int, optional
        All axes by default.
    keepdims : bool
        Whether the reduced axes stay with size one.
    """
    if a.size <= BLOCK or a.dtype.kind != "f" or not hasattr(xp, "ndarray"):
        return xp.sum(a, axis=axis, keepdims=keepdims)
    if axis is None and xp is numpy and a.flags.c_contiguous:
        return a.sum(keepdims=keepdims)
    given = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple([i % a.ndim for i in given])
    if math.prod([a.shape[i] for i in axes]) <= BLOCK:
        return xp.sum(a, axis=axis, keepdims=keepdims)
    if xp is not numpy:
        # On a GPU each thread adds its share one by one; memory, not double precision, limits the speed.
        return xp.sum(a, axis=axis, keepdims=keepdims, dtype=xp.float64).astype(a.dtype, copy=False)
    if (a.ndim == 1 or a.flags.c_contiguous) and min(axes) == a.ndim - len(axes):
        return a.sum(axis=axes, keepdims=keepdims)  # elements lie side by side, so NumPy sums pairwise
    return _in_memory_order(a, axes, keepdims)


def mean(xp: Xp, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Average a raw array over `axis`; as ``xp.mean`` does, but accurately over any axis."""
    if a.dtype.kind != "f" or not a.size:
        return xp.mean(a, axis=axis, keepdims=keepdims)
    added = total(xp, a, axis, keepdims)
    return added / (a.size // added.size)


def variance(xp: Xp, a: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Array:
    """Compute the variance of a raw array over `axis`, as ``xp.var`` does, but accurately over any axis."""
    if a.dtype.kind != "f" or not a.size:
        return xp.var(a, axis=axis, ddof=ddof, keepdims=keepdims)
    away = a - mean(xp, a, axis, keepdims=True)
    away = away - mean(
        xp, away, axis, keepdims=True
    )  # exactly 0 for equal elements, whose mean may be rounded
    added = total(xp, xp.square(away), axis, keepdims)
    return added / float(max(a.size // added.size - ddof, 0))


def _in_memory_order(a: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Sum over `axes` one by one, the innermost in memory first; neighbors without a gap are one axis."""
    order = sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]))
    merged: list[tuple[int, int, bool]] = []  # size, stride, and whether the axis is summed
    for i in order:
        size, stride, summed = a.shape[i], a.strides[i], i in axes
        if merged and merged[-1][1:] == (size * stride, summed):
            size *= merged.pop()[0]
        merged.append((size, stride, summed))
    b = a.transpose(order).reshape([size for size, _, _ in merged])
    for place in reversed(range(len(merged))):
        if merged[place][2]:
            b = _over(b, place)
    kept = [i for i in order if i not in axes]
    b = b.reshape([a.shape[i] for i in kept]).transpose([kept.index(i) for i in sorted(kept)])
    return numpy.expand_dims(b, axes) if keepdims else b


def _over(a: Array, axis: int) -> Array:
    """Sum over one axis: pairwise if it is the last axis, or else in blocks, and then over the sums."""
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    while after and (n := a.shape[axis]) > BLOCK:
        whole = n - n % BLOCK
        cut = (slice(None),) * axis
        parts = a[(*cut, slice(whole))].reshape(*before, n // BLOCK, BLOCK, *after).sum(axis=axis + 1)
        if whole < n:
            parts[(*cut, -1)] += a[(*cut, slice(whole, None))].sum(axis=axis)
        a = parts
    return a.sum(axis=axis)
