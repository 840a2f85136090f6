"""The table's rows of convolution, pooling and resizing; `cases.py` includes them.

What NumPy makes of them is written as the definitions are: a loop over the windows, and in it a loop
over the places of a window, each looked up in the image or skipped where there is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from cases import case, distinct, fixed, normal

import tinygrad_adam as tg
from tinygrad_adam.primitive import PRIMITIVES

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def both(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value, value)


def around(padding: Any, kernel: Pair = (1, 1), dilation: Any = 1) -> Sides:
    """Return the padding before and after, along both axes; "same" puts what is odd after."""
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, both(dilation), strict=True)]
        return (total[0] // 2, (total[0] + 1) // 2), (total[1] // 2, (total[1] + 1) // 2)
    if padding == "valid":
        padding = 0
    rows, columns = both(padding)
    return both(rows), both(columns)


def starts(size: int, kernel: int, stride: int, pad: Pair, dilation: int, ceil_mode: bool) -> list[int]:
    """List where the windows along one axis begin, counted from the first element of the image."""
    found = []
    start = -pad[0]
    while start + dilation * (kernel - 1) < size + pad[1]:
        found.append(start)
        start += stride
    # The one after the last whole window is wanted if it begins before the image has ended.
    if ceil_mode and start < size and found[-1] + dilation * (kernel - 1) < size + pad[1] - 1:
        found.append(start)
    return found


def places(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> Iterator[tuple[Pair, Pair, Pair]]:
    """Yield each window (p, q), each of its places (i, j), and the element there, if there is one."""
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
) -> np.ndarray:
    geometry = (x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((len(x), len(w), *windows(*geometry)))
    for (p, q), (i, j), (row, column) in places(*geometry):
        for inner, outer in channels(groups, w.shape[1], len(w) // groups):
            y[:, outer, p, q] += x[:, inner, row, column] @ w[outer, :, i, j].T
    return y if b is None else y + b[:, None, None]


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


def torch_conv2d(settings: dict[str, Any]) -> Callable[..., Any]:
    """Call PyTorch's, which warns of "same" with even kernels, and so gets images that are padded."""

    def apply(torch: Any, x: Any, w: Any, b: Any = None) -> Any:
        rest = dict(settings)
        if rest.get("padding") == "same":
            (top, bottom), (left, right) = around("same", w.shape[2:], rest.get("dilation", 1))
            x = torch.nn.functional.pad(x, (left, right, top, bottom))
            del rest["padding"]
        return torch.nn.functional.conv2d(x, w, b, **rest)

    return apply


