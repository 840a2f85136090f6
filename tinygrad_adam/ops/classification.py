"""Cross-entropy of class labels."""

from __future__ import annotations

import math
from typing import Any, Never

import numpy

from ..backend.device import CPU, backend_of, on_device_of
from ..engine.aside import aside, relying_on
from ..engine.graph import Variable, primitive
from ..errors import DTypeError
from ..typing import Array, TensorLike, Xp
from ..words import refuse_words
from . import refusals
from .activation import log_softmax, softmax
from .arithmetic import add, multiply, where
from .loss import (
    REDUCTIONS,
    _cast,
    as_constant,
    as_target,
    beside,
    check_input,
    check_reduction,
    check_same_shape,
    reduced,
)
from .reduction import sum
from .shaping import moveaxis, reshape

__all__ = ["cross_entropy"]


def row_weights(
    xp: Xp, labels: Array, classes: int, class_weight: Array, ignore_index: int, reduction: str, dtype: Any
) -> tuple[Array, Array]:
    """Return the factor of each row's loss, and the column to read.

    The factor is the weight of the label's class, 0 where the label is to be ignored, divided by the sum of
    all if the reduction is a mean, or all 0 if that sum is. An ignored row reads column 0. A label that is
    not in ``range(classes)`` makes its row NaN: where labels are not checked beforehand, the loss shows it.
    """
    known = (labels >= 0) & (labels < classes)
    column = xp.where(known, labels, 0)
    row = xp.where(labels == ignore_index, 0, xp.where(known, 1, math.nan)).astype(dtype)
    if class_weight is not None:
        row = row * class_weight[column]
    if reduction == "mean":
        total = xp.sum(row)
        row = xp.where(total == 0, 0, row / xp.where(total == 0, 1, total))
    return row, column


def _logits_rule(
    g: Array, logits: Array, labels: Array, class_weight: Array, ignore_index: int, reduction: str
) -> Array:
    return _softmax_cross_entropy_vjp(
        g, logits, labels, class_weight, ignore_index=ignore_index, reduction=reduction
    )


@primitive(logits=_logits_rule)
def _softmax_cross_entropy(
    xp: Xp,
    logits: Array,
    labels: Array,
    class_weight: Array = None,
    *,
    ignore_index: int,
    reduction: str,
) -> Array:
    """``logsumexp(z) - z[label]`` of each row z of (N, C) logits, weighted and reduced.

    Where no row has a weight the mean is NaN. A row without weight is selected, not multiplied by 0: it may
    be NaN.
    """
    require_in_range("cross_entropy", labels, logits.shape[1], ignore_index)
    row, column = row_weights(
        xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype
    )
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(shifted), axis=1))
    losses = xp.where(row == 0, 0, log_sum - shifted[xp.arange(len(column)), column]) * row
    if reduction == "mean":
        return xp.where(xp.any(row != 0), xp.sum(losses), math.nan)
    return losses if reduction == "none" else xp.sum(losses)


def _vjp_g_rule(
    xp: Xp, g: Array, logits: Array, labels: Array, class_weight: Array, ignore_index: int, reduction: str
) -> Array:
    """Contract with ``row_weight * (softmax - onehot)``; the engine sums for a reduced loss."""
    row, column = row_weights(
        xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype
    )
    each = backend_of((column,)).xp.arange(len(column))
    return xp.where(row == 0, 0, row * (xp.sum(g * softmax(logits), axis=1) - g[each, column]))


def _vjp_logits_rule(
    xp: Xp,
    g: Array,
    g_in: Array,
    logits: Array,
    labels: Array,
    class_weight: Array,
    ignore_index: int,
    reduction: str,
) -> Array:
    """Apply the Jacobian of the softmax, ``diag(p) - p p^T``, to each row."""
    row, _ = row_weights(xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype)
    p = softmax(logits)
    scale = xp.reshape(g_in * row, (-1, 1))
    return xp.where(row[:, None] == 0, 0, scale * p * (g - xp.sum(g * p, axis=1, keepdims=True)))


