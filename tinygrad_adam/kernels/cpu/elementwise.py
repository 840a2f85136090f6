"""Elementwise kernels, losses and scatters compiled by Numba: one pass over memory, no temporary arrays."""

from __future__ import annotations

import math

import numpy

from ...backend import memory, sums
from ...ops import activation, indexing, refusals
from ...typing import Array
from .layout import flat_alike
from .loops import compiled, in_flat_pieces

_FEW = 1 << 12
"""Below so many elements, NumPy's own operations are as fast as a compiled loop."""
_LEAST = 1 << 18
"""The fewest elements that are worth handing to a thread."""
_LEAST_OF_ERF = 1 << 13
"""The same for the error function, which takes longer."""


# --- Softmax cross-entropy -------------------------------------------------------------------


@compiled
def _weight_of(label, class_weight, ignore_index):  # type: ignore[no-untyped-def]
    if label == ignore_index:
        return 0.0
    return 1.0 if class_weight is None else float(class_weight[label])


@compiled
def _scale(labels, class_weight, ignore_index, mean):  # type: ignore[no-untyped-def]
    """Return the factor of all weights: for a mean one over their sum, 0 if that is 0; else 1."""
    if not mean:
        return 1.0
    total = 0.0
    for label in labels:
        total += _weight_of(label, class_weight, ignore_index)
    return 0.0 if total == 0 else 1.0 / total


@compiled
def _cross_entropy_losses(logits, labels, class_weight, ignore_index, mean, losses):  # type: ignore[no-untyped-def]
    """Write the losses; return their sum, and whether all labels are in range. If not, read no logit."""
    for label in labels:
        if (label < 0 or label >= logits.shape[1]) and label != ignore_index:
            return 0.0, False
    scale = _scale(labels, class_weight, ignore_index, mean)
    reduced = 0.0 if scale else numpy.nan
    for i in range(logits.shape[0]):
        weight = scale * _weight_of(labels[i], class_weight, ignore_index)
        losses[i] = 0
        if weight == 0:
            continue
        top = logits[i, 0]
        for j in range(1, logits.shape[1]):
            top = max(top, logits[i, j])
        total = 0.0
        for j in range(logits.shape[1]):
            total += math.exp(logits[i, j] - top)
        loss = weight * (math.log(total) - (logits[i, labels[i]] - top))
        losses[i] = loss
        reduced += loss
    return reduced, True


def softmax_cross_entropy(
    logits: Array, labels: Array, class_weight: Array = None, *, ignore_index: int, reduction: str
) -> Array:
    """See `classification._softmax_cross_entropy`."""
    losses = numpy.empty(len(logits), logits.dtype)
    reduced, known = _cross_entropy_losses(
        logits, labels, class_weight, ignore_index, reduction == "mean", losses
    )
    if not known:
        raise refusals.label_out_of_range("cross_entropy", labels, logits.shape[1], ignore_index)
    return losses if reduction == "none" else numpy.array(reduced, logits.dtype)


@compiled
def _cross_entropy_gradient(g, logits, labels, class_weight, ignore_index, mean, out):  # type: ignore[no-untyped-def]
    scale = _scale(labels, class_weight, ignore_index, mean)
    kind = logits.dtype.type
    for i in range(logits.shape[0]):
        weight = scale * _weight_of(labels[i], class_weight, ignore_index)
        if weight == 0:
            out[i] = 0
            continue
        top = logits[i, 0]
        for j in range(1, logits.shape[1]):
            top = max(top, logits[i, j])
        total = 0.0
        for j in range(logits.shape[1]):
            out[i, j] = math.exp(logits[i, j] - top)
            total += out[i, j]
        factor = kind(weight) * g[i if g.size > 1 else 0]
        per_total = kind(factor / total)
        for j in range(logits.shape[1]):
            out[i, j] *= per_total
        out[i, labels[i]] -= factor


def softmax_cross_entropy_vjp(
    g_in: Array,
    logits: Array,
    labels: Array,
    class_weight: Array = None,
    *,
    ignore_index: int,
    reduction: str,
) -> Array:
    """See `classification._softmax_cross_entropy_vjp`."""
    out = numpy.empty_like(logits)
    _cross_entropy_gradient(
        g_in.reshape(-1), logits, labels, class_weight, ignore_index, reduction == "mean", out
    )
    return out


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
