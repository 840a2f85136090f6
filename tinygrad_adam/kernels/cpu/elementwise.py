"""Kernels compiled by Numba: one pass over memory each, without temporary arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ...backend import memory, sums
from .. import reference
from .layout import flat_alike
from .loops import compiled, in_flat_pieces

_FEW = 1 << 12
"""Elements below which NumPy's own operations are as fast as a compiled loop."""
_LEAST = 1 << 18
"""Elements that a thread must get for its share to be worth the handing over."""
_LEAST_OF_ERF = 1 << 13
"""Likewise, for a function that takes longer."""


# --- Softmax cross-entropy -------------------------------------------------------------------


@compiled
def labels_in_range(labels, classes, ignore_index):  # type: ignore[no-untyped-def]
    """Tell whether every label is valid; see `reference.labels_in_range`."""
    for label in labels:  # noqa: SIM110 (Numba does not compile all() of a generator)
        if (label < 0 or label >= classes) and label != ignore_index:
            return False
    return True


@compiled
def _weight_of(label, class_weight, ignore_index):  # type: ignore[no-untyped-def]
    if label == ignore_index:
        return 0.0
    return 1.0 if class_weight is None else float(class_weight[label])


@compiled
def _scale(labels, class_weight, ignore_index, mean):  # type: ignore[no-untyped-def]
    """Return what all weights are multiplied by: for a mean one over their sum, or 0 if there is nothing."""
    if not mean:
        return 1.0
    total = 0.0
    for label in labels:
        total += _weight_of(label, class_weight, ignore_index)
    return 0.0 if total == 0 else 1.0 / total


@compiled
def _cross_entropy_losses(logits, labels, class_weight, ignore_index, mean, losses):  # type: ignore[no-untyped-def]
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
    return reduced


def softmax_cross_entropy(
    logits: Any, labels: Any, class_weight: Any, ignore_index: int, reduction: str
) -> Any:
    """Return the losses, weighted and reduced; see `reference.softmax_cross_entropy`."""
    losses = numpy.empty(len(logits), logits.dtype)
    reduced = _cross_entropy_losses(logits, labels, class_weight, ignore_index, reduction == "mean", losses)
    return losses if reduction == "none" else logits.dtype.type(reduced)


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
    g: Any, logits: Any, labels: Any, class_weight: Any, ignore_index: int, reduction: str
) -> Any:
    """Return the gradient of the logits; see `reference.softmax_cross_entropy_vjp`."""
    out = numpy.empty_like(logits)
    _cross_entropy_gradient(
        g.reshape(-1), logits, labels, class_weight, ignore_index, reduction == "mean", out
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


def relu(x: Any) -> Any:
    """Greater of `x` and 0; see `reference.relu`."""
    if x.size < _FEW or x.dtype.kind != "f":
        return reference.relu(numpy, x)
    out = memory.empty_like(x)
    in_flat_pieces(_relu, flat_alike(out, x)[::-1], least=_LEAST)
    return out


def relu_vjp(g: Any, y: Any) -> Any:
    """0 where `y` is 0; see `reference.relu_vjp`."""
    if g.shape != y.shape or g.dtype.kind != "f":
        return reference.relu_vjp(numpy, g, y)
    if g.size < _FEW and g.flags.c_contiguous and y.flags.c_contiguous:  # without the detours below
        out = numpy.empty(g.shape, g.dtype)
        _relu_vjp(g.reshape(-1), y.reshape(-1), out.reshape(-1))
        return out
    out = memory.empty_like(y, g.dtype)
    flat, g, y = flat_alike(out, g, y)
    in_flat_pieces(_relu_vjp, (g, y, flat), least=_LEAST)
    return out


@compiled
def _erf(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = math.erf(x[i])


def erf(x: Any) -> Any:
    """Error function; see `reference.erf`."""
    flat = numpy.ascontiguousarray(x).reshape(-1)
    out = numpy.empty(flat.size, numpy.result_type(flat, numpy.float32))
    in_flat_pieces(_erf, (flat, out), least=_LEAST_OF_ERF)
    return out.reshape(numpy.shape(x))


@compiled
def _dropout(x, out, threshold, scale, key):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        word = numpy.uint64(i + 1) * numpy.uint64(0x9E3779B97F4A7C15) + key
        word = (word ^ (word >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        word = word ^ (word >> numpy.uint64(31))
        kept = (word >> numpy.uint64(32)) >= threshold
        out[i] = x[i] * out.dtype.type(scale) if kept else out.dtype.type(0)


def dropout(x: Any, p: float, key: int) -> Any:
    """Drop elements by a counter-based generator; see `reference.dropout`."""
    flat = numpy.ascontiguousarray(x).reshape(-1)
    out = numpy.empty_like(flat)
    _dropout(flat, out, numpy.uint64(reference.dropout_threshold(p)), 1.0 / (1.0 - p), numpy.uint64(key))
    return out.reshape(x.shape)


# --- Indexing --------------------------------------------------------------------------------


@compiled
def _add_rows(values, index, total):  # type: ignore[no-untyped-def]
    for i in range(index.size):
        row = index[i]
        for j in range(values.shape[1]):
            total[row, j] += values[i, j]


def add_at(values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Add at an index; rows picked by one integer array, as of an embedding, go in one pass."""
    if reference.is_basic(index):  # nothing repeats
        total = numpy.zeros(shape, values.dtype)
        total[index] = values
        return total
    rows = isinstance(index, numpy.ndarray) and index.dtype.kind in "iu" and len(shape) == 2
    if not rows or values.dtype.kind != "f":
        return reference.add_at(numpy, values, index, shape)
    # An index of a byte cannot hold every number of rows, so it is widened before it meets that.
    flat = index.reshape(-1).astype(numpy.int64, copy=False) % shape[0]
    # A row that gets many terms needs more than their precision.
    many = flat.size > sums.BLOCK and numpy.bincount(flat).max() > sums.BLOCK
    total = numpy.zeros(shape, numpy.float64 if many else values.dtype)
    _add_rows(numpy.ascontiguousarray(values).reshape(flat.size, shape[1]), flat, total)
    return total.astype(values.dtype, copy=False)
