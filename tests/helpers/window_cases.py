"""The oracles of convolution, pooling and resizing; `cases.py` uses them.

The NumPy versions follow the definitions: a loop over the windows, and inside it a loop over the positions in
a window, each of which is looked up in the image or skipped if it lies outside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from oracles import functional, oracle

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def both(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value, value)


def around(padding: Any, kernel: Pair = (1, 1), dilation: Any = 1) -> Sides:
    """Return the padding before and after, along both axes; "same" puts the odd one after."""
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, both(dilation), strict=True)]
        return (total[0] // 2, (total[0] + 1) // 2), (total[1] // 2, (total[1] + 1) // 2)
    if padding == "valid":
        padding = 0
    rows, columns = both(padding)
    return both(rows), both(columns)


def starts(size: int, kernel: int, stride: int, pad: Pair, dilation: int, ceil_mode: bool) -> list[int]:
    """List the starts of the windows along one axis, counted from the first element of the image."""
    found = []
    start = -pad[0]
    while start + dilation * (kernel - 1) < size + pad[1]:
        found.append(start)
        start += stride
    # The window after the last whole one counts if it starts inside the image.
    last = start - stride  # the last whole window, or its virtual position before the first
    if ceil_mode and start < size and last + dilation * (kernel - 1) < size + pad[1] - 1:
        found.append(start)
    return found


def places(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> Iterator[tuple[Pair, Pair, Pair]]:
    """Yield each window (p, q), each of its positions (i, j), and the element there, if any."""
    axes = zip(
        size, both(kernel), both(stride), around(padding, kernel, dilation), both(dilation), strict=True
    )
    down, across = (
        [
            (p, i, start + i * d)
            for p, start in enumerate(starts(n, k, s, pad, d, ceil_mode))
            for i in range(k)
            if 0 <= start + i * d < n
        ]
        for n, k, s, pad, d in axes
    )
    for (p, i, row), (q, j, column) in itertools.product(down, across):
        yield (p, q), (i, j), (row, column)


def windows(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> Pair:
    """Count the windows along both axes."""
    axes = zip(
        size, both(kernel), both(stride), around(padding, kernel, dilation), both(dilation), strict=True
    )
    rows, columns = (len(starts(*axis, ceil_mode)) for axis in axes)
    return rows, columns


def channels(groups: int, inner: int, outer: int) -> Iterator[tuple[slice, slice]]:
    """Yield each group's input channels and output channels."""
    for k in range(groups):
        yield slice(k * inner, (k + 1) * inner), slice(k * outer, (k + 1) * outer)


