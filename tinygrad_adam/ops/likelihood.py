"""The negative log-likelihood of class labels."""

from __future__ import annotations

from ..backend.device import backend_of, on_device_of
from ..engine.aside import aside, relying_on
from ..engine.graph import primitive
from ..errors import DTypeError, ShapeError
from ..typing import Array, TensorLike, Xp
from . import refusals
from .classification import flat_labels, require_in_range, row_weights, summed
from .indexing import _add_at
from .loss import as_constant, beside, check_input, check_reduction

__all__ = ["nll_loss"]


def _nll_rule(xp: Xp, g: Array, log_probs_shape: tuple[int, ...], column: Array, row: Array) -> Array:
    each = backend_of((column,)).xp.arange(len(column))
    return _add_at(xp.where(row == 0, 0, -g) * row, index=(each, column), shape=log_probs_shape)


@primitive(log_probs=_nll_rule)
def _nll(xp: Xp, log_probs: Array, column: Array, row: Array) -> Array:
    """Pick ``-log_probs[i, column[i]] * row[i]``, or 0 where the row has no weight."""
    return xp.where(row == 0, 0, -log_probs[xp.arange(len(column)), column]) * row


def nll_loss(
    log_probs: TensorLike,
    target: TensorLike,
    weight: TensorLike = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """Negative log-likelihood of class indices, given log-probabilities such as `log_softmax` gives.

    Parameters
    ----------
    log_probs : Tensor, shape (N, C)
        Log-probabilities.
    target : integer Tensor or array, shape (N,)
        Class indices.
    weight : Tensor or array, shape (C,), optional
        A factor for the loss of each class.
    ignore_index : int
        Samples with this label do not count, as in `cross_entropy`.
    reduction : {"mean", "sum", "none"}
        The mean is weighted by the weights of the labels; where nothing counts it is NaN, its gradient 0.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If log-probabilities are not floats, or labels not integers.
    IndexingError
        If a label is out of range; on a GPU the loss is NaN instead, as in `cross_entropy`.
    """
    check_reduction("nll_loss", reduction)
    check_input("nll_loss", "log_probs", log_probs)
    shape = tuple(log_probs.shape)
    labels = beside("nll_loss", "target", target, log_probs)
    if len(shape) != 2 or labels.shape != shape[:1]:
        raise ShapeError(
            "nll_loss", "log_probs must be (N, C) and target (N,)", log_probs=shape, target=labels.shape
        )
    if log_probs.dtype.kind != "f":
        raise DTypeError("nll_loss", "log_probs must be floats", log_probs=log_probs.dtype)
    labels = flat_labels("nll_loss", labels)
    class_weight = None if weight is None else as_constant("nll_loss", "weight", weight, log_probs)
    if class_weight is not None and class_weight.shape != shape[1:]:
        raise refusals.class_weight("nll_loss", class_weight, log_probs=log_probs)
    row, column, counts = aside(_picked, labels, log_probs, class_weight, ignore_index, reduction)
    losses = relying_on(_nll(log_probs, column, row), "nll_loss", target=labels, weight=class_weight)
    return summed(losses, reduction, counts)


def _picked(
    labels: TensorLike, like: TensorLike, class_weight: TensorLike, ignore_index: int, reduction: str
) -> tuple[Array, Array, Array]:
    """Return the weight of each row, the column to read, and whether any row counts."""
    classes = like.shape[1]
    require_in_range("nll_loss", labels, classes, ignore_index)
    with on_device_of(labels, "nll_loss"):
        xp = backend_of((labels,)).xp
        row, column = row_weights(xp, labels, classes, class_weight, ignore_index, reduction, like.dtype)
        return row, column, xp.asarray(xp.any(row != 0))