@primitive(g_in=_vjp_g_rule, logits=_vjp_logits_rule)
def _softmax_cross_entropy_vjp(
    xp: Xp,
    g_in: Array,
    logits: Array,
    labels: Array,
    class_weight: Array = None,
    *,
    ignore_index: int,
    reduction: str,
) -> Array:
    """``g * row_weight * (softmax(z) - onehot(label))`` of each row z of (N, C) logits; 0 without weight."""
    row, column = row_weights(
        xp, labels, logits.shape[1], class_weight, ignore_index, reduction, logits.dtype
    )
    p = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    p /= xp.sum(p, axis=1, keepdims=True)
    p[xp.arange(len(column)), column] -= 1
    return xp.where(row[:, None] == 0, 0, p * (g_in * row)[:, None])


@primitive(
    logits=lambda xp, g, logits, q: (
        xp.expand_dims(g, -1) * (xp.sum(q, axis=-1, keepdims=True) * softmax(logits) - q)
    ),
    q=lambda xp, g, logits: -xp.expand_dims(g, -1) * log_softmax(logits),
)
def _soft_cross_entropy(xp: Xp, logits: Array, q: Array) -> Array:
    """``-sum(q * log_softmax(z))`` of each row z; where q is 0, so is the term, also beside an infinity."""
    return xp.sum(q * xp.where(q == 0, 0, -log_softmax(logits)), axis=-1)


def cross_entropy(
    logits: TensorLike,
    target: TensorLike,
    weight: TensorLike = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    **words: Never,
) -> Array:
    """Cross-entropy of the softmax of `logits`, computed in one pass.

    Parameters
    ----------
    logits : Tensor, shape (C,), (N, C) or (N, C, d1, ...)
        Unnormalized log-probabilities: no softmax before this function.
    target : Tensor or array
        Either class indices, integers of the shape of `logits` without the axis of classes; or
        class probabilities, floats of the shape of `logits`.
    weight : Tensor or array, shape (C,), optional
        A factor for the loss of each class.
    ignore_index : int
        Samples with this label count neither in the sum nor in the mean: whatever their logits are, their
        loss and their gradient are 0. So are those of labels of weight 0 (without smoothing).
    label_smoothing : float
        In [0, 1]: how much of the target is spread evenly over all classes (Szegedy et al., 2016).
    reduction : {"mean", "sum", "none"}
        With class indices, the mean is weighted by the weights of the labels, as in PyTorch. Where nothing
        counts, as in an empty batch, it is NaN, its gradient is 0, and the sum is 0.

    Returns
    -------
    Tensor
        A scalar, or one loss for each sample.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If logits are not floats, or labels not integers.
    IndexingError
        If a label is not in ``range(C)`` and is not `ignore_index`. On a GPU, where a look at the labels
        would wait, such a label makes the loss NaN instead.
    OptionError
        If `label_smoothing` or `reduction` is out of its domain.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.cross_entropy(tg.tensor([[0.0, 0.0]]), [1])
    tensor(0.6931472)
    """
    if words:
        refuse_words(cross_entropy, words)
    if reduction not in REDUCTIONS:
        check_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise refusals.label_smoothing(label_smoothing)
    if not isinstance(logits, Variable):
        check_input("cross_entropy", "logits", logits)
    shape = tuple(logits.shape)
    if not shape or logits.dtype.kind != "f":
        raise refusals.logits(logits)
    if not isinstance(target, Variable) and type(target) is not numpy.ndarray:
        target = beside("cross_entropy", "target", target, logits)
    axis = 1 if len(shape) > 1 else 0
    class_weight = None
    if weight is not None:
        class_weight = as_constant("cross_entropy", "weight", weight, logits)
        if class_weight.shape != (shape[axis],):
            raise refusals.class_weight("cross_entropy", class_weight, logits=logits)
    sample_shape = shape[:axis] + shape[axis + 1 :]
    rows = _rows(logits, axis)
    target_shape = tuple(target.shape)
    if target.dtype.kind == "f" and target_shape != sample_shape:
        q = _probabilities(logits, target, axis, class_weight, float(label_smoothing))
        losses = reduced(_soft_cross_entropy(rows, q), reduction)
    elif target.dtype.kind == "f" or target_shape != sample_shape:
        raise refusals.labels(logits, target, sample_shape)
    elif label_smoothing:
        labels = flat_labels("cross_entropy", target)
        q, read, counts = aside(
            _smoothed, labels, rows, class_weight, ignore_index, reduction, float(label_smoothing)
        )
        losses = _soft_cross_entropy(where(read, rows, 0), q)
        losses = relying_on(losses, "cross_entropy", target=labels, weight=class_weight)
        losses = summed(losses, reduction, counts)
    else:
        given = (rows, flat_labels("cross_entropy", target), class_weight)
        losses = _softmax_cross_entropy(
            *(given if weight is not None else given[:2]), ignore_index=ignore_index, reduction=reduction
        )
    return losses if reduction != "none" or len(shape) == 2 else reshape(losses, shape=sample_shape)


