"""Resizing of images: sums of a few elements each along an axis, for adaptive pooling and interpolation."""

from __future__ import annotations

import math
from typing import Any

from ..engine.graph import primitive
from ..errors import OptionError, ShapeError, unknown_name
from ..typing import Array, TensorLike, Xp
from ..values import is_number
from .pooling import avg_pool2d, global_avg_pool2d
from .windows import Pair, check_images, pair

__all__ = ["adaptive_avg_pool2d", "interpolate"]


Taps = list[list[tuple[int, float]]]
"""For each element of a result: the elements that it is made of, by place, with their weights."""


def _transposed(taps: Taps, size: int) -> Taps:
    """Return, for each of `size` elements, the sums that it is part of."""
    turned: Taps = [[] for _ in range(size)]
    for place, pairs in enumerate(taps):
        for i, weight in pairs:
            turned[i].append((place, weight))
    return turned


@primitive(x=lambda g, x_shape, axis, taps: _mixed(g, axis=axis, taps=_transposed(taps, x_shape[axis])))
def _mixed(xp: Xp, x: Array, *, axis: int, taps: Taps) -> Array:
    """For each entry of `taps`, the sum of ``weight * x[place]`` along `axis` over its (place, weight) pairs.

    This is a product with a matrix that is mostly zeros, without them: an element that is NaN or infinite
    reaches only the sums that hold it.
    """
    y = xp.zeros((*x.shape[:axis], len(taps), *x.shape[axis + 1 :]), x.dtype)
    before, after = (slice(None),) * axis, (1,) * (x.ndim - 1 - axis)
    for k in range(max(len(pairs) for pairs in taps)):
        held = [p for p, pairs in enumerate(taps) if len(pairs) > k]
        places, weights = zip(*(taps[p][k] for p in held), strict=True)
        part = xp.take(x, xp.asarray(places), axis=axis) * xp.asarray(weights, x.dtype).reshape(-1, *after)
        y[(*before, xp.asarray(held))] += part
    return y


def adaptive_avg_pool2d(x: TensorLike, output_size: Pair) -> Array:
    """Mean over as many windows as are asked for, of sizes that differ by at most one or overlap.

    Window p of P along an axis of n elements reaches from ``floor(p * n / P)`` to
    ``ceil((p + 1) * n / P)``, as in PyTorch.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    output_size : int or two of them
        H' and W'.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')
    """
    check_images("adaptive_avg_pool2d", x)
    counts = pair("adaptive_avg_pool2d", "output_size", output_size)
    size = tuple(x.shape[2:])
    if counts == (1, 1):
        return global_avg_pool2d(x)
    if all(n % count == 0 for n, count in zip(size, counts, strict=True)):
        return avg_pool2d(x, (size[0] // counts[0], size[1] // counts[1]))
    for axis, (n, count) in enumerate(zip(size, counts, strict=True), 2):
        windows = [range(p * n // count, -(-(p + 1) * n // count)) for p in range(count)]
        x = _mixed(x, axis=axis, taps=[[(i, 1 / len(window)) for i in window] for window in windows])
    return x


def interpolate(
    x: TensorLike,
    size: Pair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """Resize images.

    Parameters
    ----------
    x : Tensor or array, shape (N, C, H, W)
        Images of floats.
    size : int or two of them, optional
        H' and W'. Either this or `scale_factor`.
    scale_factor : float or two of them, optional
        What to multiply the sizes by, rounding down. A pixel is looked up by this factor, and not by the
        ratio of sizes; in nearest mode the two agree where the size stays or doubles, in bilinear mode where
        it stays, as in PyTorch.
    mode : {"nearest", "bilinear"}
        Take the nearest element, or the weighted mean of four.
    align_corners : bool
        For bilinear mode, whether the centers of the corner elements stay in place, instead of the
        corners of the images.

    Returns
    -------
    Tensor or array, shape (N, C, H', W')

    Raises
    ------
    OptionError
        If not exactly one of `size` and `scale_factor` is given, or `mode` is not known.
    """
    check_images("interpolate", x)
    if mode not in ("nearest", "bilinear"):
        raise unknown_name("interpolate", "mode", mode, ("nearest", "bilinear"))
    if (size is None) == (scale_factor is None):
        raise OptionError(
            "interpolate", "give either size or scale_factor", size=size, scale_factor=scale_factor
        )
    lengths = tuple(x.shape[2:])
    if size is not None:
        targets = pair("interpolate", "size", size)
        scales = tuple(n / m for n, m in zip(lengths, targets, strict=True))
    else:
        factors: Any = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * 2
        if len(factors) != 2 or not all(is_number(f) and f > 0 for f in factors):
            raise OptionError(
                "interpolate", "scale_factor must be one or two positive numbers", scale_factor=scale_factor
            )
        targets = tuple(math.floor(n * float(f)) for n, f in zip(lengths, factors, strict=True))
        if min(targets) < 1:
            raise ShapeError(
                "interpolate", "the result would be empty", x=tuple(x.shape), scale_factor=scale_factor
            )
        scales = tuple(1 / float(f) for f in factors)
    for axis in (3, 2):  # lines are short before they multiply
        n, m, scale = lengths[axis - 2], targets[axis - 2], scales[axis - 2]
        if mode == "bilinear":
            taps = _bilinear(n, m, scale, align_corners)
        else:
            # By a factor that changes nothing, or doubles, as PyTorch: exactly.
            exact = size is not None or m in (n, 2 * n)
            taps = [[(p * n // m if exact else min(int(p * scale), n - 1), 1.0)] for p in range(m)]
        x = _mixed(x, axis=axis, taps=taps)
    return x


def _bilinear(n: int, m: int, scale: float, align_corners: bool) -> Taps:
    """Return how n elements become m, each a weighted mean of two neighbors, or one where it lies on it."""
    taps = []
    for p in range(m):
        if n == m:
            position = float(p)
        elif align_corners:
            position = p * (n - 1) / (m - 1) if m > 1 else 0.0
        else:
            position = min(max(0.0, (p + 0.5) * scale - 0.5), n - 1.0)
        low = int(position)
        share = position - low
        taps.append([(low, 1 - share), (low + 1, share)] if share else [(low, 1.0)])
    return taps
