"""Pooling over windows, and windows as columns."""

from __future__ import annotations

import math
from typing import Any

from ..backend import sums
from ..backend.device import asarray, device_of, on_device_of
from ..engine.graph import Variable, primitive
from ..errors import ShapeError
from ..typing import Array, TensorLike, Xp
from .indexing import getitem
from .reduction import mean
from .shaping import pad, reshape
from .windows import (
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
    "avg_pool2d",
    "global_avg_pool2d",
    "max_pool2d",
    "unfold",
]

# Max pooling picks elements, and where it picks depends on x only. So its gradient and the gathering
# below are a linear map and its transpose, each the other's rule; x itself they do not feel.


@primitive(
    x=lambda g, x, kernel, stride, padding, dilation, count: _max_pool2d_vjp(
        g, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, count=count
    )
)
def _max_pool2d(
    xp: Xp, x: Array, *, kernel: Any, stride: Any, padding: Sides, dilation: Any, count: tuple[int, int]
) -> Array:
    """Greatest element of each window."""
    return _max_windows(xp, x, kernel, stride, padding, dilation, count)[0]


def _max_windows(
    xp: Xp, x: Array, kernel: Any, stride: Any, padding: Sides, dilation: Any, count: tuple[int, int]
) -> tuple[Array, Array]:
    """Return the greatest element of each window, and which tap found it first."""
    # Where all is -inf, it is the first tap inside the image: the padding never wins.
    rows, columns = (
        xp.maximum((before - s * xp.arange(c) + d - 1) // d, 0)
        for s, (before, _), d, c in zip(stride, padding, dilation, count, strict=True)
    )
    x = padded(xp, x, padding, -xp.inf)
    best = xp.full((*x.shape[:2], *count), -xp.inf, x.dtype)
    found = xp.broadcast_to(rows[:, None] * kernel[1] + columns, best.shape).astype(xp.int32)
    for i, j, place in taps(x.shape[2:], kernel, count, stride, dilation):
        tap = x[place]
        better = (tap > best) | xp.isnan(tap)
        best = xp.where(better, tap, best)
        found = xp.where(better, i * kernel[1] + j, found)
    return best, found


@primitive(
    a=lambda g, x, kernel, stride, padding, dilation, count: _max_pool2d_gather(
        g, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, count=count
    ),
    x=lambda xp, x: xp.zeros_like(x),
)
def _max_pool2d_vjp(
    xp: Xp,
    a: Array,
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    padding: Sides,
    dilation: Any,
    count: tuple[int, int],
) -> Array:
    """Add `a` to the element that is greatest in each window of `x`."""
    found = _max_windows(xp, x, kernel, stride, padding, dilation, count)[1]
    full = padded_size(x.shape[2:], padding)
    total = xp.zeros((*x.shape[:2], *full), a.dtype)
    for i, j, place in taps(full, kernel, count, stride, dilation):
        total[place] += xp.where(found == i * kernel[1] + j, a, 0)
    return xp.ascontiguousarray(cropped(total, padding, x.shape[2:]))


@primitive(
    a=lambda g, x, kernel, stride, padding, dilation, count: _max_pool2d_vjp(
        g, x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, count=count
    ),
    x=lambda xp, x: xp.zeros_like(x),
)
def _max_pool2d_gather(
    xp: Xp,
    a: Array,
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    padding: Sides,
    dilation: Any,
    count: tuple[int, int],
) -> Array:
    """Read `a` where each window of `x` is greatest."""
    found = _max_windows(xp, x, kernel, stride, padding, dilation, count)[1]
    a = padded(xp, a, padding)
    y = xp.zeros(found.shape, a.dtype)
    for i, j, place in taps(a.shape[2:], kernel, count, stride, dilation):
        y = xp.where(found == i * kernel[1] + j, a[place], y)
    return y


@primitive(
    x=lambda g, x_shape, kernel, stride, padding: _sum_pool2d_input(
        g, size=x_shape[2:], kernel=kernel, stride=stride, padding=padding
    )
)
def _sum_pool2d(
    xp: Xp, x: Array, *, kernel: Any, stride: Any, padding: Sides, count: tuple[int, int]
) -> Array:
    """Sum of each window."""
    x = padded(xp, x, padding)
    y = xp.zeros((*x.shape[:2], *count), x.dtype)
    for _, _, place in taps(x.shape[2:], kernel, count, stride, (1, 1)):
        y += x[place]
    return y


@primitive(
    gy=lambda g, gy_shape, kernel, stride, padding: _sum_pool2d(
        g, kernel=kernel, stride=stride, padding=padding, count=gy_shape[2:]
    )
)
def _sum_pool2d_input(
    xp: Xp, gy: Array, *, size: tuple[int, int], kernel: Any, stride: Any, padding: Sides
) -> Array:
    """Spread each window's value over its elements: the transpose of the sum."""
    full = padded_size(size, padding)
    x = xp.zeros((*gy.shape[:2], *full), gy.dtype)
    for _, _, place in taps(full, kernel, gy.shape[2:], stride, (1, 1)):
        x[place] += gy
    return xp.ascontiguousarray(cropped(x, padding, size))


def _geometry(
    where: str,
    x: TensorLike,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[tuple[int, int], tuple[int, int], Sides, tuple[int, int], tuple[int, int], Sides]:
    """Check the settings of a pool; return them as pairs, the count of windows, and the padding asked for.

    With `ceil_mode` the last windows may reach beyond the padding; the padding used is then larger
    than that asked for.
    """
    check_images(where, x)
    kernel = pair(where, "kernel_size", kernel_size)
    steps = kernel if stride is None else pair(where, "stride", stride)
    spread = pair(where, "dilation", dilation)
    around = sides(where, pair(where, "padding", padding, least=0), kernel, steps, spread)
    if any(2 * before > d * (k - 1) + 1 for (before, _), k, d in zip(around, kernel, spread, strict=True)):
        raise ShapeError(
            where, "padding may be at most half the kernel, or windows would see nothing else",
            padding=padding, kernel_size=kernel,
        )  # fmt: skip
    size = tuple(x.shape[2:])
    count = output_size(where, size, kernel, steps, around, spread, ceil_mode)
    reach = [
        (before, max(after, (c - 1) * s + d * (k - 1) + 1 - n - before))
        for n, k, s, (before, after), d, c in zip(size, kernel, steps, around, spread, count, strict=True)
    ]
    return kernel, steps, (reach[0], reach[1]), spread, count, around


def max_pool2d(
    x: TensorLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Array:
    """Greatest element of each window; of equals, the first gets the gradient.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    kernel_size : int or two of them
        The size of the windows.
    stride : int or two of them, optional
        Steps between windows; by default their size.
    padding : int or two of them
        Places on both sides that never win; at most half the kernel.
    dilation : int or two of them
        Steps between the elements of a window.
    ceil_mode : bool
        Whether a last window may reach beyond the edge, as in PyTorch.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')

    Raises
    ------
    ShapeError
        If there is no window, or the padding is too large.
    DTypeError
        If the images are no floats.
    OptionError
        If a setting is out of its domain.
    """
    kernel, steps, padded, spread, count, _ = _geometry(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _max_pool2d(x, kernel=kernel, stride=steps, padding=padded, dilation=spread, count=count)


def avg_pool2d(
    x: TensorLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Mean of each window.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether padded places count in the mean, as in PyTorch.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')

    Raises
    ------
    ShapeError, DTypeError, OptionError
        As `max_pool2d`.
    """
    kernel, steps, padded, _, count, around = _geometry(
        "avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode
    )
    if math.prod(kernel) <= sums.BLOCK:
        total = _sum_pool2d(x, kernel=kernel, stride=steps, padding=padded, count=count)
    else:  # sums of rows, then of those: fewer additions, and they round less
        (k, across), (s, s_across), (rows, columns) = kernel, steps, padded
        width, none = x.shape[3], (0, 0)
        lines = _sum_pool2d(x, kernel=(k, 1), stride=(s, 1), padding=(rows, none), count=(count[0], width))
        total = _sum_pool2d(
            lines, kernel=(1, across), stride=(1, s_across), padding=(none, columns), count=count
        )
    members = []  # how many elements count in each window, along each axis
    for n, k, s, (before, after), c in zip(x.shape[2:], kernel, steps, around, count, strict=True):
        low, high = (-before, n + after) if count_include_pad else (0, n)
        members.append([min(p * s - before + k, high) - max(p * s - before, low) for p in range(c)])
    raw = x._data if isinstance(x, Variable) else x
    with on_device_of(raw, "avg_pool2d"):
        rows, columns = (asarray(m, raw.dtype, device_of(raw)) for m in members)
        return total / (rows[:, None] * columns)


def global_avg_pool2d(x: TensorLike) -> Array:
    """Mean of each channel: shape (N, C, H, W) to (N, C, 1, 1)."""
    check_images("global_avg_pool2d", x)
    return mean(x, axis=(2, 3), keepdims=True)


def unfold(
    x: TensorLike, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> Array:
    """Lay the windows of images out as columns.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    kernel_size, stride, padding, dilation : int or two of them
        Of the windows, as for `conv2d`.

    Returns
    -------
    Tensor or array, shape (N, C * KH * KW, L)
        One column for each of the L windows, in the order of reading.
    """
    check_images("unfold", x)
    kernel, steps = pair("unfold", "kernel_size", kernel_size), pair("unfold", "stride", stride)
    spread = pair("unfold", "dilation", dilation)
    around = sides("unfold", pair("unfold", "padding", padding, least=0), kernel, steps, spread)
    rows, columns = output_size("unfold", tuple(x.shape[2:]), kernel, steps, around, spread)
    x = pad(x, ((0, 0), (0, 0), *around))
    down = [[p * steps[0] + i * spread[0] for p in range(rows)] for i in range(kernel[0])]
    across = [[q * steps[1] + j * spread[1] for q in range(columns)] for j in range(kernel[1])]
    place = device_of(x._data if isinstance(x, Variable) else x)
    rows_of, columns_of = asarray(down, device=place), asarray(across, device=place)
    taps = getitem(x, (Ellipsis, rows_of[:, None, :, None], columns_of[None, :, None, :]))
    return reshape(taps, (x.shape[0], x.shape[1] * kernel[0] * kernel[1], rows * columns))
