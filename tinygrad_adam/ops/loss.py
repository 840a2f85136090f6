"""Loss functions, each as one fused primitive and the reduction after it."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ..backend.convert import array_of, default_dtype
from ..backend.device import asarray, device_of, is_array, on_device_of
from ..engine.aside import aside
from ..engine.graph import Variable, primitive
from ..errors import DTypeError, OptionError, ShapeError, unknown_name
from ..typing import Array, TensorLike, Xp
from .activation import sigmoid, softplus
from .arithmetic import astype
from .reduction import mean, sum

__all__ = [
    "binary_cross_entropy_with_logits",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
]

REDUCTIONS = ("mean", "sum", "none")


def reduced(values: TensorLike, reduction: str) -> Array:
    """Return the mean, which of no values is NaN, the sum, or the values themselves."""
    if reduction == "mean":
        return mean(values) if values.size else sum(values) * math.nan
    return sum(values) if reduction == "sum" else values


def check_reduction(where: str, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> None:
    """Refuse a reduction that is not known."""
    if reduction not in known:
        raise unknown_name(where, "reduction", reduction, known)


def check_same_shape(where: str, input: TensorLike, target: TensorLike) -> None:
    """Refuse a target that would be broadcast."""
    # Broadcasting (n,) against (n, 1) would make n * n losses of which no one would hear.
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(
            where,
            "input and target must have one shape",
            input=tuple(input.shape),
            target=tuple(target.shape),
        )


def check_input(where: str, name: str, value: Any) -> None:
    """Refuse lists and numbers as the first argument, which says on which device a loss is computed."""
    if not isinstance(value, Variable) and not is_array(value):
        raise DTypeError(
            where, f"{name} must be a Tensor or an array, as tg.tensor({name})", got=type(value).__name__
        )


def beside(where: str, name: str, value: Any, like: TensorLike) -> Array:
    """Return a Tensor or an array of numbers as it is, and a sequence as an array beside the input."""
    if isinstance(value, Variable):
        return value
    if hasattr(value, "mask"):
        raise DTypeError(where, f"{name} must not be masked; call .filled() first", got=type(value).__name__)
    if not is_array(value):
        value = aside(_array_beside, where, value, like)
    return value


def _array_beside(where: str, value: Any, like: TensorLike) -> Array:
    with default_dtype(numpy.float64):  # beside an input of float64 nothing must be lost
        return asarray(array_of(where, value), device=device_of(like))


def as_constant(where: str, name: str, value: Any, like: TensorLike) -> Array:
    """Return a constant, which gets no gradient, in the dtype of the input."""
    value = value._detached() if isinstance(value, Variable) else beside(where, name, value, like)
    return _cast(value, like.dtype)


def as_target(where: str, value: Any, like: TensorLike) -> Array:
    """Return a target in the dtype of the input: float64 labels must not make float64 losses."""
    return _cast(beside(where, "target", value, like), like.dtype)


def as_pair(where: str, input: TensorLike, target: TensorLike) -> tuple[Array, Array]:
    """Return the input and the target of a loss of elements, of one shape and one dtype of floats.

    An input of integers or truth values, which would cut the target off and wrap around, becomes the float
    that NumPy would compute with.
    """
    check_input(where, "input", input)
    target = beside(where, "target", target, input)
    check_same_shape(where, input, target)
    if input.dtype.kind != "f":
        input = _cast(input, numpy.result_type(input.dtype, target.dtype, numpy.float32))
    return input, _cast(target, input.dtype)


def _cast(value: Any, dtype: Any) -> Array:
    if value.dtype == dtype:
        return value
    return astype(value, dtype=dtype) if isinstance(value, Variable) else aside(_cast_array, value, dtype)


def _cast_array(array: TensorLike, dtype: Any) -> Array:
    with on_device_of(array, "astype"):
        return array.astype(dtype)


# --- Binary cross-entropy --------------------------------------------------------------------


# Each side is a product of what is small by itself: 1 - sigmoid(x) or x - softplus(x) would cancel far out.
@primitive(
    x=lambda g, x, target, pos_weight: g * ((1 - target) * sigmoid(x) - pos_weight * target * sigmoid(-x)),
    target=lambda g, x, pos_weight: g * ((pos_weight - 1) * softplus(-x) - x),
)
def _binary_cross_entropy(xp: Xp, x: Array, target: Array, pos_weight: Array) -> Array:
    """``-(pos_weight * t * log(s) + (1 - t) * log(1 - s))`` with s the sigmoid of `x`."""
    return pos_weight * target * softplus(-x) + (1 - target) * softplus(x)


def binary_cross_entropy_with_logits(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike = None,
    pos_weight: TensorLike = None,
    reduction: str = "mean",
) -> Array:
    """Cross-entropy of the sigmoid of `input` with targets in [0, 1], without overflow.

    Parameters
    ----------
    input : Tensor
        Logits of any shape: no sigmoid before this function.
    target : Tensor or array
        Probabilities of the positive class, of the shape of `input`.
    weight : Tensor or array, optional
        A factor for each loss; broadcast.
    pos_weight : Tensor, array or float, optional
        A factor for the positive part of the loss; broadcast.
    reduction : {"mean", "sum", "none"}
        What to make of the losses of the elements.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DTypeError
        If `input` is a list or another thing without a shape, or the target does not hold numbers.
    """
    where = "binary_cross_entropy_with_logits"
    check_reduction(where, reduction)
    input, target = as_pair(where, input, target)
    positive = 1.0 if pos_weight is None else _scalar_or_constant(where, "pos_weight", pos_weight, input)
    losses = _binary_cross_entropy(input, target, positive)
    if weight is not None:
        losses = losses * _scalar_or_constant(where, "weight", weight, input)
    return reduced(losses, reduction)


def _scalar_or_constant(where: str, name: str, value: Any, like: TensorLike) -> Array:
    # A float64 scalar of NumPy is a float, too, and would make float64 losses.
    return float(value) if isinstance(value, int | float) else as_constant(where, name, value, like)


# --- Regression ------------------------------------------------------------------------------


@primitive(
    input=lambda g, input, target: g * 2 * (input - target),
    target=lambda g, input, target: g * 2 * (target - input),
)
def _squared_error(xp: Xp, input: Array, target: Array) -> Array:
    """``(input - target) ** 2``."""
    return xp.square(input - target)


@primitive(
    input=lambda xp, g, input, target: g * xp.sign(input - target),
    target=lambda xp, g, input, target: g * xp.sign(target - input),
)
def _absolute_error(xp: Xp, input: Array, target: Array) -> Array:
    """``abs(input - target)``."""
    return xp.abs(input - target)


@primitive(
    input=lambda xp, g, input, target, delta: g * xp.clip(input - target, -delta, delta),
    target=lambda xp, g, input, target, delta: g * xp.clip(target - input, -delta, delta),
)
def _huber(xp: Xp, input: Array, target: Array, *, delta: float) -> Array:
    """Half the square of small errors; a line of slope `delta` beyond."""
    error = xp.abs(input - target)
    return xp.where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))


def mse_loss(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Array:
    """Squared error ``(input - target) ** 2``, reduced.

    Parameters
    ----------
    input, target : Tensor or array
        Of one shape; no broadcasting. The target is cast to the dtype of the input; integers and truth
        values as input become the floats that NumPy would compute with, as in all losses of elements.
    reduction : {"mean", "sum", "none"}
        What to make of the errors of the elements. The mean of no elements is NaN, their sum 0.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DTypeError
        If `input` is a list or another thing without a shape, or the target does not hold numbers.
    """
    return _regression("mse_loss", _squared_error, input, target, reduction)


def l1_loss(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Array:
    """Absolute error ``abs(input - target)``, reduced; parameters as `mse_loss`."""
    return _regression("l1_loss", _absolute_error, input, target, reduction)


def huber_loss(input: TensorLike, target: TensorLike, delta: float = 1.0, reduction: str = "mean") -> Array:
    """Huber's loss (1964): squared near the target, linear beyond `delta`.

    Parameters
    ----------
    input, target : Tensor or array
        Of one shape; no broadcasting.
    delta : float
        Where the square passes into the line, and the slope of the line.
    reduction : {"mean", "sum", "none"}
        What to make of the losses of the elements.

    Raises
    ------
    ShapeError
        If the shapes differ.
    OptionError
        If `delta` is not positive.
    """
    if not delta > 0:
        raise OptionError("huber_loss", "delta must be positive", delta=delta)
    return _regression("huber_loss", _huber, input, target, reduction, delta=float(delta))


def _regression(
    where: str, operation: Any, input: TensorLike, target: TensorLike, reduction: str, **settings: float
) -> Array:
    check_reduction(where, reduction)
    input, target = as_pair(where, input, target)
    return reduced(operation(input, target, **settings), reduction)


# --- Others ----------------------------------------------------------------------------------


def _kl_target_rule(xp: Xp, g: Array, input: Array, target: Array) -> Array:
    return g * (xp.log(target) + 1 - input)


@primitive(input=lambda xp, g, target: xp.where(target == 0, 0, -g) * target, target=_kl_target_rule)
def _kl_div(xp: Xp, input: Array, target: Array) -> Array:
    """``target * (log(target) - input)``, which is 0 where `target` is 0, also beside the logarithm of 0."""
    return target * (xp.log(xp.where(target > 0, target, 1)) - xp.where(target == 0, 0, input))


def kl_div(input: TensorLike, target: TensorLike, reduction: str = "mean") -> Array:
    """Kullback-Leibler divergence of `target` from the distribution whose logarithm is `input`.

    Parameters
    ----------
    input : Tensor
        Log-probabilities.
    target : Tensor or array
        Probabilities, of the shape of `input`.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"`` sums and divides by the first size, which is the divergence as defined;
        ``"mean"`` divides by the number of elements.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    check_reduction("kl_div", reduction, (*REDUCTIONS, "batchmean"))
    input, target = as_pair("kl_div", input, target)
    losses = _kl_div(input, target)
    if reduction != "batchmean":
        return reduced(losses, reduction)
    if not input.shape:
        raise ShapeError("kl_div", "'batchmean' needs an axis of samples", input=input.shape)
    return sum(losses) / (input.shape[0] or math.nan)


