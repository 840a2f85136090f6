"""Convolution and pooling, compiled by Numba: windows laid out image by image, while they are in cache.

A convolution is a matrix product once the windows of an image are the columns of a matrix. Those of a
whole batch would not fit the cache; those of one image nearly do. So each thread takes images of its
own, lays the windows of one out, multiplies, and goes on to the next in the same buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
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


# Flat arrays and unsigned indices below: Numba checks a signed index for its sign, which keeps a loop from
# vectorizing, and a slice for each row of an image costs as much as copying the row.


@compiled
def _lay_out(x, columns, shape, kernel, stride, before, dilation, count):  # type: ignore[no-untyped-def]
    """Copy what tap (c, i, j) meets in every window of flat images into row (c, i, j) of their columns."""
    height, width = shape
    to = numpy.uint64(0)
    across = numpy.uint64(stride[1])
    for plane in range(x.size // (height * width)):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                first, last = _inside(j * dilation[1], width, count[1], stride[1], before[1])
                shift = first * stride[1] + j * dilation[1] - before[1]
                for p in range(count[0]):
                    h = p * stride[0] + i * dilation[0] - before[0]
                    if h < 0 or h >= height or last == first:
                        for _ in range(count[1]):
                            columns[to] = 0
                            to += numpy.uint64(1)
                        continue
                    for _ in range(first):
                        columns[to] = 0
                        to += numpy.uint64(1)
                    source = numpy.uint64((plane * height + h) * width + shift)
                    length = numpy.uint64(last - first)
                    if across == 1:
                        for q in range(length):
                            columns[to + q] = x[source + q]
                    else:
                        for q in range(length):
                            columns[to + q] = x[source + q * across]
                    to += length
                    for _ in range(last, count[1]):
                        columns[to] = 0
                        to += numpy.uint64(1)


@compiled
def _add_back(columns, x, shape, kernel, stride, before, dilation, count):  # type: ignore[no-untyped-def]
    """Add row (c, i, j) of the columns to where that tap met every window: the transpose of laying out."""
    height, width = shape
    row = numpy.uint64(0)
    across = numpy.uint64(stride[1])
    for plane in range(x.size // (height * width)):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                first, last = _inside(j * dilation[1], width, count[1], stride[1], before[1])
                shift = first * stride[1] + j * dilation[1] - before[1]
                for p in range(count[0]):
                    h = p * stride[0] + i * dilation[0] - before[0]
                    if 0 <= h < height and first < last:
                        target = numpy.uint64((plane * height + h) * width + shift)
                        source = row + numpy.uint64(first)
                        if across == 1:
                            for q in range(numpy.uint64(last - first)):
                                x[target + q] += columns[source + q]
                        else:
                            for q in range(numpy.uint64(last - first)):
                                x[target + q * across] += columns[source + q]
                    row += numpy.uint64(count[1])


_BUFFER = 4 << 20
"""Bytes of columns that a thread works on at once: near its cache, and enough to be worth a call."""


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
        """Return room for the columns of a few images."""
        rows = channels * self.kernel[0] * self.kernel[1]
        images = max(1, _BUFFER // max(1, rows * self.windows * dtype.itemsize))
        return numpy.empty((images, rows, self.windows), dtype)

    def columns(self, images: Any, buffer: Any) -> Any:
        if self.plain:
            return images.reshape(*images.shape[:2], -1)
        _lay_out(numpy.ascontiguousarray(images).reshape(-1), buffer.reshape(-1), *self._steps())
        return buffer

    def add_back(self, columns: Any, images: Any) -> None:
        if self.plain:
            images += columns.reshape(images.shape)
        elif images.flags.c_contiguous:
            _add_back(columns.reshape(-1), images.reshape(-1), *self._steps())
        else:  # one of several groups of channels
            part = numpy.zeros(images.shape, images.dtype)
            _add_back(columns.reshape(-1), part.reshape(-1), *self._steps())
            images += part

    def _steps(self) -> tuple[Any, ...]:
        return self.size, self.kernel, self.stride, self.before, self.dilation, self.count


def _parts(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a range in parts of at most `size`."""
    for begin in range(start, stop, size):
        yield begin, min(begin + size, stop)


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
        for i, j in _parts(start, stop, len(buffer)):
            for g in range(groups):
                columns = geometry.columns(x[i:j, g * inner : (g + 1) * inner], buffer[: j - i])
                numpy.matmul(w[g], columns, out=y[i:j, g])
            if b is not None:
                y[i:j] += b  # while it is in cache

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
        buffer = geometry.buffer(inner, gy.dtype)
        for i, j in _parts(start, stop, len(buffer)):
            for g in range(groups):
                columns = numpy.matmul(w[g].T, g_flat[i:j, g], out=buffer[: j - i])
                geometry.add_back(columns, x[i:j, g * inner : (g + 1) * inner])

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
        for i, j in _parts(start, stop, len(buffer)):
            for g in range(groups):
                columns = geometry.columns(x[i:j, g * inner : (g + 1) * inner], buffer[: j - i])
                total[g] += numpy.matmul(g_flat[i:j, g], columns.swapaxes(1, 2)).sum(axis=0)
        return total

    return sum(_images_in_threads(work, len(x))).reshape(out, inner, *size)


