"""Reference kernels of convolution and pooling: sliding windows, taken apart by their elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..backend import sums

# Each place (i, j) in the window is a tap: one slice of the padded images holds what all windows have
# there.


def _taps(
    size: tuple[int, int],
    kernel: tuple[int, int],
    count: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
    """Yield each place in the window, and the slice of padded images of `size` that it meets."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + (count[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(j * dilation[1], j * dilation[1] + (count[1] - 1) * stride[1] + 1, stride[1])
            yield i, j, (..., rows, columns)


def _padded(xp: Any, x: Any, padding: Any, value: float = 0.0) -> Any:
    return xp.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def _cropped(x: Any, padding: Any, size: tuple[int, int]) -> Any:
    (top, _), (left, _) = padding
    return x[:, :, top : top + size[0], left : left + size[1]]


def _grouped(a: Any, axis: int, groups: int) -> Any:
    """Split the channels on `axis` into (groups, channels of each)."""
    shape = a.shape
    return a.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _windows(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def conv2d(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any,
    relu: bool,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """Sum over the taps of ``weight[:, :, i, j] @ x`` shifted by (i, j); then bias and ReLU, if there are."""
    kernel = weight.shape[2:]
    rows, columns = map(_windows, x.shape[2:], kernel, stride, padding, dilation)
    count = rows, columns
    x = _padded(xp, x, padding)
    n, out = len(x), len(weight)
    w = _grouped(weight, 0, groups)
    y = xp.zeros((n, groups, out // groups, count[0] * count[1]), xp.result_type(x, weight))
    for i, j, place in _taps(x.shape[2:], kernel, count, stride, dilation):
        patch = _grouped(x[place], 1, groups).reshape(n, groups, weight.shape[1], count[0] * count[1])
        y += w[..., i, j] @ patch
    y = y.reshape(n, out, *count)
    if bias is not None:
        y = y + bias[:, None, None]
    return xp.maximum(y, 0) if relu else y


def conv2d_input(
    xp: Any, gy: Any, weight: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Spread ``weight[:, :, i, j]^T @ gy`` back to where tap (i, j) read."""
    n, count = len(gy), gy.shape[2:]
    out, channels = len(weight), groups * weight.shape[1]
    w = _grouped(weight, 0, groups)
    g = _grouped(gy, 1, groups).reshape(n, groups, out // groups, count[0] * count[1])
    full = tuple(s + before + after for s, (before, after) in zip(size, padding, strict=True))
    x = xp.zeros((n, channels, *full), xp.result_type(gy, weight))
    for i, j, place in _taps(full, weight.shape[2:], count, stride, dilation):
        x[place] += (xp.swapaxes(w[..., i, j], -1, -2) @ g).reshape(n, channels, *count)
    return xp.ascontiguousarray(_cropped(x, padding, size))


def conv2d_weight(
    xp: Any, x: Any, gy: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """For each tap, sum ``gy @ x^T`` over the images, with x shifted by (i, j)."""
    n, count = len(x), gy.shape[2:]
    x = _padded(xp, x, padding)
    out, inner = gy.shape[1], x.shape[1] // groups
    g = _grouped(gy, 1, groups).reshape(n, groups, out // groups, count[0] * count[1])
    w = xp.zeros((groups, out // groups, inner, *size), xp.result_type(x, gy))
    for i, j, place in _taps(x.shape[2:], size, count, stride, dilation):
        patch = _grouped(x[place], 1, groups).reshape(n, groups, inner, count[0] * count[1])
        w[..., i, j] = sums.total(xp, g @ xp.swapaxes(patch, -1, -2), (0,))
    return w.reshape(out, inner, *size)


def max_pool2d(xp: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any) -> Any:
    """Greatest element of each window."""
    return _max_windows(xp, x, kernel, stride, padding, dilation, count)[0]


def _max_windows(
    xp: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any
) -> tuple[Any, Any]:
    """Return the greatest element of each window, and which tap found it first."""
    # Where all is -inf, it is the first tap inside the image: the padding never wins.
    rows, columns = (
        xp.maximum((before - s * xp.arange(c) + d - 1) // d, 0)
        for s, (before, _), d, c in zip(stride, padding, dilation, count, strict=True)
    )
    x = _padded(xp, x, padding, -xp.inf)
    best = xp.full((*x.shape[:2], *count), -xp.inf, x.dtype)
    found = xp.broadcast_to(rows[:, None] * kernel[1] + columns, best.shape).astype(xp.int32)
    for i, j, place in _taps(x.shape[2:], kernel, count, stride, dilation):
        tap = x[place]
        better = (tap > best) | xp.isnan(tap)
        best = xp.where(better, tap, best)
        found = xp.where(better, i * kernel[1] + j, found)
    return best, found


def max_pool2d_vjp(
    xp: Any, g: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any
) -> Any:
    """Add each window's gradient to the element that was greatest."""
    found = _max_windows(xp, x, kernel, stride, padding, dilation, count)[1]
    full = tuple(s + before + after for s, (before, after) in zip(x.shape[2:], padding, strict=True))
    total = xp.zeros((*x.shape[:2], *full), g.dtype)
    for i, j, place in _taps(full, kernel, count, stride, dilation):
        total[place] += xp.where(found == i * kernel[1] + j, g, 0)
    return xp.ascontiguousarray(_cropped(total, padding, x.shape[2:]))


def max_pool2d_gather(
    xp: Any, a: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, count: Any
) -> Any:
    """Read `a` where each window of `x` is greatest."""
    found = _max_windows(xp, x, kernel, stride, padding, dilation, count)[1]
    a = _padded(xp, a, padding)
    y = xp.zeros(found.shape, a.dtype)
    for i, j, place in _taps(a.shape[2:], kernel, count, stride, dilation):
        y = xp.where(found == i * kernel[1] + j, a[place], y)
    return y


def sum_pool2d(xp: Any, x: Any, kernel: Any, stride: Any, padding: Any, count: Any) -> Any:
    """Sum of each window."""
    x = _padded(xp, x, padding)
    y = xp.zeros((*x.shape[:2], *count), x.dtype)
    for _, _, place in _taps(x.shape[2:], kernel, count, stride, (1, 1)):
        y += x[place]
    return y


def sum_pool2d_input(xp: Any, gy: Any, size: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    """Spread each window's value over its elements."""
    full = tuple(s + before + after for s, (before, after) in zip(size, padding, strict=True))
    x = xp.zeros((*gy.shape[:2], *full), gy.dtype)
    for _, _, place in _taps(full, kernel, gy.shape[2:], stride, (1, 1)):
        x[place] += gy
    return xp.ascontiguousarray(_cropped(x, padding, size))


def mixed(xp: Any, x: Any, axis: int, taps: list[list[tuple[int, float]]]) -> Any:
    """For each entry of `taps`, sum ``weight * x[place]`` along `axis`, over its (place, weight) pairs.

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