def _rows(scores: TensorLike, axis: int) -> TensorLike:
    """Return scores with the axis of classes last, and all others as one."""
    if len(scores.shape) == 2:
        return scores
    return reshape(moveaxis(scores, axis, -1), shape=(-1, scores.shape[axis]))


def _probabilities(
    logits: TensorLike, target: TensorLike, axis: int, class_weight: TensorLike, label_smoothing: float
) -> TensorLike:
    """Return the factor of each log-probability: rows of target probabilities, smoothed and weighted."""
    check_same_shape("cross_entropy", logits, target)
    q = _rows(as_target("cross_entropy", target, logits), axis)
    if label_smoothing:
        q = add(multiply(q, 1 - label_smoothing), label_smoothing / logits.shape[axis])
    return q if class_weight is None else multiply(q, class_weight)


def summed(losses: TensorLike, reduction: str, counts: TensorLike) -> Array:
    """Sum losses that are weighted for their reduction; a mean is NaN, without a gradient, if none counts."""
    if reduction == "none":
        return losses
    return sum(losses) if reduction == "sum" else where(counts, sum(losses), math.nan)


def flat_labels(op: str, labels: TensorLike) -> Array:
    """Return integer labels with one axis."""
    if labels.dtype.kind not in "iu":
        raise DTypeError(op, "labels must be integers", labels=labels.dtype)
    labels = labels if labels.ndim == 1 else reshape(labels, shape=(-1,))
    return labels if labels.dtype == "int64" else _cast(labels, "int64")  # one type for all kernels


def require_in_range(op: str, labels: Array, classes: int, ignore_index: int) -> None:
    """Refuse labels out of range, but for labels on a GPU, which a look would wait for: they make NaN."""
    if backend_of((labels,)) is not CPU:
        return
    if not (((labels >= 0) & (labels < classes)) | (labels == ignore_index)).all():
        raise refusals.label_out_of_range(op, labels, classes, ignore_index)


def _smoothed(
    labels: TensorLike,
    like: TensorLike,
    class_weight: TensorLike,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Array, Array, Array]:
    """Return targets of which `label_smoothing` is spread over all classes, weights and mean folded in.

    Also which rows are read, and whether any has a weight.
    """
    xp = backend_of((labels,)).xp
    classes = like.shape[1]
    require_in_range("cross_entropy", labels, classes, ignore_index)
    with on_device_of(labels, "cross_entropy"):
        valid, column = row_weights(xp, labels, classes, None, ignore_index, "sum", like.dtype)
        weights, _ = row_weights(xp, labels, classes, class_weight, ignore_index, "sum", like.dtype)
        total = xp.sum(weights)
        q = xp.full(like.shape, label_smoothing / classes, dtype=like.dtype)
        q[xp.arange(len(column)), column] += 1 - label_smoothing
        q *= valid[:, None]
        if class_weight is not None:
            q *= class_weight
        if reduction == "mean":
            q /= xp.where(total == 0, 1, total)
        return q, valid[:, None] != 0, xp.asarray(total != 0)
