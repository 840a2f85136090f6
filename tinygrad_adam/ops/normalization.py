"""Normalization over features or over the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from ..backend import sums
from ..backend.device import Backend, backend_of
from ..backend.overrides import fast_or_reference
from ..engine.aside import aside
from ..engine.graph import primitive
from ..errors import OptionError, ShapeError
from ..typing import Array, TensorLike, Xp
from ..values import is_integer
from .channels import all_but_channels, scale_channels
from .reduction import mean, normalize_axes
from .shaping import reshape

__all__ = [
    "batch_norm",
    "group_norm",
    "layer_norm",
]

# With n elements to a group, c = x - mean, r = (mean(c^2) + eps)^(-1/2) and x_hat = c * r, the derivative of
# x_hat is the matrix P = r * (1 - 1/n - x_hat x_hat^T / n): it projects out what the mean and the variance
# absorb. P is symmetric, so the vector-Jacobian product below is its own rule for its first argument.


# The moments, if they are known already, are a setting: what is differentiated is the function of x alone.

Moments = tuple[Array, Array] | None
"""Mean and variance, of a shape that broadcasts; None if they are to be computed."""


def _moments(xp: Xp, x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    return sums.mean(xp, x, axes, keepdims=True), sums.variance(xp, x, axes, keepdims=True)


def channel_moments(xp: Xp, x: Array) -> tuple[Array, Array]:
    """Mean and variance of each channel of x, shape (N, C, ...)."""
    axes = all_but_channels(x)
    return sums.mean(xp, x, axes), sums.variance(xp, x, axes)


@primitive(
    x=lambda g, x, axes, eps, moments: _standardize_vjp(g, x, axes=axes, eps=eps, moments=moments),
)
def _standardize(xp: Xp, x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None) -> Array:
    """``(x - mean) / sqrt(variance + eps)`` over `axes`."""
    mean, variance = moments or _moments(xp, x, axes)
    return (x - mean) / xp.sqrt(variance + eps)


def _second_x_rule(g: Array, a: Array, x: Array, axes: tuple[int, ...], eps: float, moments: Any) -> Array:
    """Give the slope of g^T P a in x."""

    def average(value: Any) -> Array:
        return mean(value, axis=axes, keepdims=True)

    centered = x - average(x)
    r = (average(centered * centered) + eps) ** -0.5
    x_hat = centered * r
    pa = _standardize_vjp(a, x, axes=axes, eps=eps, moments=moments)
    pg = _standardize_vjp(g, x, axes=axes, eps=eps, moments=moments)
    return -r * (x_hat * average(g * pa) + pg * average(a * x_hat) + pa * average(g * x_hat))


@primitive(
    a=lambda g, x, axes, eps, moments: _standardize_vjp(g, x, axes=axes, eps=eps, moments=moments),
    x=_second_x_rule,
)
def _standardize_vjp(
    xp: Xp, a: Array, x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None
) -> Array:
    """``P a``, that is ``r * (a - mean(a) - x_hat * mean(a * x_hat))``: the way back of standardizing."""
    mean, variance = moments or _moments(xp, x, axes)
    r = (variance + eps) ** -0.5
    x_hat = (x - mean) * r
    a_mean = sums.mean(xp, a, axes, keepdims=True)
    return r * (a - a_mean - x_hat * sums.mean(xp, a * x_hat, axes, keepdims=True))


def layer_norm(
    x: TensorLike,
    normalized_shape: int | Sequence[int],
    weight: TensorLike = None,
    bias: TensorLike = None,
    eps: float = 1e-5,
) -> Array:
    """Standardize each sample over its last axes (Ba, Kiros & Hinton, 2016).

    Parameters
    ----------
    x : Tensor, shape (...) + normalized_shape
        The input.
    normalized_shape : int or sequence of int
        The last sizes of `x`, over which to standardize.
    weight, bias : Tensor, shape normalized_shape, optional
        Scale and shift afterwards.
    eps : float
        Added to the variance.

    Raises
    ------
    ShapeError
        If `x` does not end in `normalized_shape`.
    """
    last = (normalized_shape,) if isinstance(normalized_shape, int | Integral) else tuple(normalized_shape)
    count = len(last)
    if not count or tuple(x.shape[-count:]) != last:
        raise ShapeError(
            "layer_norm",
            "x must end in normalized_shape",
            x=tuple(x.shape),
            normalized_shape=normalized_shape,
        )
    y = _standardize(x, axes=normalize_axes(tuple(range(-count, 0)), x.ndim), eps=float(eps))
    return _affine(y, weight, bias)


def batch_norm(
    x: TensorLike,
    running_mean: TensorLike = None,
    running_var: TensorLike = None,
    weight: TensorLike = None,
    bias: TensorLike = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: TensorLike = None,
) -> Array:
    """Standardize each channel over the batch (Ioffe & Szegedy, 2015).

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        The input; axis 1 holds the channels.
    running_mean, running_var : Tensor, shape (C,), optional
        Averages over batches. With `training` they are updated in place, the variance with
        n - 1 in the denominator; without, they are what is used. A batch with NaN or infinities, whose
        variance is not finite, leaves all of them as they are.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift afterwards.
    training : bool
        Whether to use the statistics of this batch; also so if there are no running averages.
    momentum : float or None
        The share of this batch in the running averages; None makes them the means over all batches.
    eps : float
        Added to the variance.
    num_batches_tracked : integer Tensor, shape (), optional
        How many batches the running averages have seen; counted on in place with them. ``momentum=None``
        needs it.

    Raises
    ------
    OptionError
        If `momentum` is None without `num_batches_tracked`.
    ShapeError
        If a channel has but one value in training, which has no variance; if `weight` or `bias` have another
        shape.
    """
    shape = tuple(x.shape)
    if len(shape) < 2:
        raise ShapeError("batch_norm", "x must have axes for the batch and the channels", x=shape)
    axes = (0, *range(2, len(shape)))
    across = (1, -1) + (1,) * (len(shape) - 2)
    if training or running_mean is None:
        count = math.prod(shape) // shape[1] if shape[1] else 0
        if count < 2:
            raise ShapeError(
                "batch_norm",
                "training needs more than one value for each channel; DataLoader(drop_last=True) leaves out "
                "a last batch of one example",
                x=shape,
            )
        running = () if running_mean is None else (running_mean, running_var)
        if num_batches_tracked is not None:
            running = (*running, num_batches_tracked)
        elif momentum is None and running:
            raise OptionError("batch_norm", "momentum=None needs num_batches_tracked", momentum=momentum)
        written = [variable._written for variable in running]
        moments = aside(_moments_of_batch, x, across, momentum, *running, *written)
        y = _standardize(x, axes=axes, eps=float(eps), moments=moments)
    else:
        y = x - reshape(_of_channels("batch_norm", x, "running_mean", running_mean), shape=across)
        r = (_of_channels("batch_norm", x, "running_var", running_var) + float(eps)) ** -0.5
        weight = _of_channels("batch_norm", x, "weight", weight)
        weight = r if weight is None else weight * r
    return _affine_channels("batch_norm", y, weight, bias)


def _moments_of_batch(
    x: TensorLike, across: tuple[int, ...], momentum: float | None, *running: TensorLike
) -> tuple[Array, Array]:
    """Return mean and variance of each channel, and move the running averages, if any, towards them.

    The running averages and the count of batches come with the methods that count their changes behind.
    """
    backend = backend_of((x,))
    with backend.current("batch_norm"):
        average, variance = fast_or_reference(channel_moments, backend)(x)
        if running:
            count = x.size // x.shape[1]
            half = len(running) // 2
            _follow(backend, average, variance * (count / (count - 1)), momentum, *running[:half])
            for written in running[half:]:
                written()
        return average.reshape(across), variance.reshape(across)


def _follow(
    backend: Backend,
    average: TensorLike,
    variance: TensorLike,
    momentum: float | None,
    mean: TensorLike,
    var: TensorLike,
    batches: TensorLike = None,
) -> None:
    """Move running averages towards the moments of a batch, unless it holds NaN or infinities.

    The variance tells: of values that are not finite, or too large, it is not finite either.
    """
    finite = variance.max() < math.inf  # not so of NaN, either
    looked = backend.device == "cpu"  # a GPU would have to be waited for
    if looked and not finite:
        return
    if batches is not None:
        batches += 1 if looked else finite
    share = momentum if momentum is not None else 1.0 / batches.clip(1, None).astype(mean.dtype)
    for running, moment in ((mean, average), (var, variance)):
        change = share * (moment - running)
        running += change if looked else backend.xp.where(finite, change, 0)


def _affine(y: TensorLike, weight: TensorLike, bias: TensorLike) -> Array:
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def _affine_channels(op: str, y: TensorLike, weight: TensorLike, bias: TensorLike) -> Array:
    weight, bias = _of_channels(op, y, "weight", weight), _of_channels(op, y, "bias", bias)
    if weight is None:
        return y if bias is None else y + reshape(bias, shape=(-1, *[1] * (y.ndim - 2)))
    return scale_channels(y, weight, bias)


def _of_channels(op: str, x: TensorLike, name: str, value: Any) -> Array:
    """Return an argument that has a number for each channel of `x` with one axis; None as it is."""
    if value is None:
        return None
    if getattr(value, "ndim", None) != 1:
        value = reshape(value, shape=(-1,))
    if value.shape[0] != x.shape[1]:
        raise ShapeError(
            op, f"{name} must have a number for each channel", x=tuple(x.shape), **{name: value.shape}
        )
    return value


def group_norm(
    x: TensorLike, num_groups: int, weight: TensorLike = None, bias: TensorLike = None, eps: float = 1e-5
) -> Array:
    """Standardize each group of channels of each sample (Wu & He, 2018).

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        The input.
    num_groups : int
        Into how many groups the channels fall; it must divide C.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift afterwards.
    eps : float
        Added to the variance.

    Raises
    ------
    ShapeError
        If `num_groups` does not divide the number of channels; if `weight` or `bias` have another shape.
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or not is_integer(num_groups, 1) or shape[1] % num_groups:
        raise ShapeError("group_norm", "num_groups must divide x.shape[1]", x=shape, num_groups=num_groups)
    num_groups = int(num_groups)
    grouped = reshape(x, shape=(shape[0], num_groups, shape[1] // num_groups, *shape[2:]))
    y = reshape(_standardize(grouped, axes=tuple(range(2, len(shape) + 1)), eps=float(eps)), shape=shape)
    return _affine_channels("group_norm", y, weight, bias)
