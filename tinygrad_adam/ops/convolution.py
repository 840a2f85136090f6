"""Convolution (cross-correlation, as all of the field calls it) in one and two dimensions.

With x the input, w the weight and y the output, a convolution is linear in x and linear in w::

    y[n, o, p, q] = sum over c, i, j of  x[n, c, p*s + i*d, q*s + j*d] * w[o, c, i, j]

So it comes with two more maps, each linear in both of its arguments: the gradient of the input, made
of a y-like and a w-like array, and the gradient of the weight, made of an x-like and a y-like one. All
three sum the same products over the same index sets and differ only in which of x, w and y they sum
over. Hence the three are each other's derivatives: every rule below is one of the three primitives,
and gradients of any order are convolutions again.
"""

from __future__ import annotations

from typing import Any

from ..backend import sums
from ..engine.graph import Primitive, primitive
from ..errors import OptionError, ShapeError
from ..typing import Array, TensorLike, Xp
from ..values import integer
from . import refusals
from .activation import relu_vjp
from .channels import channel_sums
from .indexing import getitem
from .shaping import expand_dims, squeeze
from .windows import (
    Padding,
    Pair,
    Sides,
    check_images,
    cropped,
    output_size,
    padded,
    padded_size,
    pair,
    sides,
    taps,
)

__all__ = [
    "conv1d",
    "conv2d",
    "conv_transpose2d",
]


