"""Scale and shift of channels, and sums over them.

Scaling multiplies all elements of a channel by one number, and is linear in both: so its two derivatives are
a scaling again, and the sums of products, whose own derivatives are scalings.
"""

from __future__ import annotations

from typing import Any

from ..engine.graph import primitive


@primitive(x=lambda xp, g, x_shape: xp.expand_dims(g, tuple(range(1, len(x_shape) - 1))))
def channel_sums(kernels: Any, x: Any) -> Any:
    """Sum of each channel over all images and pixels: the gradient of a bias."""
    return kernels.channel_sums(x)


@primitive(a=lambda g, b: scale_channels(b, g), b=lambda g, a: scale_channels(a, g))
def channel_products(kernels: Any, a: Any, b: Any) -> Any:
    """Sum of ``a * b`` over all images and pixels, for each channel."""
    return kernels.channel_products(a, b)


@primitive(
    x=lambda g, weight: scale_channels(g, weight),
    weight=lambda g, x: channel_products(g, x),
    bias=lambda g: channel_sums(g),
)
def scale_channels(kernels: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    """``x * weight + bias``, with one weight and one bias for each channel."""
    return kernels.scale_channels(x, weight, bias)
