"""Convolution and pooling, compiled by Numba: windows laid out image by image, while they are in cache.

A convolution is a matrix product once the windows of an image are the columns of a matrix. Those of a
whole batch would not fit the cache; those of one image nearly do. So each thread takes images of its
own, lays the windows of one out, multiplies, and goes on to the next in the same buffer.
"""

from __future__ import annotations

from typing import Any

import numpy

from ..threads import in_pieces, one_blas_thread
from .cpu import compiled


@compiled
def _inside(tap, size, count, stride, before):  # type: ignore[no-untyped-def]
    """Return the first window, and the one after the last, for which a tap falls on the image."""
    first = max(0, -((tap - before) // stride)) if tap < before else 0
    last = (size - 1 + before - tap) // stride + 1 if size - 1 + before >= tap else 0
    return first, max(first, min(count, last))


@compiled
def _lay_out(x, columns, kernel, stride, before, dilation, count):  # type: ignore[no-untyped-def]
    """Copy what tap (c, i, j) meets in every window into row (c, i, j) of `columns`."""
    channels, height, width = x.shape
    row = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                first, last = _inside(j * dilation[1], width, count[1], stride[1], before[1])
                shift = j * dilation[1] - before[1]
                for p in range(count[0]):
                    h = p * stride[0] + i * dilation[0] - before[0]
                    target = columns[row, p * count[1] : (p + 1) * count[1]]
                    if h < 0 or h >= height or last == first:
                        target[:] = 0
                        continue
                    target[:first] = 0
                    target[last:] = 0
                    # Slices that start at 0, so that Numba need not check each index for its sign.
                    inside = target[first:last]
                    source = x[c, h, first * stride[1] + shift :]
                    if stride[1] == 1:
                        for q in range(last - first):
                            inside[q] = source[q]
                    else:
                        for q in range(last - first):
                            inside[q] = source[q * stride[1]]
                row += 1


@compiled
def _add_back(columns, x, kernel, stride, before, dilation, count):  # type: ignore[no-untyped-def]
    """Add row (c, i, j) of `columns` to where tap (c, i, j) met every window: the transpose of laying out."""
    channels, height, width = x.shape
    row = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                first, last = _inside(j * dilation[1], width, count[1], stride[1], before[1])
                shift = j * dilation[1] - before[1]
                for p in range(count[0]):
                    h = p * stride[0] + i * dilation[0] - before[0]
                    if h < 0 or h >= height or last == first:
                        continue
                    inside = columns[row, p * count[1] + first : p * count[1] + last]
                    target = x[c, h, first * stride[1] + shift :]
                    if stride[1] == 1:
                        for q in range(last - first):
                            target[q] += inside[q]
                    else:
                        for q in range(last - first):
                            target[q * stride[1]] += inside[q]
                row += 1


class _Geometry:
    """Sizes and steps of one convolution, and the windows of its images as columns."""

    def __init__(self, size: Any, kernel: Any, count: Any, stride: Any, padding: Any, dilation: Any) -> None:
        self.size, self.kernel, self.count = tuple(size), tuple(kernel), tuple(count)
        self.stride, self.dilation = stride, dilation
        self.before = (padding[0][0], padding[1][0])
        self.windows = self.count[0] * self.count[1]
        # A 1x1 convolution meets each pixel once, in order: the image is the matrix.
        self.plain = self.kernel == (1, 1) and stride == (1, 1) and self.size == self.count

    def buffer(self, channels: int, dtype: Any) -> Any:
        rows = channels * self.kernel[0] * self.kernel[1]
        return None if self.plain else numpy.empty((rows, self.windows), dtype)

    def columns(self, image: Any, buffer: Any) -> Any:
        if self.plain:
            return image.reshape(len(image), -1)
        _lay_out(image, buffer, self.kernel, self.stride, self.before, self.dilation, self.count)
        return buffer

    def add_back(self, columns: Any, image: Any) -> None:
        if self.plain:
            image += columns.reshape(image.shape)
        else:
            _add_back(columns, image, self.kernel, self.stride, self.before, self.dilation, self.count)


def _alike(*arrays: Any) -> list[Any]:
    """Return the arrays contiguous and of one dtype."""
    dtype = numpy.result_type(*arrays)
    return [numpy.ascontiguousarray(array, dtype) for array in arrays]


def _images_in_threads(work: Any, count: int) -> list[Any]:
    """Call ``work(start, stop)`` for ranges of images, in threads if products can be held to one each."""
    with one_blas_thread() as possible:
        return in_pieces(work, count, 1 if possible else max(count, 1))


def conv2d(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """Convolve; see `reference_windows.conv2d`."""
    x, weight = _alike(x, weight)
    out, inner, *kernel = weight.shape
    count = [
        (n + sum(around) - d * (k - 1) - 1) // s + 1
        for n, k, s, around, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    geometry = _Geometry(x.shape[2:], kernel, count, stride, padding, dilation)
    w = weight.reshape(groups, out // groups, -1)
    y = numpy.empty((len(x), groups, out // groups, geometry.windows), x.dtype)
    b = None if bias is None else bias.astype(x.dtype, copy=False).reshape(groups, -1, 1)

    def work(start: int, stop: int) -> None:
        buffer = geometry.buffer(inner, x.dtype)
        for n in range(start, stop):
            for g in range(groups):
                columns = geometry.columns(x[n, g * inner : (g + 1) * inner], buffer)
                numpy.matmul(w[g], columns, out=y[n, g])
                if b is not None:
                    y[n, g] += b[g]  # while it is in cache

    _images_in_threads(work, len(x))
    return y.reshape(len(x), out, *count)


def conv2d_input(
    gy: Any, weight: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Convolve back to the input; see `reference_windows.conv2d_input`."""
    gy, weight = _alike(gy, weight)
    out, inner, *kernel = weight.shape
    geometry = _Geometry(size, kernel, gy.shape[2:], stride, padding, dilation)
    w = weight.reshape(groups, out // groups, -1)
    g_flat = gy.reshape(len(gy), groups, out // groups, geometry.windows)
    x = numpy.zeros((len(gy), groups * inner, *size), gy.dtype)

    def work(start: int, stop: int) -> None:
        buffer = numpy.empty((w.shape[2], geometry.windows), gy.dtype)
        for n in range(start, stop):
            for g in range(groups):
                numpy.matmul(w[g].T, g_flat[n, g], out=buffer)
                geometry.add_back(buffer, x[n, g * inner : (g + 1) * inner])

    _images_in_threads(work, len(gy))
    return x


def conv2d_weight(x: Any, gy: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """Convolve to the weight; see `reference_windows.conv2d_weight`."""
    x, gy = _alike(x, gy)
    inner, out = x.shape[1] // groups, gy.shape[1]
    geometry = _Geometry(x.shape[2:], size, gy.shape[2:], stride, padding, dilation)
    g_flat = gy.reshape(len(gy), groups, out // groups, geometry.windows)

    def work(start: int, stop: int) -> Any:
        buffer = geometry.buffer(inner, x.dtype)
        total = numpy.zeros((groups, out // groups, inner * size[0] * size[1]), x.dtype)
        product = numpy.empty(total.shape[1:], x.dtype)
        for n in range(start, stop):
            for g in range(groups):
                columns = geometry.columns(x[n, g * inner : (g + 1) * inner], buffer)
                numpy.matmul(g_flat[n, g], columns.T, out=product)
                total[g] += product
        return total

    return sum(_images_in_threads(work, len(x))).reshape(out, inner, *size)


# --- Max pooling -----------------------------------------------------------------------------


@compiled
def _winners(plane, p, best, found, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    """For each window of row p, write the greatest element and its place in the flat plane.

    Tap by tap along the whole row, which vectorizes. The first of equals wins, and NaN over all.
    """
    height, width = plane.shape
    best[:] = -numpy.inf
    found[:] = -1
    for i in range(kernel[0]):
        h = p * stride[0] + i * dilation[0] - before[0]
        if h < 0 or h >= height:
            continue
        for j in range(kernel[1]):
            first, last = _inside(j * dilation[1], width, best.size, stride[1], before[1])
            if last == first:
                continue
            begin = first * stride[1] + j * dilation[1] - before[1]
            source, tops, places = plane[h, begin:], best[first:last], found[first:last]
            offset = h * width + begin
            for q in range(last - first):
                value = source[q * stride[1]]
                better = value > tops[q] or value != value or places[q] < 0
                tops[q] = value if better else tops[q]
                places[q] = offset + q * stride[1] if better else places[q]


@compiled
def _pool(planes, out, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    found = numpy.empty(out.shape[2], numpy.int64)
    for n in range(planes.shape[0]):
        for p in range(out.shape[1]):
            _winners(planes[n], p, out[n, p], found, kernel, stride, before, dilation)


@compiled
def _pool_back(planes, g, out, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    found = numpy.empty(g.shape[2], numpy.int64)
    best = numpy.empty(g.shape[2], planes.dtype)
    for n in range(planes.shape[0]):
        flat = out[n].reshape(-1)
        for p in range(g.shape[1]):
            _winners(planes[n], p, best, found, kernel, stride, before, dilation)
            for q in range(g.shape[2]):
                flat[found[q]] += g[n, p, q]


def _planes(x: Any) -> Any:
    return numpy.ascontiguousarray(x).reshape(-1, *x.shape[2:])


_LEAST = 1 << 15
"""Elements of a plane times planes that a thread must get."""


def max_pool2d(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any) -> Any:
    """Pool; see `reference_windows.max_pool2d`."""
    planes, before = _planes(x), (padding[0][0], padding[1][0])
    out = numpy.empty((len(planes), *count), x.dtype)
    in_pieces(
        lambda start, stop: _pool(planes[start:stop], out[start:stop], kernel, stride, before, dilation),
        len(planes),
        _LEAST // max(1, x.shape[2] * x.shape[3]),
    )
    return out.reshape(*x.shape[:2], *count)


def max_pool2d_vjp(g: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any) -> Any:
    """Add to the winners; see `reference_windows.max_pool2d_vjp`."""
    planes, gradients, before = _planes(x), _planes(g), (padding[0][0], padding[1][0])
    out = numpy.zeros(planes.shape, g.dtype)
    in_pieces(
        lambda start, stop: _pool_back(
            planes[start:stop], gradients[start:stop], out[start:stop], kernel, stride, before, dilation
        ),
        len(planes),
        _LEAST // max(1, x.shape[2] * x.shape[3]),
    )
    return out.reshape(x.shape)