def _grouped(a: Array, axis: int, groups: int) -> Array:
    """Split the channels on `axis` into (groups, channels of each)."""
    shape = a.shape
    return a.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _input_rule(
    g: Array, x_shape: Array, weight: Array, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """Give the gradient of x."""
    return _conv2d_input(
        g, weight, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def _weight_rule(
    g: Array, x: Array, weight_shape: Array, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """Give the gradient of w."""
    return _conv2d_weight(
        x, g, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@primitive(x=_input_rule, weight=_weight_rule, bias=lambda g: channel_sums(g))
def _conv2d(
    xp: Xp,
    x: Array,
    weight: Array,
    bias: Array = None,
    *,
    stride: tuple[int, int],
    padding: Sides,
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """y, from x and w, and a bias for each channel of y.

    Each tap (i, j) adds ``w[:, :, i, j] @ x``, with x shifted by (i, j).
    """
    kernel = weight.shape[2:]
    count = output_size("conv2d", x.shape[2:], kernel, stride, padding, dilation)
    x = padded(xp, x, padding)
    n, out = len(x), len(weight)
    w = _grouped(weight, 0, groups)
    y = xp.zeros((n, groups, out // groups, count[0] * count[1]), xp.result_type(x, weight))
    for i, j, place in taps(x.shape[2:], kernel, count, stride, dilation):
        patch = _grouped(x[place], 1, groups).reshape(n, groups, weight.shape[1], count[0] * count[1])
        y += w[..., i, j] @ patch
    y = y.reshape(n, out, *count)
    return y if bias is None else y + bias[:, None, None]


@primitive(y=lambda g, y: relu_vjp(g, y), x=_input_rule, weight=_weight_rule, bias=lambda g: channel_sums(g))
def _conv2d_relu(
    xp: Xp,
    x: Array,
    weight: Array,
    bias: Array = None,
    *,
    stride: tuple[int, int],
    padding: Sides,
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """ReLU of y, in one pass."""
    y = _conv2d.forward(xp, x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return xp.maximum(y, 0)


@primitive(
    gy=lambda g, gy_shape, weight, stride, padding, dilation, groups: _first_windows(
        _conv2d(g, weight, stride=stride, padding=padding, dilation=dilation, groups=groups), gy_shape
    ),
    weight=lambda g, gy, weight_shape, stride, padding, dilation, groups: _conv2d_weight(
        g, gy, size=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
)
def _conv2d_input(
    xp: Xp,
    gy: Array,
    weight: Array,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Sides,
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """Something like x, from something like y and w: each tap adds ``w[:, :, i, j]^T @ gy`` where it read."""
    n, count = len(gy), gy.shape[2:]
    out, channels = len(weight), groups * weight.shape[1]
    w = _grouped(weight, 0, groups)
    g = _grouped(gy, 1, groups).reshape(n, groups, out // groups, count[0] * count[1])
    full = padded_size(size, padding)
    x = xp.zeros((n, channels, *full), xp.result_type(gy, weight))
    for i, j, place in taps(full, weight.shape[2:], count, stride, dilation):
        x[place] += (xp.swapaxes(w[..., i, j], -1, -2) @ g).reshape(n, channels, *count)
    return xp.ascontiguousarray(cropped(x, padding, size))


@primitive(
    x=lambda g, x_shape, gy, stride, padding, dilation, groups: _conv2d_input(
        gy, g, size=x_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    gy=lambda g, gy_shape, x, stride, padding, dilation, groups: _first_windows(
        _conv2d(x, g, stride=stride, padding=padding, dilation=dilation, groups=groups), gy_shape
    ),
)
def _conv2d_weight(
    xp: Xp,
    x: Array,
    gy: Array,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Sides,
    dilation: tuple[int, int],
    groups: int,
) -> Array:
    """Something like w, from something like x and y: each tap sums ``gy @ x^T`` over the images."""
    n, count = len(x), gy.shape[2:]
    x = padded(xp, x, padding)
    out, inner = gy.shape[1], x.shape[1] // groups
    g = _grouped(gy, 1, groups).reshape(n, groups, out // groups, count[0] * count[1])
    w = xp.zeros((groups, out // groups, inner, *size), xp.result_type(x, gy))
    for i, j, place in taps(x.shape[2:], size, count, stride, dilation):
        patch = _grouped(x[place], 1, groups).reshape(n, groups, inner, count[0] * count[1])
        w[..., i, j] = sums.total(xp, g @ xp.swapaxes(patch, -1, -2), (0,))
    return w.reshape(out, inner, *size)


def _first_windows(y: TensorLike, shape: tuple[int, ...]) -> Array:
    """Drop windows beyond those of `shape`, for which an output_padding above the stride makes room."""
    return getitem(y, (..., slice(shape[2]), slice(shape[3])))


def _check_bias(where: str, bias: TensorLike, channels: int) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ShapeError(
            where,
            "bias must have one entry for each output channel",
            bias=tuple(bias.shape),
            channels=channels,
        )


def conv2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Array:
    """Slide a bank of filters over images.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    weight : Tensor or array, shape (O, C // groups, KH, KW)
        One filter for each output channel, in PyTorch's layout.
    bias : Tensor or array, shape (O,), optional
        Added to each output channel.
    stride : int or two of them
        Steps between windows.
    padding : int, two of them, "same" or "valid"
        Zeros on both sides; ``"same"`` keeps the size at stride 1, ``"valid"`` is 0.
    dilation : int or two of them
        Steps between the elements of a window.
    groups : int
        Into how many independent parts the channels fall; as many as channels is a depthwise
        convolution.
    activation : {"relu"}, optional
        What follows, in the same pass over memory.

    Returns
    -------
    Tensor or array, shape (N, O, H', W')
        With ``H' = (H + 2 * padding - dilation * (KH - 1) - 1) // stride + 1``.

    Raises
    ------
    ShapeError
        If sizes or channels do not fit.
    DTypeError
        If the images are no floats.
    OptionError
        If a setting is out of its domain.

    Examples
    --------
    >>> import tinygrad_adam as tg
    >>> tg.conv2d(tg.ones(1, 1, 3, 3), tg.ones(1, 1, 2, 2)).shape
    (1, 1, 2, 2)
    """
    if activation not in (None, "relu"):
        raise refusals.activation("conv2d", activation)
    operation = _conv2d if activation is None else _conv2d_relu
    return _filtered("conv2d", operation, x, weight, bias, stride, padding, dilation, groups)


def _filtered(
    where: str,
    operation: Primitive,
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Check the arguments in the name of `where`, and convolve images by `operation`."""
    check_images(where, x)
    weight_shape = tuple(weight.shape)
    steps = pair(where, "stride", stride)
    spread = pair(where, "dilation", dilation)
    groups = integer(where, "groups", groups, least=1)
    _check_groups(where, groups, x.shape[1], weight_shape)
    around = sides(where, padding, weight_shape[2:], steps, spread)
    output_size(where, tuple(x.shape[2:]), weight_shape[2:], steps, around, spread)
    _check_bias(where, bias, weight_shape[0])
    arrays = (x, weight) if bias is None else (x, weight, bias)
    return operation(*arrays, stride=steps, padding=around, dilation=spread, groups=groups)


def _check_groups(where: str, groups: int, channels: int, weight_shape: tuple[int, ...]) -> None:
    if len(weight_shape) != 4 or channels != weight_shape[1] * groups or weight_shape[0] % groups:
        raise ShapeError(
            where,
            "weight must be (O, C // groups, KH, KW) with C the channels of x, and groups must divide O",
            channels=channels, weight=weight_shape, groups=groups,
        )  # fmt: skip


def conv1d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Slide a bank of filters over sequences: `conv2d` with images of one row.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, L)
        Sequences of floats.
    weight : Tensor or array, shape (O, C // groups, K)
        One filter for each output channel.
    bias : Tensor or array, shape (O,), optional
        Added to each output channel.
    stride, dilation, groups : int
        As for `conv2d`.
    padding : int, "same" or "valid"
        As for `conv2d`.

    Returns
    -------
    Tensor or array, shape (N, O, L')

    Raises
    ------
    ShapeError, DTypeError, OptionError
        As `conv2d`.
    """
    check_images("conv1d", x, ndim=3)
    if len(weight.shape) != 3:
        raise ShapeError("conv1d", "weight must be (O, C // groups, K)", weight=tuple(weight.shape))
    rows = padding if isinstance(padding, str) else (0, padding)
    x, weight = expand_dims(x, 2), expand_dims(weight, 2)
    y = _filtered("conv1d", _conv2d, x, weight, bias, (1, stride), rows, (1, dilation), groups)
    return squeeze(y, 2)


def conv_transpose2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Array:
    """Spread images with a bank of filters: the map that `conv2d` applies to gradients.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    weight : Tensor or array, shape (C, O // groups, KH, KW)
        In PyTorch's layout: that of the convolution whose transpose this is.
    bias : Tensor or array, shape (O,), optional
        Added to each output channel.
    stride, padding, dilation : int or two of them
        Of that convolution.
    output_padding : int or two of them
        Which of the sizes that the convolution would have mapped to this one; below the stride.
    groups : int
        As for `conv2d`.

    Returns
    -------
    Tensor or array, shape (N, O, H', W')
        With ``H' = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + 1 + output_padding``.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        As `conv2d`.
    """
    where = "conv_transpose2d"
    check_images(where, x)
    weight_shape = tuple(weight.shape)
    steps, spread = pair(where, "stride", stride), pair(where, "dilation", dilation)
    around = sides(where, pair(where, "padding", padding, least=0), weight_shape[2:], steps, spread)
    more = pair(where, "output_padding", output_padding, least=0)
    groups = integer(where, "groups", groups, least=1)
    if len(weight_shape) != 4 or x.shape[1] != weight_shape[0] or weight_shape[0] % groups:
        raise ShapeError(
            where, "weight must be (C, O // groups, KH, KW), C the channels of x, and groups must divide C",
            x=tuple(x.shape), weight=weight_shape, groups=groups,
        )  # fmt: skip
    if any(extra >= max(s, d) for extra, s, d in zip(more, steps, spread, strict=True)):
        raise OptionError(
            where, "output_padding must be smaller than stride or dilation", output_padding=more
        )
    size = tuple(
        (n - 1) * s - before - after + d * (k - 1) + 1 + extra
        for n, s, (before, after), d, k, extra in zip(
            x.shape[2:], steps, around, spread, weight_shape[2:], more, strict=True
        )
    )
    if min(size) < 0:
        raise ShapeError(
            where, "the output would have a negative size; lower the padding", x=tuple(x.shape), output=size
        )
    _check_bias(where, bias, weight_shape[1] * groups)
    y = _conv2d_input(x, weight, size=size, stride=steps, padding=around, dilation=spread, groups=groups)
    return y if bias is None else y + expand_dims(bias, (1, 2))
