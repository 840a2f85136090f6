"""Softmax cross-entropy compiled by Numba: one pass over the logits, no temporary arrays."""

from __future__ import annotations

import math

import numpy

from ...ops import refusals
from ...typing import Array
from .loops import compiled


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