_WITH_BIAS = ("", "1x1", "groups", "no images", "no sequences", "everything")
for _label, _x, _w, _settings in [
    ("", (2, 2, 4, 5), (3, 2, 3, 3), {}),
    ("stride", (1, 2, 5, 7), (2, 2, 3, 3), {"stride": 2}),
    ("stride, a row and a column left over", (2, 1, 4, 6), (2, 1, 3, 3), {"stride": 2}),
    ("stride of two", (1, 2, 4, 6), (2, 2, 2, 3), {"stride": (1, 3)}),
    ("padding", (2, 2, 3, 4), (2, 2, 3, 3), {"padding": 1}),
    ("padding of two", (1, 2, 4, 3), (2, 2, 3, 2), {"padding": (0, 2)}),
    ("padding wider than the kernel", (1, 1, 2, 2), (2, 1, 2, 2), {"padding": 3}),
    ("padding and stride, left over", (1, 2, 4, 5), (2, 2, 2, 4), {"padding": (1, 2), "stride": (3, 2)}),
    ("valid", (1, 2, 3, 4), (2, 2, 2, 2), {"padding": "valid", "stride": 2}),
    ("same", (1, 2, 3, 4), (2, 2, 3, 3), {"padding": "same"}),
    ("same, even kernel", (1, 2, 3, 4), (2, 2, 2, 4), {"padding": "same"}),
    ("same, dilation", (1, 1, 4, 5), (2, 1, 2, 3), {"padding": "same", "dilation": (3, 2)}),
    ("dilation", (1, 2, 5, 6), (2, 2, 3, 2), {"dilation": 2}),
    ("dilation of two, padding", (1, 2, 4, 5), (2, 2, 2, 3), {"dilation": (3, 1), "padding": 1}),
    ("groups", (2, 4, 3, 3), (6, 2, 2, 2), {"groups": 2}),
    ("depthwise", (2, 3, 4, 3), (3, 1, 2, 2), {"groups": 3}),
    ("depthwise, same", (1, 3, 4, 3), (3, 1, 3, 3), {"groups": 3, "padding": "same"}),
    ("depthwise, two filters for each channel", (1, 2, 3, 4), (4, 1, 2, 3), {"groups": 2, "stride": 2}),
    ("1x1", (2, 3, 2, 3), (4, 3, 1, 1), {}),
    ("1x1, stride", (2, 2, 3, 4), (3, 2, 1, 1), {"stride": 2}),
    ("1x1, groups", (1, 4, 2, 2), (2, 2, 1, 1), {"groups": 2}),
    ("1x1, padding", (1, 2, 2, 1), (2, 2, 1, 1), {"padding": 1}),
    ("kernel as large as the image", (2, 2, 3, 4), (3, 2, 3, 4), {}),
    ("kernel as large as the padded image", (2, 2, 2, 1), (3, 2, 4, 3), {"padding": 1}),
    ("stride beyond the kernel", (2, 2, 5, 6), (2, 2, 2, 2), {"stride": 3}),
    ("stride beyond the image", (1, 2, 4, 3), (2, 2, 2, 2), {"stride": 9}),
    ("even kernel", (2, 1, 5, 4), (2, 1, 4, 2), {}),
    ("one row", (2, 2, 1, 5), (2, 2, 1, 3), {}),
    ("one pixel", (3, 2, 1, 1), (2, 2, 1, 1), {}),
    ("one image, one channel", (1, 1, 3, 3), (1, 1, 2, 2), {}),
    ("no images", (0, 2, 4, 3), (3, 2, 2, 2), {"padding": 1}),
    ("no images, groups", (0, 4, 4, 3), (2, 2, 2, 2), {"groups": 2}),
    (
        "everything",
        (2, 4, 6, 7),
        (2, 2, 3, 2),
        {"stride": (2, 3), "padding": (2, 1), "dilation": (2, 3), "groups": 2},
    ),
]:
    _expected = partial(conv2d, **_settings)
    case("conv2d", _label, partial(tg.conv2d, **_settings), (normal(*_x), normal(*_w)), _expected,
         torch_conv2d(_settings))  # fmt: skip
    if _label in _WITH_BIAS:
        case("conv2d", f"{_label}, bias".strip(", "), partial(tg.conv2d, **_settings),
             (normal(*_x), normal(*_w), normal(_w[0])), _expected, torch_conv2d(_settings))  # fmt: skip

for _x, _w, _settings in [
    ((2, 3, 4, 5), (4, 3, 3, 2), {"padding": 1}),
    ((1, 4, 5, 5), (4, 2, 3, 3), {"stride": 2, "groups": 2}),
]:
    for _bias in ((), (normal(_w[0]),)):
        case("conv2d", f"{_x} relu{', bias' * len(_bias)}",
             partial(tg.conv2d, **_settings, activation="relu"),
             (normal(*_x), normal(*_w), *_bias),
             lambda *arrays, how=_settings: np.maximum(conv2d(*arrays, **how), 0),
             lambda torch, *arrays, how=_settings: torch.relu(torch_conv2d(how)(torch, *arrays)))  # fmt: skip

_CONSTANT = np.random.default_rng(8).standard_normal((2, 2, 3, 4))
case("conv2d", "constant images", lambda w: tg.conv2d(_CONSTANT.astype(w.dtype), w, padding=1),
     normal(3, 2, 2, 3), lambda w: conv2d(_CONSTANT, w, padding=1),
     lambda torch, w: torch.nn.functional.conv2d(
         torch.tensor(_CONSTANT, dtype=w.dtype), w, padding=1))  # fmt: skip
case("conv2d", "constant weight", lambda x: tg.conv2d(x, _CONSTANT.astype(x.dtype), stride=2),
     normal(1, 2, 5, 6), lambda x: conv2d(x, _CONSTANT, stride=2),
     lambda torch, x: torch.nn.functional.conv2d(
         x, torch.tensor(_CONSTANT, dtype=x.dtype), stride=2))  # fmt: skip
