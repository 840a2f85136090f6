"""Scale and shift of channels, and sums over them.

Scaling multiplies all elements of a channel by one number, and is linear in both: so its two derivatives are
a scaling again, and the sums of products, whose own derivatives are scalings.
"""

from __future__ import annotations

from ..backend import sums
from ..engine.graph import primitive
from ..typing import Array, Xp


def all_but_channels(x: Array) -> tuple[int, ...]:
    """Return the axes of images and pixels of x, shape (N, C, ...)."""
    return (0, *range(2, x.ndim))


@primitive(x=lambda xp, g, x_shape: xp.expand_dims(g, tuple(range(1, len(x_shape) - 1))))
def channel_sums(xp: Xp, x: Array) -> Array:
    """Sum of each channel over all images and pixels: the gradient of a bias."""
    return sums.total(xp, x, all_but_channels(x))


@primitive(a=lambda g, b: scale_channels(b, g), b=lambda g, a: scale_channels(a, g))
def channel_products(xp: Xp, a: Array, b: Array) -> Array:
    """Sum of ``a * b`` over all images and pixels, for each channel."""
    return sums.total(xp, a * b, all_but_channels(a))


@primitive(
    x=lambda g, weight: scale_channels(g, weight),
    weight=lambda g, x: channel_products(g, x),
    bias=lambda g: channel_sums(g),
)
def scale_channels(xp: Xp, x: Array, weight: Array, bias: Array = None) -> Array:
    """``x * weight + bias``, with one weight and one bias for each channel."""
    across = (-1,) + (1,) * (x.ndim - 2)
    y = x * weight.reshape(across)
    return y if bias is None else y + bias.reshape(across)
