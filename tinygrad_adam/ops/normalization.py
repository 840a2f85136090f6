"""Normalization over features or over the batch."""

from __future__ import annotations

from typing import Any

from ..backend.device import backend_of
from ..errors import ShapeError
from ..primitive import Variable, primitive
from .arithmetic import sqrt
from .reduction import mean, normalize_axes
from .shaping import reshape


def _x_rule(xp: Any, g: Any, x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """Project out what the mean and the variance absorb.

    With x_hat = (x - mean) * rstd:  rstd * (g - mean(g) - x_hat * mean(g * x_hat)).
    """
    centered = x - mean(x, axis=axes, keepdims=True)
    rstd = (mean(centered * centered, axis=axes, keepdims=True) + eps) ** -0.5
    x_hat = centered * rstd
    g_mean = mean(g, axis=axes, keepdims=True)
    return rstd * (g - g_mean - x_hat * mean(g * x_hat, axis=axes, keepdims=True))


@primitive(x=_x_rule)
def _standardize(xp: Any, x: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """``(x - mean) / sqrt(variance + eps)`` over `axes`."""
    centered = x - xp.mean(x, axis=axes, keepdims=True)
    return centered / xp.sqrt(xp.mean(centered * centered, axis=axes, keepdims=True) + eps)


def layer_norm(
    x: Any, normalized_shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Standardize each sample over its last axes (Ba, Kiros & Hinton, 2016).

    Parameters
    ----------
    x : Tensor, shape (..., *normalized_shape)
        The input.
    normalized_shape : tuple of int
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
    count = len(normalized_shape)
    if not count or tuple(x.shape[-count:]) != tuple(normalized_shape):
        raise ShapeError(
            "layer_norm",
            "x must end in normalized_shape",
            x=tuple(x.shape),
            normalized_shape=normalized_shape,
        )
    y = _standardize(x, axes=normalize_axes(tuple(range(-count, 0)), x.ndim), eps=eps)
    return _affine(y, weight, bias)


def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Standardize each channel over the batch (Ioffe & Szegedy, 2015).

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        The input; axis 1 holds the channels.
    running_mean, running_var : Tensor, shape (C,), optional
        Averages over batches. With `training` they are updated in place, the variance with
        n - 1 in the denominator; without, they are what is used.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift afterwards.
    training : bool
        Whether to use the statistics of this batch; also so if there are no running averages.
    momentum : float
        The share of this batch in the running averages.
    eps : float
        Added to the variance.

    Raises
    ------
    ShapeError
        If a channel has but one value in training, which has no variance.
    """
    shape = tuple(x.shape)
    if len(shape) < 2:
        raise ShapeError("batch_norm", "x must have axes for the batch and the channels", x=shape)
    axes = (0, *range(2, len(shape)))
    across = (1, -1) + (1,) * (len(shape) - 2)
    if training or running_mean is None:
        values = x._data if isinstance(x, Variable) else x
        count = values.size // shape[1] if shape[1] else 0
        if count < 2:
            raise ShapeError("batch_norm", "training needs more than one value for each channel", x=shape)
        if running_mean is not None:
            xp = backend_of((values,)).xp
            _move_towards(running_mean, xp.mean(values, axis=axes), momentum)
            _move_towards(running_var, xp.var(values, axis=axes, ddof=1), momentum)
        y = _standardize(x, axes=axes, eps=eps)
    else:
        y = (x - reshape(running_mean, shape=across)) / sqrt(reshape(running_var, shape=across) + eps)
    return _affine(
        y,
        None if weight is None else reshape(weight, shape=across),
        None if bias is None else reshape(bias, shape=across),
    )


def _move_towards(average: Variable, value: Any, share: float) -> None:
    average._data += share * (value - average._data)
    average._version[0] += 1


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
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
        If `num_groups` does not divide the number of channels.
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ShapeError("group_norm", "num_groups must divide x.shape[1]", x=shape, num_groups=num_groups)
    grouped = reshape(x, shape=(shape[0], num_groups, shape[1] // num_groups, *shape[2:]))
    y = reshape(_standardize(grouped, axes=tuple(range(2, len(shape) + 1)), eps=eps), shape=shape)
    across = (1, -1) + (1,) * (len(shape) - 2)
    return _affine(
        y,
        None if weight is None else reshape(weight, shape=across),
        None if bias is None else reshape(bias, shape=across),
    )