case("conv2d", "one array twice", lambda a: tg.conv2d(a, a, padding=1), normal(2, 2, 2, 3),
     lambda a: conv2d(a, a, padding=1),
     lambda torch, a: torch.nn.functional.conv2d(a, a, padding=1))  # fmt: skip
case("conv2d", "no channels", tg.conv2d, (normal(2, 0, 3, 3), normal(2, 0, 2, 2)), conv2d,
     "PyTorch refuses images without channels")  # fmt: skip


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


for _label, _x, _w, _settings in [
    ("", (2, 2, 5), (3, 2, 3), {}),
    ("stride", (2, 2, 6), (3, 2, 3), {"stride": 2}),
    ("padding, dilation", (1, 2, 5), (2, 2, 3), {"padding": 2, "dilation": 2}),
    ("same", (1, 2, 4), (2, 2, 3), {"padding": "same"}),
    ("valid", (1, 2, 4), (2, 2, 2), {"padding": "valid"}),
    ("groups", (2, 4, 4), (6, 2, 2), {"groups": 2, "padding": 1}),
    ("depthwise", (2, 3, 4), (3, 1, 3), {"groups": 3, "stride": 3, "padding": 1}),
    ("1", (2, 3, 4), (2, 3, 1), {}),
    ("kernel as long as the sequence", (2, 1, 4), (2, 1, 4), {}),
    ("no sequences", (0, 2, 4), (3, 2, 2), {}),
]:
    for _bias in (False, True) if _label in _WITH_BIAS else (False,):
        case("conv1d", f"{_label}{', bias' * _bias}".strip(", "), partial(tg.conv1d, **_settings),
             (normal(*_x), normal(*_w), *[normal(_w[0])] * _bias), partial(conv1d, **_settings),
             lambda torch, *a, s=_settings: torch.nn.functional.conv1d(*a, **s))  # fmt: skip

for _label, _x, _w, _settings in [
    ("", (2, 2, 2, 3), (2, 3, 3, 2), {}),
    ("stride", (2, 2, 2, 3), (2, 3, 3, 3), {"stride": 2}),
    ("stride beyond the kernel", (1, 2, 2, 3), (2, 1, 2, 2), {"stride": 3}),
    ("padding", (1, 2, 3, 2), (2, 3, 3, 4), {"padding": (1, 2)}),
    ("padding, stride", (1, 2, 3, 2), (2, 2, 3, 3), {"padding": 1, "stride": (2, 3)}),
    ("output_padding", (1, 2, 2, 2), (2, 2, 2, 3), {"stride": 2, "output_padding": 1}),
    (
        "output_padding of two, padding",
        (1, 2, 2, 3),
        (2, 2, 3, 3),
        {"stride": (3, 2), "padding": 1, "output_padding": (2, 0)},
    ),
    ("dilation", (1, 2, 2, 3), (2, 2, 2, 3), {"dilation": (2, 1)}),
    ("output_padding up to the dilation", (2, 2, 2, 3), (2, 2, 2, 2), {"dilation": 3, "output_padding": 2}),
    ("groups", (2, 4, 2, 2), (4, 3, 2, 2), {"groups": 2}),
    ("depthwise", (1, 3, 2, 3), (3, 1, 2, 2), {"groups": 3, "stride": 2}),
    ("1x1", (2, 3, 2, 3), (3, 2, 1, 1), {}),
    ("one pixel", (2, 2, 1, 1), (2, 2, 3, 2), {}),
    ("no images", (0, 2, 2, 3), (2, 3, 2, 2), {"stride": 2}),
    (
        "everything",
        (2, 4, 2, 3),
        (4, 1, 3, 2),
        {"stride": (3, 2), "padding": (2, 1), "output_padding": (1, 1), "dilation": (2, 3), "groups": 2},
    ),
]:
    for _bias in (False, True) if _label in _WITH_BIAS else (False,):
        case("conv_transpose2d", f"{_label}{', bias' * _bias}".strip(", "),
             partial(tg.conv_transpose2d, **_settings),
             (normal(*_x), normal(*_w), *[normal(_w[1] * _settings.get("groups", 1))] * _bias),
             partial(conv_transpose2d, **_settings),
             lambda torch, *a, s=_settings: torch.nn.functional.conv_transpose2d(*a, **s))  # fmt: skip