@primitive(input=lambda xp, g, input, target, margin: xp.where(margin - target * input <= 0, 0, -g * target))
def _hinge(xp: Xp, input: Array, target: Array, *, margin: float) -> Array:
    """``max(0, margin - target * input)``."""
    return xp.maximum(margin - target * input, 0)


def hinge_loss(input: TensorLike, target: TensorLike, margin: float = 1.0, reduction: str = "mean") -> Array:
    """Hinge loss ``max(0, margin - target * input)`` of a support vector machine.

    Parameters
    ----------
    input : Tensor
        Scores of any shape.
    target : Tensor or array
        -1 or 1, of the shape of `input`; it gets no gradient.
    margin : float
        How far on the right side a score must be to cost nothing.
    reduction : {"mean", "sum", "none"}
        What to make of the losses of the elements.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DTypeError
        If `target` holds truth values or unsigned integers, which cannot be -1.
    """
    check_reduction("hinge_loss", reduction)
    target = beside("hinge_loss", "target", target, input)
    if target.dtype.kind in "bu":
        raise DTypeError(
            "hinge_loss",
            "targets must be -1 or 1; make them of 0 and 1 as 2 * y.astype(int) - 1",
            target=target.dtype,
        )
    input, target = as_pair("hinge_loss", input, target)
    return reduced(_hinge(input, target, margin=float(margin)), reduction)
