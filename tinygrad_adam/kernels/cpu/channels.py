"""Sums over channels and batch normalization, compiled by Numba: one pass over memory for each sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ...backend import memory
from ...backend.threads import in_pieces
from ...ops import channels, normalization
from ...ops.normalization import Moments
from ...typing import Array
from .layout import channels_last
from .loops import compiled

_LEAST = 1 << 16
"""The fewest elements that are worth handing to a thread."""

# Each kernel passes over pixels `first` to `last` of flat images whose channels lie side by side. Sums are
# float64: a channel may have millions of pixels.


@compiled
def _sums(x, channels, first, last):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    total = numpy.zeros(channels, numpy.float64)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            total[c] += x[begin + c]
    return total


@compiled
def _squares(x, channels, first, last, mean):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    total = numpy.zeros(channels, numpy.float64)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            centered = x[begin + c] - mean[c]
            total[c] += centered * centered
    return total


@compiled
def _products(g, x, channels, first, last, mean):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    total = numpy.zeros(channels, numpy.float64)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            total[c] += g[begin + c] * (x[begin + c] - mean[c])
    return total


@compiled
def _scaled(x, channels, first, last, mean, r, y):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            y[begin + c] = (x[begin + c] - mean[c]) * r[c]


@compiled
def _affine(x, channels, first, last, weight, bias, y):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            y[begin + c] = x[begin + c] * weight[c] + bias[c]


@compiled
def _projected(g, x, channels, first, last, mean, r, g_mean, slope, out):  # type: ignore[no-untyped-def]
    size = numpy.uint64(channels)
    for pixel in range(first, last):
        begin = numpy.uint64(pixel * channels)
        for c in range(size):
            out[begin + c] = r[c] * (g[begin + c] - g_mean[c] - (x[begin + c] - mean[c]) * slope[c])


class _Channels:
    """Flat images whose channels lie side by side, and passes over them in threads."""

    def __init__(self, x: Array) -> None:
        self.images = channels_last(x)
        self.flat = self.images.reshape(-1)
        self.count = x.size // x.shape[1] if x.shape[1] else 0

    def over(
        self, kernel: Callable[..., Array], arrays: tuple[Array, ...], *of_channels: Array
    ) -> list[Array]:
        """Call a kernel on pieces of flat arrays like the images, and on arrays of a number a channel."""
        channels = self.images.shape[-1]
        return in_pieces(
            lambda start, stop: kernel(*arrays, channels, start, stop, *of_channels),
            self.count,
            1 + _LEAST // max(1, channels),
        )

    def sums(self, kernel: Callable[..., Array], arrays: tuple[Array, ...], *of_channels: Array) -> Array:
        """Add up the results of a kernel for all pieces, in float64."""
        total: Array = sum(self.over(kernel, arrays, *of_channels))
        return total

    def averages(self, kernel: Callable[..., Array], arrays: tuple[Array, ...], *of_channels: Array) -> Array:
        return (self.sums(kernel, arrays, *of_channels) / self.count).astype(self.flat.dtype)

    def moments(self) -> tuple[Array, Array]:
        mean = self.averages(_sums, (self.flat,))
        return mean, self.averages(_squares, (self.flat,), mean)

    def like(self) -> tuple[Array, Array]:
        """Return a new array (N, C, ...) in the same memory order, and its flat view."""
        made = memory.empty(self.images.shape, self.images.dtype)
        return numpy.moveaxis(made, -1, 1), made.reshape(-1)


def channel_sums(x: Array) -> Array:
    """See `channels.channel_sums`."""
    images = _Channels(x)
    return images.sums(_sums, (images.flat,)).astype(x.dtype)


def channel_products(a: Array, b: Array) -> Array:
    """See `channels.channel_products`."""
    if a.dtype != b.dtype or a.dtype.kind != "f":
        return channels.channel_products.forward(numpy, a, b)
    images, other = _Channels(a), _Channels(b)
    zeros = numpy.zeros(a.shape[1], a.dtype)
    return images.sums(_products, (images.flat, other.flat), zeros).astype(a.dtype)


def scale_channels(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `channels.scale_channels`."""
    if not x.dtype == weight.dtype == (weight if bias is None else bias).dtype or x.dtype.kind != "f":
        return channels.scale_channels.forward(numpy, x, weight, bias)
    images = _Channels(x)
    y, flat = images.like()
    images.over(_affine, (images.flat,), weight, numpy.zeros_like(weight) if bias is None else bias, flat)
    return y


def channel_moments(x: Array) -> tuple[Array, Array]:
    """See `normalization.channel_moments`."""
    return _Channels(x).moments()


def _by_channels(x: Array, axes: tuple[int, ...]) -> bool:
    return x.ndim > 1 and x.size > 0 and x.dtype.kind == "f" and axes == (0, *range(2, x.ndim))


def standardize(x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None) -> Array:
    """See `normalization._standardize`; over channels in three passes, over other axes by the reference."""
    if not _by_channels(x, axes):
        return normalization._standardize.forward(numpy, x, axes=axes, eps=eps, moments=moments)
    images = _Channels(x)
    mean, variance = (m.reshape(-1) for m in moments or images.moments())
    y, flat = images.like()
    images.over(_scaled, (images.flat,), mean, (variance + eps) ** -0.5, flat)
    return y


def standardize_vjp(
    a: Array, x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None
) -> Array:
    """See `normalization._standardize_vjp`."""
    if not _by_channels(x, axes) or a.dtype != x.dtype:
        return normalization._standardize_vjp.forward(numpy, a, x, axes=axes, eps=eps, moments=moments)
    images, a_flat = _Channels(x), _Channels(a).flat
    mean, variance = (m.reshape(-1) for m in moments or images.moments())
    r = (variance + eps) ** -0.5
    a_mean = images.averages(_sums, (a_flat,))
    slope = r * r * images.averages(_products, (a_flat, images.flat), mean)
    out, flat = images.like()
    images.over(_projected, (a_flat, images.flat), mean, r, a_mean, slope, flat)
    return out