for _shape in [(2, 3, 2, 2), (1, 2, 3, 1), (0, 3, 2, 2)]:
    case("_channel_sums", f"{_shape}", PRIMITIVES["_channel_sums"], normal(*_shape),
         lambda gy: gy.sum((0, 2, 3)), lambda torch, gy: gy.sum((0, 2, 3)))  # fmt: skip

for _label, _size, _w, _stride, _padding, _dilation, _groups in [
    ("", (4, 3), (3, 2, 2, 3), 1, 0, 1, 1),
    ("stride, left over, padding", (6, 4), (2, 2, 3, 2), (3, 2), 1, 1, 1),
    ("different on each side", (3, 4), (2, 2, 2, 2), (2, 1), ((0, 1), (2, 0)), 1, 1),
    ("skipping pixels, groups, dilation", (6, 5), (4, 1, 2, 2), (4, 3), (1, 1), (2, 1), 2),
    ("no images", (3, 3), (2, 2, 2, 2), 1, 0, 1, 1),
]:
    _count = windows(_size, _w[2:], _stride, _padding, _dilation)
    _n = 0 if _label == "no images" else 2
    _images, _outputs = normal(_n, _w[1] * _groups, *_size), normal(_n, _w[0], *_count)
    _settings = {"stride": both(_stride), "dilation": both(_dilation), "groups": _groups}
    _ours = {**_settings, "padding": around(_padding)}
    _symmetric = all(before == after for before, after in around(_padding))
    _theirs = {**_settings, "padding": tuple(before for before, _ in around(_padding))}
    case("_conv2d", _label, partial(PRIMITIVES["_conv2d"], **_ours), (_images, normal(*_w)),
         partial(conv2d, **_ours),
         torch_conv2d(_theirs) if _symmetric else "PyTorch pads both sides alike")  # fmt: skip
    case("_conv2d_input", _label, partial(PRIMITIVES["_conv2d_input"], size=_size, **_ours),
         (_outputs, normal(*_w)), partial(conv2d_input, size=_size, **_ours),
         (lambda torch, g, w, shape=_images.shape, s=_theirs: torch.nn.grad.conv2d_input(shape, w, g, **s))
         if _symmetric else "PyTorch pads both sides alike")  # fmt: skip
    case("_conv2d_weight", _label, partial(PRIMITIVES["_conv2d_weight"], size=_w[2:], **_ours),
         (_images, _outputs), partial(conv2d_weight, size=_w[2:], **_ours),
         (lambda torch, x, g, shape=_w, s=_theirs: torch.nn.grad.conv2d_weight(x, shape, g, **s))
         if _symmetric else "PyTorch pads both sides alike")  # fmt: skip

# --- Pooling ---------------------------------------------------------------------------------