# --- Max pooling -----------------------------------------------------------------------------


@compiled
def _winners(x, plane, shape, p, best, found, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    """For each window of row p of a plane, write the greatest element and its place in the plane.

    Tap by tap along the whole row, which vectorizes. The first of equals wins, and NaN over all.
    """
    height, width = shape
    across = numpy.uint64(stride[1])
    for q in range(best.size):
        best[q] = -numpy.inf
        found[q] = -1
    for i in range(kernel[0]):
        h = p * stride[0] + i * dilation[0] - before[0]
        if h < 0 or h >= height:
            continue
        for j in range(kernel[1]):
            first, last = _inside(j * dilation[1], width, best.size, stride[1], before[1])
            if last == first:
                continue
            begin = h * width + first * stride[1] + j * dilation[1] - before[1]
            source = numpy.uint64(plane * height * width + begin)
            for q in range(numpy.uint64(last - first)):
                to = numpy.uint64(first) + q
                value = x[source + q * across]
                better = (value > best[to]) | (value != value) | (found[to] < 0)
                best[to] = value if better else best[to]
                found[to] = numpy.int32(begin + q * across) if better else found[to]


@compiled
def _pool(x, out, shape, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    found = numpy.empty(out.shape[2], numpy.int32)
    best = numpy.empty(out.shape[2], x.dtype)
    for plane in range(out.shape[0]):
        for p in range(out.shape[1]):
            _winners(x, plane, shape, p, best, found, kernel, stride, before, dilation)
            for q in range(out.shape[2]):
                out[plane, p, q] = best[q]


@compiled
def _pool_back(x, g, out, shape, kernel, stride, before, dilation):  # type: ignore[no-untyped-def]
    found = numpy.empty(g.shape[2], numpy.int32)
    best = numpy.empty(g.shape[2], x.dtype)
    for plane in range(g.shape[0]):
        for p in range(g.shape[1]):
            _winners(x, plane, shape, p, best, found, kernel, stride, before, dilation)
            for q in range(g.shape[2]):
                if found[q] >= 0:
                    out[numpy.uint64(plane * shape[0] * shape[1] + found[q])] += g[plane, p, q]


def _planes(x: Any) -> Any:
    return numpy.ascontiguousarray(x).reshape(-1, *x.shape[2:])


_LEAST = 1 << 15
"""Elements of a plane times planes that a thread must get."""


def max_pool2d(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any) -> Any:
    """Pool; see `reference_windows.max_pool2d`."""
    planes, before = _planes(x), (padding[0][0], padding[1][0])
    out = numpy.empty((len(planes), *count), x.dtype)
    in_pieces(
        lambda start, stop: _pool(
            planes[start:stop].reshape(-1), out[start:stop], x.shape[2:], kernel, stride, before, dilation
        ),
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
            planes[start:stop].reshape(-1),
            gradients[start:stop],
            out[start:stop].reshape(-1),
            x.shape[2:],
            kernel,
            stride,
            before,
            dilation,
        ),
        len(planes),
        _LEAST // max(1, x.shape[2] * x.shape[3]),
    )
    return out.reshape(x.shape)
