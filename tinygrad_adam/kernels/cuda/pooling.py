"""Pooling in CUDA: a thread for each window, and backward a thread for each pixel.

Backward each pixel gathers from the windows that reach it, in an order that is always the same. Scattering
from the windows would need atomic additions where they overlap.
"""

from __future__ import annotations

import math

from ...ops import pooling
from ...ops.windows import Sides
from ...typing import Array
from ..geometry import HW, windows_of
from .launching import Source, floats, overriding
from .windows import WINDOWS

SOURCE = Source(
    WINDOWS
    + r"""
// The greatest place of window (p, q): the first of equals, NaN above all numbers; -1 if all lie outside.
__device__ INDEX winner(const REAL* plane, INDEX p, INDEX q, WINDOWS) {
    INDEX found = -1;
    REAL best = 0;
    EACH_PLACE(i, j, h, v) {
        const REAL value = plane[h * width + v];
        if (found < 0 || value > best || value != value) {
            best = value;
            found = i * kernel_width + j;
        }
    }
    return found;
}

#define OF_WINDOWS height, width, rows, columns, kernel_height, kernel_width, stride_down, stride_across, \
    top, left, dilation_down, dilation_across

// Picks the element of a at the place where x is greatest; forward, a is x.
extern "C" __global__ void pick(const REAL* x, const REAL* a, double outside, REAL* y, INDEX n, WINDOWS) {
    EACH(t, n) {
        const INDEX q = t % columns, p = t / columns % rows, plane = t / columns / rows * height * width;
        const INDEX found = winner(x + plane, p, q, OF_WINDOWS);
        const INDEX h = p * stride_down - top + found / kernel_width * dilation_down;
        const INDEX v = q * stride_across - left + found % kernel_width * dilation_across;
        y[t] = found < 0 ? (REAL)outside : a[plane + h * width + v];
    }
}

extern "C" __global__ void winners(const REAL* x, int* found, INDEX n, WINDOWS) {
    EACH(t, n) {
        const INDEX q = t % columns, p = t / columns % rows, plane = t / columns / rows * height * width;
        found[t] = winner(x + plane, p, q, OF_WINDOWS);
    }
}

extern "C" __global__ void give_to_winners(const REAL* g, const int* found, REAL* out, INDEX n, WINDOWS) {
    EACH(t, n) {
        const INDEX v = t % width, h = t / width % height, plane = t / width / height * rows * columns;
        REAL total = 0;
        EACH_WINDOW(i, j, p, q) {
            const INDEX window = plane + p * columns + q;
            if (found[window] == i * kernel_width + j) total += g[window];
        }
        out[t] = total;
    }
}

extern "C" __global__ void sum_windows(const REAL* x, REAL* y, INDEX n, WINDOWS) {
    EACH(t, n) {
        const INDEX q = t % columns, p = t / columns % rows, plane = t / columns / rows * height * width;
        REAL total = 0;
        EACH_PLACE(i, j, h, v) total += x[plane + h * width + v];
        y[t] = total;
    }
}

extern "C" __global__ void give_to_all(const REAL* g, REAL* out, INDEX n, WINDOWS) {
    EACH(t, n) {
        const INDEX v = t % width, h = t / width % height, plane = t / width / height * rows * columns;
        REAL total = 0;
        EACH_WINDOW(i, j, p, q) total += g[plane + p * columns + q];
        out[t] = total;
    }
}
"""
)


@overriding(pooling._max_pool2d.forward)
def max_pool2d(x: Array, *, kernel: HW, stride: HW, padding: Sides, dilation: HW, count: HW) -> Array:
    """See `pooling._max_pool2d`."""
    windows = windows_of(x.shape[2:], count, kernel, stride, padding, dilation)
    return SOURCE.compute("pick", (*x.shape[:2], *count), (x, x, -math.inf), *windows)


@overriding(pooling._max_pool2d_vjp.forward)
def max_pool2d_vjp(
    a: Array, x: Array, *, kernel: HW, stride: HW, padding: Sides, dilation: HW, count: HW
) -> Array:
    """See `pooling._max_pool2d_vjp`."""
    windows = windows_of(x.shape[2:], count, kernel, stride, padding, dilation)
    found = SOURCE.compute("winners", (*x.shape[:2], *count), (x,), *windows, dtype="int32")
    return SOURCE.compute("give_to_winners", x.shape, (a, found), *windows)


@overriding(pooling._max_pool2d_gather.forward, lambda a, x: a.dtype == x.dtype and floats(x))
def max_pool2d_gather(
    a: Array, x: Array, *, kernel: HW, stride: HW, padding: Sides, dilation: HW, count: HW
) -> Array:
    """See `pooling._max_pool2d_gather`."""
    windows = windows_of(x.shape[2:], count, kernel, stride, padding, dilation)
    return SOURCE.compute("pick", (*x.shape[:2], *count), (x, a, 0.0), *windows)


@overriding(pooling._sum_pool2d.forward)
def sum_pool2d(x: Array, *, kernel: HW, stride: HW, padding: Sides, count: HW) -> Array:
    """See `pooling._sum_pool2d`."""
    windows = windows_of(x.shape[2:], count, kernel, stride, padding)
    return SOURCE.compute("sum_windows", (*x.shape[:2], *count), (x,), *windows)


@overriding(pooling._sum_pool2d_input.forward)
def sum_pool2d_input(gy: Array, *, size: HW, kernel: HW, stride: HW, padding: Sides) -> Array:
    """See `pooling._sum_pool2d_input`."""
    windows = windows_of(size, gy.shape[2:], kernel, stride, padding)
    return SOURCE.compute("give_to_all", (*gy.shape[:2], *size), (gy,), *windows)
