"""Sums over channels and normalization in CUDA.

Batch normalization takes its statistics over images and pixels, layer and group normalization over the last
axes. Both see an array as (n, channels, inner): for the latter n is 1, and each sample is a channel.
"""

from __future__ import annotations

import math

from ...ops import channels, normalization
from ...ops.normalization import Moments
from ...typing import Array
from .launching import THREADS, Source, blocks_for, has_kernels

_ENOUGH_BLOCKS = 1024
"""Blocks that keep a GPU busy; where channels are fewer, each is cut into parts."""
_LEAST = 8
"""The fewest elements of a channel that are worth a thread."""

SOURCE = Source(r"""
// Visits the elements of this block's part of its channel. Sums are kept in double precision: a channel may
// have millions of elements.
#define EACH_OF_CHANNEL(at)                                                                            \
    const INDEX channel = blockIdx.x / parts, count = images * inner;                                  \
    for (INDEX k = blockIdx.x % parts * blockDim.x + threadIdx.x, at; k < count; k += parts * blockDim.x) \
        if (at = (k / inner * channels + channel) * inner + k % inner, true)

__device__ double sum_of(const double* partial, INDEX channel, INDEX parts) {
    double total = 0;
    for (INDEX p = 0; p < parts; ++p) total += partial[channel * parts + p];
    return total;
}

extern "C" __global__ void sums(
    const REAL* x, INDEX images, INDEX channels, INDEX inner, INDEX parts, double* partial
) {
    double total = 0;
    EACH_OF_CHANNEL(i) total += x[i];
    total = joined(total, Plus());
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

extern "C" __global__ void squares(
    const REAL* x, INDEX images, INDEX channels, INDEX inner, INDEX parts, const double* of_x, double* partial
) {
    const REAL mean = sum_of(of_x, blockIdx.x / parts, parts) / (images * inner);
    double total = 0;
    EACH_OF_CHANNEL(i) {
        const REAL centered = x[i] - mean;
        total += centered * centered;
    }
    total = joined(total, Plus());
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

extern "C" __global__ void products(
    const REAL* g, const REAL* x, INDEX images, INDEX channels, INDEX inner, INDEX parts, const REAL* mean,
    double* of_g, double* of_products
) {
    const REAL center = mean[blockIdx.x / parts];
    double total = 0, product = 0;
    EACH_OF_CHANNEL(i) {
        total += g[i];
        product += g[i] * (x[i] - center);
    }
    total = joined(total, Plus());
    product = joined(product, Plus());
    if (threadIdx.x == 0) {
        of_g[blockIdx.x] = total;
        of_products[blockIdx.x] = product;
    }
}

// The sum of the parts of each channel, divided by a count.
extern "C" __global__ void averages(
    const double* partial, INDEX channels, INDEX parts, double count, REAL* average
) {
    EACH(channel, channels) average[channel] = sum_of(partial, channel, parts) / count;
}

extern "C" __global__ void standardized(
    const REAL* x, const REAL* mean, const REAL* variance, double eps, REAL* y, INDEX n, INDEX channels,
    INDEX inner
) {
    EACH(i, n) {
        const INDEX channel = i / inner % channels;
        y[i] = (x[i] - mean[channel]) / sqrt(variance[channel] + (REAL)eps);
    }
}

extern "C" __global__ void affine(
    const REAL* x, const REAL* weight, const REAL* bias, REAL* y, INDEX n, INDEX channels, INDEX inner
) {
    EACH(i, n) {
        const INDEX channel = i / inner % channels;
        const REAL scaled = x[i] * weight[channel];
        y[i] = bias ? scaled + bias[channel] : scaled;
    }
}

extern "C" __global__ void projected(
    const REAL* g, const REAL* x, const REAL* mean, const REAL* variance, double eps, const REAL* g_mean,
    const REAL* product, REAL* out, INDEX n, INDEX channels, INDEX inner
) {
    EACH(i, n) {
        const INDEX channel = i / inner % channels;
        const REAL r_squared = 1 / (variance[channel] + (REAL)eps);
        const REAL along = (x[i] - mean[channel]) * r_squared * product[channel];
        out[i] = sqrt(r_squared) * (g[i] - g_mean[channel] - along);
    }
}
""")


_Shape = tuple[int, int, int]