def winners(
    x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Iterator[tuple[int, int, Pair, Pair]]:
    """Yield each window of each image and channel, and the first of its greatest elements."""
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
    """Take each window's mean over its elements, or over its places in the padded image."""
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


_POOLS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("2", (2, 2, 4, 6), {"kernel_size": 2}),
    ("2, left over", (1, 2, 5, 3), {"kernel_size": 2}),
    ("of two", (1, 2, 4, 6), {"kernel_size": (2, 3)}),
    ("overlapping", (1, 2, 4, 5), {"kernel_size": 3, "stride": 1}),
    ("overlapping, stride of two", (1, 1, 5, 6), {"kernel_size": (3, 2), "stride": (2, 1)}),
    ("skipping pixels", (1, 2, 5, 6), {"kernel_size": 2, "stride": 3}),
    ("padding", (2, 1, 3, 4), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("padding of two", (1, 1, 4, 5), {"kernel_size": (2, 4), "padding": (0, 2), "stride": 1}),
    ("as large as the image", (2, 2, 3, 2), {"kernel_size": (3, 2)}),
    ("1", (1, 2, 2, 3), {"kernel_size": 1}),
    ("1, stride", (1, 2, 3, 3), {"kernel_size": 1, "stride": 2}),
    ("ceil_mode", (1, 2, 5, 4), {"kernel_size": 2, "ceil_mode": True}),
    ("ceil_mode, nothing left over", (1, 2, 4, 6), {"kernel_size": 2, "ceil_mode": True}),
    ("ceil_mode, overlapping", (1, 1, 6, 5), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    (
        "ceil_mode, padding",
        (1, 1, 4, 5),
        {"kernel_size": 3, "stride": 2, "padding": (1, 0), "ceil_mode": True},
    ),
    (
        "ceil_mode, beyond the padding",
        (1, 2, 6, 7),
        {"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": True},
    ),
    ("ceil_mode, the last begins beyond", (1, 1, 3, 4), {"kernel_size": 1, "stride": 4, "ceil_mode": True}),
    (
        "ceil_mode, the last begins in the padding",
        (1, 1, 3, 5),
        {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
    ),
    ("no images", (0, 2, 4, 3), {"kernel_size": 2, "padding": 1}),
    ("no channels", (2, 0, 4, 3), {"kernel_size": 2}),
]


def pooled(settings: dict[str, Any]) -> dict[str, Any]:
    """Name a pool's settings as the loops above do."""
    return {"kernel" if name == "kernel_size" else name: value for name, value in settings.items()}


for _label, _shape, _settings in [
    *_POOLS,
    ("dilation", (1, 2, 5, 4), {"kernel_size": 2, "stride": 1, "dilation": (3, 2)}),
    ("dilation, padding", (1, 1, 4, 5), {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 1}),
    (
        "dilation, ceil_mode",
        (1, 1, 6, 6),
        {"kernel_size": 2, "stride": (3, 2), "dilation": (2, 3), "ceil_mode": True},
    ),
]:
    case("max_pool2d", _label, partial(tg.max_pool2d, **_settings), distinct(*_shape),
         partial(max_pool2d, **pooled(_settings)),
         "PyTorch refuses images without channels" if _label == "no channels" else
         lambda torch, x, s=_settings: torch.nn.functional.max_pool2d(x, **s))  # fmt: skip
for _label, _shape, _settings in [
    *_POOLS,
    *[
        (f"{label}, elements only", shape, {**settings, "count_include_pad": False})
        for label, shape, settings in _POOLS
        if "padding" in settings or settings.get("ceil_mode")
    ],
]:
    case("avg_pool2d", _label, partial(tg.avg_pool2d, **_settings), normal(*_shape),
         partial(avg_pool2d, **pooled(_settings)),
         "PyTorch refuses images without channels" if "no channels" in _label else
         lambda torch, x, s=_settings: torch.nn.functional.avg_pool2d(x, **s))  # fmt: skip

_TIES = np.array([[1.0, 2.0, 2.0, 0.0], [2.0, 2.0, 0.0, 0.0], [-1.0, -1.0, 3.0, 3.0]])[None, None]
_INFINITE = np.array([[-np.inf, 0.0, 1.0], [2.0, 2.0, -1.0], [-np.inf, 0.0, 3.0]])[None, None]
for _label, _values, _settings in [
    ("ties", _TIES, {"kernel_size": 2, "stride": 1}),
    ("ties, padding", -_TIES, {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("all equal", np.zeros((1, 1, 3, 3)), {"kernel_size": 2, "stride": 1, "padding": 1}),
    ("minus infinity", _INFINITE, {"kernel_size": 2, "padding": 1, "stride": 2}),
]:
    _geometry = (_settings["kernel_size"], _settings["stride"], _settings.get("padding", 0), 1, False)
    case("max_pool2d", _label, partial(tg.max_pool2d, **_settings), fixed(_values),
         partial(max_pool2d, **pooled(_settings)),
         "no tolerance is relative to an infinite value" if _label == "minus infinity" else
         lambda torch, x, s=_settings: torch.nn.functional.max_pool2d(x, **s), smooth=0,
         gradient=lambda x, s=_settings, geometry=_geometry: [
             max_pool2d_vjp(np.ones(max_pool2d(x, **pooled(s)).shape), x, *geometry)])  # fmt: skip


def _torch_pool_indices(torch: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    return torch.nn.functional.max_pool2d(x, kernel, stride, padding, dilation, return_indices=True)[1]


def _torch_max_pool2d_vjp(torch: Any, g: Any, x: Any, *geometry: Any) -> Any:
    indices = _torch_pool_indices(torch, x, *geometry).flatten(2)
    return torch.zeros_like(x).flatten(2).scatter_add(2, indices, g.flatten(2)).reshape(x.shape)


def _torch_max_pool2d_gather(torch: Any, a: Any, x: Any, *geometry: Any) -> Any:
    indices = _torch_pool_indices(torch, x, *geometry)
    return a.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)


for _label, _shape, _kernel, _stride, _padding, _dilation in [
    ("", (2, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1)),
    ("overlapping, padding, left over", (1, 2, 4, 5), (3, 2), (2, 1), (1, 1), (1, 1)),
    ("dilation", (1, 1, 4, 5), (2, 3), (1, 1), (1, 0), (3, 2)),
    ("skipping pixels", (1, 1, 4, 5), (1, 2), (2, 3), (0, 0), (1, 1)),
    ("no images", (0, 2, 3, 3), (2, 2), (1, 1), (0, 0), (1, 1)),
]:
    _count = windows(_shape[2:], _kernel, _stride, _padding, _dilation)
    _window = normal(*_shape[:2], *_count)
    _loops = (_kernel, _stride, _padding, _dilation, False)
    _theirs = (_kernel, _stride, _padding, _dilation)
    _settings = {"kernel": _kernel, "stride": _stride, "padding": around(_padding), "count": _count}
    _dilated = {**_settings, "dilation": _dilation}
    case("_max_pool2d", _label, partial(PRIMITIVES["_max_pool2d"], **_dilated), distinct(*_shape),
         partial(max_pool2d, kernel=_kernel, stride=_stride, padding=_padding, dilation=_dilation),
         lambda torch, x, s=_theirs: torch.nn.functional.max_pool2d(x, *s))  # fmt: skip
    case("_max_pool2d_vjp", _label, partial(PRIMITIVES["_max_pool2d_vjp"], **_dilated),
         (_window, distinct(*_shape)), lambda g, x, s=_loops: max_pool2d_vjp(g, x, *s),
         lambda torch, g, x, s=_theirs: _torch_max_pool2d_vjp(torch, g, x, *s))  # fmt: skip
    case("_max_pool2d_gather", _label, partial(PRIMITIVES["_max_pool2d_gather"], **_dilated),
         (normal(*_shape), distinct(*_shape)), lambda a, x, s=_loops: max_pool2d_gather(a, x, *s),
         lambda torch, a, x, s=_theirs: _torch_max_pool2d_gather(torch, a, x, *s))  # fmt: skip
    if _dilation == (1, 1):
        _area = math.prod(_kernel)
        case("_sum_pool2d", _label, partial(PRIMITIVES["_sum_pool2d"], **_settings), normal(*_shape),
             lambda x, s=_settings: sum_pool2d(x, s["kernel"], s["stride"], s["padding"]),
             lambda torch, x, k=_kernel, s=_stride, p=_padding: torch.nn.functional.avg_pool2d(
                 x, k, s, p, divisor_override=1))  # fmt: skip
        del _settings["count"]
        case("_sum_pool2d_input", _label,
             partial(PRIMITIVES["_sum_pool2d_input"], size=_shape[2:], **_settings), _window,
             lambda g, n=_shape[2:], s=_settings: sum_pool2d_input(
                 g, n, s["kernel"], s["stride"], s["padding"]),
             lambda torch, g, n=_shape, k=_kernel, s=_stride, p=_padding: (
                 torch.ops.aten.avg_pool2d_backward(
                     g, g.new_zeros(n), k, s, p, False, True, 1)))  # fmt: skip


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


for _shape in [(2, 3, 2, 3), (1, 2, 1, 1), (0, 2, 2, 2)]:
    case("global_avg_pool2d", f"{_shape}", tg.global_avg_pool2d, normal(*_shape),
         lambda x: np.mean(x, (2, 3), keepdims=True),
         lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1))  # fmt: skip


def adaptive_avg_pool2d(x: np.ndarray, output_size: Any) -> np.ndarray:
    rows, columns = both(output_size)
    y = np.zeros((*x.shape[:2], rows, columns))
    for p, q in np.ndindex(rows, columns):
        top, bottom = math.floor(p * x.shape[2] / rows), math.ceil((p + 1) * x.shape[2] / rows)
        left, right = math.floor(q * x.shape[3] / columns), math.ceil((q + 1) * x.shape[3] / columns)
        y[:, :, p, q] = x[:, :, top:bottom, left:right].mean((2, 3))
    return y


for _shape, _to in [
    ((2, 2, 4, 6), 2),
    ((1, 2, 5, 3), (2, 2)),
    ((1, 2, 5, 7), (3, 4)),
    ((2, 2, 3, 2), 1),
    ((1, 2, 3, 4), (3, 4)),
    ((1, 2, 2, 3), (5, 4)),
    ((1, 1, 3, 5), (7, 2)),
    ((0, 2, 4, 3), 2),
]:
    case("adaptive_avg_pool2d", f"{_shape} to {_to}", partial(tg.adaptive_avg_pool2d, output_size=_to),
         normal(*_shape), partial(adaptive_avg_pool2d, output_size=_to),
         lambda torch, x, n=_to: torch.nn.functional.adaptive_avg_pool2d(x, n))  # fmt: skip

# --- Resizing and taking apart ---------------------------------------------------------------


def interpolate(
    x: np.ndarray,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> np.ndarray:
    """Look each new pixel up where it lies among the old ones, with edges that go on forever."""
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


for _shape, _settings in [
    ((2, 2, 2, 3), {"scale_factor": 2}),
    ((1, 2, 3, 4), {"scale_factor": (2, 0.5)}),
    ((1, 1, 3, 5), {"scale_factor": (1.5, 0.7)}),
    ((1, 2, 4, 6), {"scale_factor": 0.5}),
    ((1, 2, 3, 4), {"scale_factor": 1}),
    ((1, 2, 2, 3), {"size": 5}),
    ((1, 1, 5, 4), {"size": (3, 7)}),
    ((1, 2, 4, 3), {"size": (1, 1)}),
    ((1, 2, 1, 1), {"size": (2, 3)}),
    ((1, 1, 1, 2), {"size": (1, 98)}),
    ((0, 2, 2, 2), {"size": 3}),
]:
    for _more in (
        {"mode": "nearest"},
        {"mode": "bilinear"},
        {"mode": "bilinear", "align_corners": True},
    ):
        _how = {**_settings, **_more}
        case("interpolate", f"{_shape} {', '.join(f'{k} {v}' for k, v in _how.items())}",
             partial(tg.interpolate, **_how), normal(*_shape), partial(interpolate, **_how),
             lambda torch, x, s=_how: torch.nn.functional.interpolate(x, **s))  # fmt: skip


def unfold(
    x: np.ndarray, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> np.ndarray:
    kernel = both(kernel_size)
    geometry = (x.shape[2:], kernel, stride, padding, dilation)
    y = np.zeros((*x.shape[:2], *kernel, *windows(*geometry)))
    for (p, q), (i, j), (row, column) in places(*geometry):
        y[:, :, i, j, p, q] = x[:, :, row, column]
    return y.reshape(len(x), x.shape[1] * kernel[0] * kernel[1], math.prod(y.shape[4:]))


for _label, _shape, _settings in [
    ("2", (2, 2, 3, 4), {"kernel_size": 2}),
    ("of two, stride", (1, 2, 4, 5), {"kernel_size": (2, 3), "stride": (1, 2)}),
    ("padding", (1, 2, 3, 2), {"kernel_size": 3, "padding": (1, 2)}),
    ("dilation", (1, 2, 5, 4), {"kernel_size": 2, "dilation": (3, 2)}),
    ("skipping pixels, left over", (1, 1, 5, 6), {"kernel_size": 2, "stride": (3, 4)}),
    ("everything", (2, 2, 4, 5), {"kernel_size": (3, 2), "stride": 2, "padding": (2, 1), "dilation": (2, 3)}),
    ("1", (1, 2, 2, 3), {"kernel_size": 1}),
    ("as large as the image", (2, 2, 2, 3), {"kernel_size": (2, 3)}),
    ("no images", (0, 2, 3, 3), {"kernel_size": 2}),
]:
    case("unfold", _label, partial(tg.unfold, **_settings), normal(*_shape), partial(unfold, **_settings),
         lambda torch, x, s=_settings: torch.nn.functional.unfold(x, **s))  # fmt: skip
