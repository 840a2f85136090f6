"""Pooling, compiled by Numba: the channels of a pixel side by side, a window at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from ...backend import memory
from ...backend.threads import in_pieces
from ...ops.resizing import Taps
from ...ops.windows import Sides
from ...typing import Array, DType
from ..geometry import HW, Windows, windows_of
from .layout import channels_first, channels_last
from .loops import compiled

_LEAST = 1 << 17
"""The fewest elements of windows that are worth handing to a thread."""


@compiled
def _pixel(w, image, p, q, tap):  # type: ignore[no-untyped-def]
    """Return the number of the pixel that a place in a window meets, through all images; -1 outside."""
    h = p * w.stride_down - w.top + tap // w.kernel_width * w.dilation_down
    v = q * w.stride_across - w.left + tap % w.kernel_width * w.dilation_across
    if h < 0 or h >= w.height or v < 0 or v >= w.width:
        return -1
    return (image * w.height + h) * w.width + v


@compiled
def _max(x, w, channels, first, last, y):  # type: ignore[no-untyped-def]
    """Write the maximum of each window of lines `first` to `last`; NaN is greater than any number."""
    size = numpy.uint64(channels)
    to = numpy.uint64(first * w.columns * channels)
    for line in range(first, last):
        for q in range(w.columns):
            empty = True
            for tap in range(w.kernel_height * w.kernel_width):
                pixel = _pixel(w, line // w.rows, line % w.rows, q, tap)
                if pixel < 0:
                    continue
                begin = numpy.uint64(pixel * channels)
                if empty:
                    for c in range(size):
                        y[to + c] = x[begin + c]
                    empty = False
                else:
                    for c in range(size):
                        value, best = x[begin + c], y[to + c]
                        y[to + c] = value if (value > best) | (value != value) else best
            if empty:
                for c in range(size):
                    y[to + c] = -numpy.inf
            to += size


@compiled
def _max_back(x, gy, w, channels, first, last, total):  # type: ignore[no-untyped-def]
    """Add the gradient of each window to its greatest element, the first of equals."""
    size = numpy.uint64(channels)
    best, winner = numpy.empty(channels, x.dtype), numpy.empty(channels, numpy.int32)
    start = numpy.uint64(first * w.columns * channels)
    for line in range(first, last):
        for q in range(w.columns):
            empty = True
            for tap in range(w.kernel_height * w.kernel_width):
                pixel = _pixel(w, line // w.rows, line % w.rows, q, tap)
                if pixel < 0:
                    continue
                begin = numpy.uint64(pixel * channels)
                for c in range(size):
                    value = x[begin + c]
                    better = empty | (value > best[c]) | (value != value)
                    best[c] = value if better else best[c]
                    winner[c] = tap if better else winner[c]
                empty = False
            for tap in range(w.kernel_height * w.kernel_width):
                pixel = _pixel(w, line // w.rows, line % w.rows, q, tap)
                if pixel < 0:
                    continue
                begin = numpy.uint64(pixel * channels)
                for c in range(size):
                    total[begin + c] += gy[start + c] if winner[c] == tap else 0
            start += size


@compiled
def _sum(x, w, channels, first, last, y):  # type: ignore[no-untyped-def]
    """Write the sum of each window of lines `first` to `last`."""
    size = numpy.uint64(channels)
    to = numpy.uint64(first * w.columns * channels)
    for line in range(first, last):
        for q in range(w.columns):
            for c in range(size):
                y[to + c] = 0
            for tap in range(w.kernel_height * w.kernel_width):
                pixel = _pixel(w, line // w.rows, line % w.rows, q, tap)
                if pixel >= 0:
                    begin = numpy.uint64(pixel * channels)
                    for c in range(size):
                        y[to + c] += x[begin + c]
            to += size


@compiled
def _sum_back(gy, w, channels, first, last, total):  # type: ignore[no-untyped-def]
    """Add the gradient of each window to all of its elements."""
    size = numpy.uint64(channels)
    start = numpy.uint64(first * w.columns * channels)
    for line in range(first, last):
        for q in range(w.columns):
            for tap in range(w.kernel_height * w.kernel_width):
                pixel = _pixel(w, line // w.rows, line % w.rows, q, tap)
                if pixel >= 0:
                    begin = numpy.uint64(pixel * channels)
                    for c in range(size):
                        total[begin + c] += gy[start + c]
            start += size


def _forward(kernel: Callable[..., None], x: Array, windows: Windows) -> Array:
    """Call a kernel on lines of windows, in threads."""
    n, _, _, channels = x.shape
    y = memory.empty((n, windows.rows, windows.columns, channels), x.dtype)
    flat, out = x.reshape(-1), y.reshape(-1)
    in_pieces(
        lambda start, stop: kernel(flat, windows, channels, start, stop, out),
        n * windows.rows,
        1 + _LEAST // max(1, windows.columns * windows.kernel_height * windows.kernel_width * channels),
    )
    return channels_first(y)


def _backward(
    kernel: Callable[..., None],
    arrays: tuple[Array, ...],
    windows: Windows,
    shape: tuple[int, ...],
    dtype: DType,
) -> Array:
    """Call a kernel on whole images, in threads: windows of neighboring lines overlap."""
    total = memory.zeros(shape, dtype)
    flat, out = [a.reshape(-1) for a in arrays], total.reshape(-1)
    taps = windows.rows * windows.columns * windows.kernel_height * windows.kernel_width
    in_pieces(
        lambda start, stop: kernel(*flat, windows, shape[3], start * windows.rows, stop * windows.rows, out),
        shape[0],
        1 + _LEAST // max(1, taps * shape[3]),
    )
    return channels_first(total)


def max_pool2d(x: Array, *, kernel: HW, stride: HW, padding: Sides, dilation: HW, count: HW) -> Array:
    """See `pooling._max_pool2d`."""
    return _forward(_max, channels_last(x), windows_of(x.shape[2:], count, kernel, stride, padding, dilation))


def max_pool2d_vjp(
    a: Array, x: Array, *, kernel: HW, stride: HW, padding: Sides, dilation: HW, count: HW
) -> Array:
    """See `pooling._max_pool2d_vjp`."""
    windows = windows_of(x.shape[2:], count, kernel, stride, padding, dilation)
    x = channels_last(x)
    return _backward(_max_back, (x, channels_last(a)), windows, x.shape, a.dtype)


def sum_pool2d(x: Array, *, kernel: HW, stride: HW, padding: Sides, count: HW) -> Array:
    """See `pooling._sum_pool2d`."""
    return _forward(_sum, channels_last(x), windows_of(x.shape[2:], count, kernel, stride, padding))


def sum_pool2d_input(gy: Array, *, size: HW, kernel: HW, stride: HW, padding: Sides) -> Array:
    """See `pooling._sum_pool2d_input`."""
    windows = windows_of(size, gy.shape[2:], kernel, stride, padding)
    shape = (gy.shape[0], *size, gy.shape[1])
    return _backward(_sum_back, (channels_last(gy),), windows, shape, gy.dtype)


@compiled
def _mix(x, starts, places, weights, first, last, y):  # type: ignore[no-untyped-def]
    """Write the sums of `first` to `last` of x, shape (outer, n, inner)."""
    for o in range(first, last):
        for p in range(y.shape[1]):
            for c in range(numpy.uint64(y.shape[2])):
                y[o, p, c] = 0
            for k in range(starts[p], starts[p + 1]):
                i, weight = places[k], weights[k]
                for c in range(numpy.uint64(y.shape[2])):
                    y[o, p, c] += weight * x[o, i, c]


def mixed(x: Array, *, axis: int, taps: Taps) -> Array:
    """See `resizing._mixed`."""
    images = channels_last(x)
    before, (n, *after) = images.shape[: axis - 1], images.shape[axis - 1 :]
    y = memory.empty((*before, len(taps), *after), x.dtype)
    outer, inner = math.prod(before), math.prod(after)
    starts = numpy.cumsum([0, *map(len, taps)])
    places = numpy.array([place for pairs in taps for place, _ in pairs])
    weights = numpy.array([weight for pairs in taps for _, weight in pairs], x.dtype)
    source, target = images.reshape(outer, n, inner), y.reshape(outer, len(taps), inner)
    in_pieces(
        lambda start, stop: _mix(source, starts, places, weights, start, stop, target),
        outer,
        1 + _LEAST // max(1, len(places) * inner),
    )
    return channels_first(y)