class _Channels:
    """An array seen as (images, channels, inner), and sums over its channels in parts."""

    def __init__(self, x: Array, shape: _Shape) -> None:
        import cupy

        self.x = cupy.ascontiguousarray(x)
        self.shape = shape
        images, channels, inner = shape
        self.count = images * inner
        self.parts = max(1, min(_ENOUGH_BLOCKS // channels, self.count // (_LEAST * THREADS)))

    def sums(
        self, name: str, arrays: tuple[Array, ...], *of_channels: Array, results: int = 1
    ) -> list[Array]:
        """Launch a kernel that sums over arrays of the shape of x; return its partial sums."""
        import cupy

        blocks = self.shape[1] * self.parts
        made = [cupy.empty(blocks, cupy.float64) for _ in range(results)]
        args = *arrays, *self.shape, self.parts, *of_channels, *made
        # A small channel needs few threads: as many warps as cover it.
        block = (min(THREADS, -(-self.count // 32) * 32),)
        SOURCE.launch(name, self.x.dtype, args, blocks, block)
        return made

    def averages(self, partial: Array, count: int) -> Array:
        """Add up partial sums, and divide by a count."""
        import cupy

        average = cupy.empty(self.shape[1], self.x.dtype)
        args = partial, self.shape[1], self.parts, float(count), average
        SOURCE.launch("averages", self.x.dtype, args, blocks_for(self.shape[1]))
        return average

    def moments(self) -> tuple[Array, Array]:
        """Return mean and variance of each channel."""
        (total,) = self.sums("sums", (self.x,))
        (squares,) = self.sums("squares", (self.x,), total)
        return self.averages(total, self.count), self.averages(squares, self.count)


def _over(x: Array, axes: tuple[int, ...]) -> _Shape | None:
    """Return the shape of x as (images, channels, inner), or None if no kernel reduces it over `axes`."""
    if not (x.size and has_kernels(x.dtype)):
        return None
    if x.ndim > 1 and axes == (0, *range(2, x.ndim)):
        return x.shape[0], x.shape[1], math.prod(x.shape[2:])
    if axes and axes == tuple(range(axes[0], x.ndim)):
        return 1, math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[0] :])
    return None


def _channels(x: Array) -> _Shape | None:
    return _over(x, (0, *range(2, x.ndim)))


def channel_sums(x: Array) -> Array:
    """See `channels.channel_sums`."""
    import cupy

    shape = _channels(x)
    if shape is None:
        return channels.channel_sums.forward(cupy, x)
    images = _Channels(x, shape)
    (total,) = images.sums("sums", (images.x,))
    return images.averages(total, 1)


def channel_products(a: Array, b: Array) -> Array:
    """See `channels.channel_products`."""
    import cupy

    shape = _channels(a)
    if shape is None or a.dtype != b.dtype:
        return channels.channel_products.forward(cupy, a, b)
    images = _Channels(a, shape)
    zeros = cupy.zeros(shape[1], a.dtype)
    arrays = images.x, cupy.ascontiguousarray(b)
    _, products = images.sums("products", arrays, zeros, results=2)
    return images.averages(products, 1)


def scale_channels(x: Array, weight: Array, bias: Array = None) -> Array:
    """See `channels.scale_channels`."""
    import cupy

    shape = _channels(x)
    if shape is None or not x.dtype == weight.dtype == (weight if bias is None else bias).dtype:
        return channels.scale_channels.forward(cupy, x, weight, bias)
    return SOURCE.compute("affine", x.shape, (x, weight, bias), *shape[1:])


def channel_moments(x: Array) -> tuple[Array, Array]:
    """See `normalization.channel_moments`."""
    import cupy

    shape = _channels(x)
    return normalization.channel_moments(cupy, x) if shape is None else _Channels(x, shape).moments()


def standardize(x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None) -> Array:
    """See `normalization._standardize`; over images and pixels, or over the last axes."""
    import cupy

    shape = _over(x, axes)
    if shape is None:
        return normalization._standardize.forward(cupy, x, axes=axes, eps=eps, moments=moments)
    images = _Channels(x, shape)
    mean, variance = (m.reshape(-1) for m in moments or images.moments())
    return SOURCE.compute("standardized", x.shape, (images.x, mean, variance, float(eps)), *shape[1:])


def standardize_vjp(
    a: Array, x: Array, *, axes: tuple[int, ...], eps: float, moments: Moments = None
) -> Array:
    """See `normalization._standardize_vjp`."""
    import cupy

    shape = _over(x, axes)
    if shape is None or a.dtype != x.dtype:
        return normalization._standardize_vjp.forward(cupy, a, x, axes=axes, eps=eps, moments=moments)
    images = _Channels(x, shape)
    arrays = cupy.ascontiguousarray(a), images.x
    mean, variance = (m.reshape(-1) for m in moments or images.moments())
    of_g, of_products = images.sums("products", arrays, mean, results=2)
    averages = [images.averages(each, images.count) for each in (of_g, of_products)]
    inputs = *arrays, mean, variance, float(eps), *averages
    return SOURCE.compute("projected", x.shape, inputs, *shape[1:])