# --- Convolution -----------------------------------------------------------------------------


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    b: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
) -> np.ndarray:
    geometry = (x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((len(x), len(w), *windows(*geometry)))
    for (p, q), (i, j), (row, column) in places(*geometry):
        for inner, outer in channels(groups, w.shape[1], len(w) // groups):
            y[:, outer, p, q] += x[:, inner, row, column] @ w[outer, :, i, j].T
    y = y if b is None else y + b[:, None, None]
    return np.maximum(y, 0) if activation else y


def conv2d_input(
    g: np.ndarray, w: np.ndarray, size: Pair, stride: Any, padding: Any, dilation: Any = 1, groups: int = 1
) -> np.ndarray:
    x = np.zeros((len(g), w.shape[1] * groups, *size))
    for (p, q), (i, j), (row, column) in places(size, w.shape[2:], stride, padding, dilation):
        if p < g.shape[2] and q < g.shape[3]:
            for inner, outer in channels(groups, w.shape[1], len(w) // groups):
                x[:, inner, row, column] += g[:, outer, p, q] @ w[outer, :, i, j]
    return x


def conv2d_weight(
    x: np.ndarray, g: np.ndarray, size: Pair, stride: Any, padding: Any, dilation: Any = 1, groups: int = 1
) -> np.ndarray:
    w = np.zeros((g.shape[1], x.shape[1] // groups, *size))
    for (p, q), (i, j), (row, column) in places(x.shape[2:], size, stride, padding, dilation):
        for inner, outer in channels(groups, w.shape[1], len(w) // groups):
            w[outer, :, i, j] += g[:, outer, p, q].T @ x[:, inner, row, column]
    return w


def conv_transpose2d(
    x: np.ndarray,
    w: np.ndarray,
    b: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> np.ndarray:
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + more
        for n, k, s, p, d, more in zip(
            x.shape[2:], w.shape[2:], *map(both, (stride, padding, dilation, output_padding)), strict=True
        )
    )
    y = conv2d_input(x, w, size, stride, padding, dilation, groups)
    return y if b is None else y + b[:, None, None]


def torch_conv2d(
    torch: Any, x: Any, w: Any, b: Any = None, activation: str | None = None, **settings: Any
) -> Any:
    """Call PyTorch's function with padded images, because it warns about "same" with even kernels."""
    if settings.get("padding") == "same":
        (top, bottom), (left, right) = around("same", w.shape[2:], settings.get("dilation", 1))
        x = torch.nn.functional.pad(x, (left, right, top, bottom))
        del settings["padding"]
    y = torch.nn.functional.conv2d(x, w, b, **settings)
    return torch.relu(y) if activation else y


def symmetric(padding: Sides) -> Pair:
    """Return the padding in PyTorch's form, equal on both sides."""
    (top, bottom), (left, right) = padding
    assert (top, left) == (bottom, right)
    return top, left


def conv1d(
    x: np.ndarray,
    w: np.ndarray,
    b: Any = None,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
) -> np.ndarray:
    pad = (0, around(padding, (1, w.shape[2]), dilation)[1])
    return conv2d(x[:, :, None], w[:, :, None], b, (1, stride), pad, (1, dilation), groups)[:, :, 0]


oracle("conv2d", conv2d, torch_conv2d)
oracle("conv2d: constant images", lambda w, constant, padding: conv2d(constant, w, padding=padding),
       lambda torch, w, constant, padding: torch.nn.functional.conv2d(
           torch.tensor(constant, dtype=w.dtype), w, padding=padding))  # fmt: skip
oracle("conv2d: constant weight", lambda x, constant, stride: conv2d(x, constant, stride=stride),
       lambda torch, x, constant, stride: torch.nn.functional.conv2d(
           x, torch.tensor(constant, dtype=x.dtype), stride=stride))  # fmt: skip
oracle("conv2d: one array twice", lambda a, padding: conv2d(a, a, padding=padding),
       lambda torch, a, padding: torch.nn.functional.conv2d(a, a, padding=padding))  # fmt: skip
oracle("conv2d: no channels", conv2d, "PyTorch refuses images without channels")
oracle("conv1d", conv1d, functional("conv1d"))
oracle("conv_transpose2d", conv_transpose2d, functional("conv_transpose2d"))
oracle("conv_transpose2d: all of it cut off", conv_transpose2d, "PyTorch refuses an output without elements")
oracle("channel_sums", lambda x: x.sum((0, 2, 3)), lambda torch, x: x.sum((0, 2, 3)))
oracle("channel_products", lambda a, b: (a * b).sum((0, 2, 3)), lambda torch, a, b: (a * b).sum((0, 2, 3)))


def scaled(x: Any, weight: Any, bias: Any = None) -> Any:
    y = x * weight[:, None, None]
    return y if bias is None else y + bias[:, None, None]


oracle("scale_channels", scaled, lambda torch, *args: scaled(*args))


def torch_conv2d_input(
    torch: Any, g: Any, w: Any, size: Pair, padding: Sides, groups: int, **settings: Any
) -> Any:
    shape = (len(g), w.shape[1] * groups, *size)
    return torch.nn.grad.conv2d_input(shape, w, g, padding=symmetric(padding), groups=groups, **settings)


def torch_conv2d_weight(
    torch: Any, x: Any, g: Any, size: Pair, padding: Sides, groups: int, **settings: Any
) -> Any:
    shape = (g.shape[1], x.shape[1] // groups, *size)
    return torch.nn.grad.conv2d_weight(x, shape, g, padding=symmetric(padding), groups=groups, **settings)


for _name, _expected, _torch in [
    ("_conv2d", conv2d, lambda torch, x, w, padding, **settings: torch.nn.functional.conv2d(
        x, w, padding=symmetric(padding), **settings)),
    ("_conv2d_input", conv2d_input, torch_conv2d_input),
    ("_conv2d_weight", conv2d_weight, torch_conv2d_weight),
]:  # fmt: skip
    oracle(_name, _expected, _torch)
    oracle(f"{_name}: different on each side", _expected, "PyTorch pads both sides alike")

# --- Pooling ---------------------------------------------------------------------------------


def winners(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Iterator[tuple[int, int, Pair, Pair]]:
    """Yield each window of each image and channel, and the first of its largest elements."""
    for n, c in np.ndindex(x.shape[:2]):
        best: dict[Pair, Pair] = {}
        for window, _, place in places(x.shape[2:], kernel, stride, padding, dilation, ceil_mode):
            if window not in best or x[n, c][place] > x[n, c][best[window]]:
                best[window] = place
        for window, place in best.items():
            yield n, c, window, place


def max_pool2d(
    x: np.ndarray,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> np.ndarray:
    geometry = (kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    y = np.full((*x.shape[:2], *windows(x.shape[2:], *geometry)), np.nan)
    for n, c, window, place in winners(x, *geometry):
        y[n, c][window] = x[n, c][place]
    return y


def max_pool2d_vjp(g: np.ndarray, x: np.ndarray, *geometry: Any) -> np.ndarray:
    total = np.zeros(x.shape)
    for n, c, window, place in winners(x, *geometry):
        total[n, c][place] += g[n, c][window]
    return total


def max_pool2d_gather(a: np.ndarray, x: np.ndarray, *geometry: Any) -> np.ndarray:
    y = np.full((*x.shape[:2], *windows(x.shape[2:], *geometry)), np.nan)
    for n, c, window, place in winners(x, *geometry):
        y[n, c][window] = a[n, c][place]
    return y


def avg_pool2d(
    x: np.ndarray,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """Compute each window's mean over its elements, or over its positions in the padded image."""
    geometry = (kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    count = windows(x.shape[2:], *geometry)
    total, members = np.zeros((*x.shape[:2], *count)), np.zeros(count)
    for window, _, (row, column) in places(x.shape[2:], *geometry):
        total[:, :, *window] += x[:, :, row, column]
        members[window] += 1
    if count_include_pad:
        (top, bottom), (left, right) = around(padding)
        full = (x.shape[2] + top + bottom, x.shape[3] + left + right)
        members = np.zeros(count)
        for window, _, _ in places(full, kernel, geometry[1], 0, 1, ceil_mode):
            if window[0] < count[0] and window[1] < count[1]:
                members[window] += 1
    return total / members


def pooled(settings: dict[str, Any]) -> dict[str, Any]:
    """Rename a pool's settings for the loops above."""
    return {"kernel" if name == "kernel_size" else name: value for name, value in settings.items()}


def tied_gradient(x: np.ndarray, kernel_size: Any, stride: Any, padding: Any = 0) -> list[np.ndarray]:
    """Assign the gradient to the first of equal elements."""
    geometry = (kernel_size, stride, padding, 1, False)
    ones = np.ones(max_pool2d(x, *geometry).shape)
    return [max_pool2d_vjp(ones, x, *geometry)]


def expected_max_pool2d(x: np.ndarray, **settings: Any) -> np.ndarray:
    return max_pool2d(x, **pooled(settings))


def expected_avg_pool2d(x: np.ndarray, **settings: Any) -> np.ndarray:
    return avg_pool2d(x, **pooled(settings))


oracle("max_pool2d", expected_max_pool2d, functional("max_pool2d"))
oracle("max_pool2d: ties | max_pool2d: ties, padding | max_pool2d: all equal", expected_max_pool2d,
       functional("max_pool2d"), smooth=0, gradient=tied_gradient)  # fmt: skip
oracle("max_pool2d: minus infinity", expected_max_pool2d, "no tolerance is relative to an infinite value",
       smooth=0, gradient=tied_gradient)  # fmt: skip
oracle("avg_pool2d", expected_avg_pool2d, functional("avg_pool2d"))
oracle("max_pool2d: no channels", expected_max_pool2d, "PyTorch refuses images without channels")
oracle("avg_pool2d: no channels", expected_avg_pool2d, "PyTorch refuses images without channels")


def torch_geometry(kernel: Pair, stride: Pair, padding: Sides, count: Pair, dilation: Pair = (1, 1)) -> Any:
    """Return the arguments of PyTorch's pools, which count the windows themselves."""
    return kernel, stride, symmetric(padding), dilation


def _torch_pool_indices(torch: Any, x: Any, geometry: dict[str, Any]) -> Any:
    return torch.nn.functional.max_pool2d(x, *torch_geometry(**geometry), return_indices=True)[1]


def _torch_max_pool2d_vjp(torch: Any, g: Any, x: Any, **geometry: Any) -> Any:
    indices = _torch_pool_indices(torch, x, geometry).flatten(2)
    return torch.zeros_like(x).flatten(2).scatter_add(2, indices, g.flatten(2)).reshape(x.shape)


def _torch_max_pool2d_gather(torch: Any, a: Any, x: Any, **geometry: Any) -> Any:
    indices = _torch_pool_indices(torch, x, geometry)
    return a.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)


def _torch_sum_pool2d(torch: Any, x: Any, **geometry: Any) -> Any:
    kernel, stride, padding, _ = torch_geometry(**geometry)
    return torch.nn.functional.avg_pool2d(x, kernel, stride, padding, divisor_override=1)


def _torch_sum_pool2d_input(
    torch: Any, g: Any, size: Pair, kernel: Pair, stride: Pair, padding: Sides
) -> Any:
    images = g.new_zeros(*g.shape[:2], *size)
    return torch.ops.aten.avg_pool2d_backward(g, images, kernel, stride, symmetric(padding), False, True, 1)


def sum_pool2d(x: np.ndarray, kernel: Any, stride: Any, padding: Any) -> np.ndarray:
    y = np.zeros((*x.shape[:2], *windows(x.shape[2:], kernel, stride, padding)))
    for window, _, (row, column) in places(x.shape[2:], kernel, stride, padding):
        y[:, :, *window] += x[:, :, row, column]
    return y


def sum_pool2d_input(g: np.ndarray, size: Any, kernel: Any, stride: Any, padding: Any) -> np.ndarray:
    x = np.zeros((*g.shape[:2], *size))
    for window, _, (row, column) in places(size, kernel, stride, padding):
        x[:, :, row, column] += g[:, :, *window]
    return x


oracle(
    "_max_pool2d",
    lambda x, kernel, stride, padding, dilation, count: max_pool2d(x, kernel, stride, padding, dilation),
    lambda torch, x, **geometry: torch.nn.functional.max_pool2d(x, *torch_geometry(**geometry)),
)
oracle(
    "_max_pool2d_vjp",
    lambda g, x, kernel, stride, padding, dilation, count: max_pool2d_vjp(
        g, x, kernel, stride, padding, dilation, False
    ),
    _torch_max_pool2d_vjp,
)
oracle("_max_pool2d_gather", lambda a, x, kernel, stride, padding, dilation, count: max_pool2d_gather(
           a, x, kernel, stride, padding, dilation, False), _torch_max_pool2d_gather)  # fmt: skip
oracle("_sum_pool2d", lambda x, kernel, stride, padding, count: sum_pool2d(x, kernel, stride, padding),
       _torch_sum_pool2d)  # fmt: skip
oracle("_sum_pool2d_input", sum_pool2d_input, _torch_sum_pool2d_input)
oracle("global_avg_pool2d", lambda x: np.mean(x, (2, 3), keepdims=True),
       lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1))  # fmt: skip


def adaptive_avg_pool2d(x: np.ndarray, output_size: Any) -> np.ndarray:
    rows, columns = both(output_size)
    y = np.zeros((*x.shape[:2], rows, columns))
    for p, q in np.ndindex(rows, columns):
        top, bottom = math.floor(p * x.shape[2] / rows), math.ceil((p + 1) * x.shape[2] / rows)
        left, right = math.floor(q * x.shape[3] / columns), math.ceil((q + 1) * x.shape[3] / columns)
        y[:, :, p, q] = x[:, :, top:bottom, left:right].mean((2, 3))
    return y


def mixing(n: int, taps: Any) -> np.ndarray:
    """Return the matrix that the positions and weights of `taps` represent."""
    matrix = np.zeros((len(taps), n))
    for row, pairs in zip(matrix, taps, strict=True):
        for place, weight in pairs:
            row[place] += weight
    return matrix


def mixed(x: Any, axis: int, matrix: Any) -> Any:
    return (x.swapaxes(axis, 3) @ matrix.T).swapaxes(axis, 3)


oracle("_mixed", lambda x, axis, taps: mixed(x, axis, mixing(x.shape[axis], taps)),
       lambda torch, x, axis, taps: mixed(
           x, axis, torch.tensor(mixing(x.shape[axis], taps), dtype=x.dtype)))  # fmt: skip
oracle("adaptive_avg_pool2d", adaptive_avg_pool2d, functional("adaptive_avg_pool2d"))

# --- Resizing and taking apart ---------------------------------------------------------------


def interpolate(
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> np.ndarray:
    """Look up each new pixel at its position among the old ones, with edges extended forever."""
    old = x.shape[2:]
    new = (
        both(size)
        if size is not None
        else tuple(math.floor(n * f) for n, f in zip(old, both(scale_factor), strict=True))
    )
    steps = (
        [n / m for n, m in zip(old, new, strict=True)] if size is not None else
        [1 / f for f in both(scale_factor)]
    )  # fmt: skip
    y = np.zeros((*x.shape[:2], *new))
    for place in np.ndindex(*new):
        if mode == "nearest":
            row, column = (
                p * n // m if size is not None else min(math.floor(p * step), n - 1)
                for p, step, n, m in zip(place, steps, old, new, strict=True)
            )  # fmt: skip
            y[:, :, *place] = x[:, :, row, column]
            continue
        ends = []
        for p, n, m, step in zip(place, old, new, steps, strict=True):
            if align_corners:
                at = p * ((n - 1) / (m - 1)) if m > 1 else 0.0
            else:
                at = min(max((p + 0.5) * step - 0.5, 0.0), n - 1.0)
            low = math.floor(at)
            ends.append([(low, 1 - (at - low)), (min(low + 1, n - 1), at - low)])
        for (row, a), (column, b) in itertools.product(*ends):
            y[:, :, *place] += a * b * x[:, :, row, column]
    return y


def unfold(
    x: np.ndarray, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> np.ndarray:
    kernel = both(kernel_size)
    geometry = (x.shape[2:], kernel, stride, padding, dilation)
    y = np.zeros((*x.shape[:2], *kernel, *windows(*geometry)))
    for (p, q), (i, j), (row, column) in places(*geometry):
        y[:, :, i, j, p, q] = x[:, :, row, column]
    return y.reshape(len(x), x.shape[1] * kernel[0] * kernel[1], math.prod(y.shape[4:]))


oracle("interpolate", interpolate, functional("interpolate"))
oracle("unfold", unfold, functional("unfold"))
