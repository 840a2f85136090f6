"""Every operation of images (convolution, pooling, resizing) and the ways to call it that matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import ops
from .calls import Call, call, distinct, fixed, normal


def row(*given: Any, **settings: Any) -> tuple[Any, ...]:
    """Make a row of a table: a label, inputs or their shapes, and the settings."""
    return *given, settings


def both(value: Any) -> Any:
    """Return a setting along both axes."""
    return value if isinstance(value, tuple) else (value, value)


def around(padding: Any) -> Any:
    """Return the padding before and after, along both axes."""
    rows, columns = both(padding)
    return both(rows), both(columns)


def geometry(stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> dict[str, Any]:
    """Return the settings of the primitives of a convolution, along both axes."""
    return {
        "stride": both(stride), "padding": around(padding), "dilation": both(dilation), "groups": groups
    }  # fmt: skip


def count(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, int]:
    """Count the windows along both axes."""
    axes = zip(size, kernel, both(stride), around(padding), both(dilation), strict=True)
    rows, columns = ((n + sum(pad) - d * (k - 1) - 1) // s + 1 for n, k, s, pad, d in axes)
    return rows, columns


CONVOLUTIONS = [
    row("", (2, 2, 4, 5), (3, 2, 3, 3)),
    row("stride", (1, 2, 5, 7), (2, 2, 3, 3), stride=2),
    row("stride, a row and a column left over", (2, 1, 4, 6), (2, 1, 3, 3), stride=2),
    row("stride of two", (1, 2, 4, 6), (2, 2, 2, 3), stride=(1, 3)),
    row("padding", (2, 2, 3, 4), (2, 2, 3, 3), padding=1),
    row("padding of two", (1, 2, 4, 3), (2, 2, 3, 2), padding=(0, 2)),
    row("padding wider than the kernel", (1, 1, 2, 2), (2, 1, 2, 2), padding=3),
    row("padding and stride, left over", (1, 2, 4, 5), (2, 2, 2, 4), padding=(1, 2), stride=(3, 2)),
    row("valid", (1, 2, 3, 4), (2, 2, 2, 2), padding="valid", stride=2),
    row("same", (1, 2, 3, 4), (2, 2, 3, 3), padding="same"),
    row("same, even kernel", (1, 2, 3, 4), (2, 2, 2, 4), padding="same"),
    row("same, dilation", (1, 1, 4, 5), (2, 1, 2, 3), padding="same", dilation=(3, 2)),
    row("dilation", (1, 2, 5, 6), (2, 2, 3, 2), dilation=2),
    row("dilation of two, padding", (1, 2, 4, 5), (2, 2, 2, 3), dilation=(3, 1), padding=1),
    row("groups", (2, 4, 3, 3), (6, 2, 2, 2), groups=2),
    row("depthwise", (2, 3, 4, 3), (3, 1, 2, 2), groups=3),
    row("depthwise, same", (1, 3, 4, 3), (3, 1, 3, 3), groups=3, padding="same"),
    row("depthwise, two filters for each channel", (1, 2, 3, 4), (4, 1, 2, 3), groups=2, stride=2),
    row("1x1", (2, 3, 2, 3), (4, 3, 1, 1)),
    row("1x1, stride", (2, 2, 3, 4), (3, 2, 1, 1), stride=2),
    row("1x1, groups", (1, 4, 2, 2), (2, 2, 1, 1), groups=2),
    row("1x1, padding", (1, 2, 2, 1), (2, 2, 1, 1), padding=1),
    row("kernel as large as the image", (2, 2, 3, 4), (3, 2, 3, 4)),
    row("kernel as large as the padded image", (2, 2, 2, 1), (3, 2, 4, 3), padding=1),
    row("stride beyond the kernel", (2, 2, 5, 6), (2, 2, 2, 2), stride=3),
    row("stride beyond the image", (1, 2, 4, 3), (2, 2, 2, 2), stride=9),
    row("even kernel", (2, 1, 5, 4), (2, 1, 4, 2)),
    row("one row", (2, 2, 1, 5), (2, 2, 1, 3)),
    row("one pixel", (3, 2, 1, 1), (2, 2, 1, 1)),
    row("one image, one channel", (1, 1, 3, 3), (1, 1, 2, 2)),
    row("no images", (0, 2, 4, 3), (3, 2, 2, 2), padding=1),
    row("no images, groups", (0, 4, 4, 3), (2, 2, 2, 2), groups=2),
    row("everything", (2, 4, 6, 7), (2, 2, 3, 2), stride=(2, 3), padding=(2, 1), dilation=(2, 3), groups=2),
]
WITH_RELU = [
    row((2, 3, 4, 5), (4, 3, 3, 2), padding=1),
    row((1, 4, 5, 5), (4, 2, 3, 3), stride=2, groups=2),
]
SEQUENCES = [
    row("", (2, 2, 5), (3, 2, 3)),
    row("stride", (2, 2, 6), (3, 2, 3), stride=2),
    row("padding, dilation", (1, 2, 5), (2, 2, 3), padding=2, dilation=2),
    row("same", (1, 2, 4), (2, 2, 3), padding="same"),
    row("valid", (1, 2, 4), (2, 2, 2), padding="valid"),
    row("groups", (2, 4, 4), (6, 2, 2), groups=2, padding=1),
    row("depthwise", (2, 3, 4), (3, 1, 3), groups=3, stride=3, padding=1),
    row("1", (2, 3, 4), (2, 3, 1)),
    row("kernel as long as the sequence", (2, 1, 4), (2, 1, 4)),
    row("no sequences", (0, 2, 4), (3, 2, 2)),
]
TRANSPOSED = [
    row("", (2, 2, 2, 3), (2, 3, 3, 2)),
    row("stride", (2, 2, 2, 3), (2, 3, 3, 3), stride=2),
    row("stride beyond the kernel", (1, 2, 2, 3), (2, 1, 2, 2), stride=3),
    row("padding", (1, 2, 3, 2), (2, 3, 3, 4), padding=(1, 2)),
    row("padding, stride", (1, 2, 3, 2), (2, 2, 3, 3), padding=1, stride=(2, 3)),
    row("output_padding", (1, 2, 2, 2), (2, 2, 2, 3), stride=2, output_padding=1),
    row("output_padding of two, padding", (1, 2, 2, 3), (2, 2, 3, 3), stride=(3, 2), padding=1,
        output_padding=(2, 0)),
    row("dilation", (1, 2, 2, 3), (2, 2, 2, 3), dilation=(2, 1)),
    row("output_padding up to the dilation", (2, 2, 2, 3), (2, 2, 2, 2), dilation=3, output_padding=2),
    row("groups", (2, 4, 2, 2), (4, 3, 2, 2), groups=2),
    row("depthwise", (1, 3, 2, 3), (3, 1, 2, 2), groups=3, stride=2),
    row("1x1", (2, 3, 2, 3), (3, 2, 1, 1)),
    row("one pixel", (2, 2, 1, 1), (2, 2, 3, 2)),
    row("all of it cut off", (1, 2, 2, 3), (2, 2, 1, 2), padding=(1, 0)),
    row("no images", (0, 2, 2, 3), (2, 3, 2, 2), stride=2),
    row("everything", (2, 4, 2, 3), (4, 1, 3, 2), stride=(3, 2), padding=(2, 1), output_padding=(1, 1),
        dilation=(2, 3), groups=2),
]  # fmt: skip
PIECES = [
    row("", (4, 3), (3, 2, 2, 3)),
    row("stride, left over, padding", (6, 4), (2, 2, 3, 2), stride=(3, 2), padding=1),
    row("different on each side", (3, 4), (2, 2, 2, 2), stride=(2, 1), padding=((0, 1), (2, 0))),
    row("skipping pixels, groups, dilation", (6, 5), (4, 1, 2, 2), stride=(4, 3), padding=1, dilation=(2, 1),
        groups=2),
    row("no images", (3, 3), (2, 2, 2, 2)),
]  # fmt: skip
WITH_BIAS = ("", "1x1", "groups", "no images", "no sequences", "everything")


def convolutions() -> Iterator[Call]:
    """Convolution and its transpose, and the primitives that they consist of."""
    for op, rows in [("conv2d", CONVOLUTIONS), ("conv1d", SEQUENCES), ("conv_transpose2d", TRANSPOSED)]:
        for label, x, w, settings in rows:
            yield call(op, label, (normal(*x), normal(*w)), **settings)
            if label in WITH_BIAS:
                channels = w[1] * settings.get("groups", 1) if op == "conv_transpose2d" else w[0]
                inputs = (normal(*x), normal(*w), normal(channels))
                yield call(op, f"{label}, bias".strip(", "), inputs, **settings)
    constant = np.random.default_rng(8).standard_normal((2, 2, 3, 4))
    yield call("conv2d", "constant images", normal(3, 2, 2, 3),
               lambda w, constant, padding: ops.conv2d(
                   ops.astype(constant, dtype=w.dtype), w, padding=padding),
               constant=constant, padding=1)  # fmt: skip
    yield call("conv2d", "constant weight", normal(1, 2, 5, 6),
               lambda x, constant, stride: ops.conv2d(x, ops.astype(constant, dtype=x.dtype), stride=stride),
               constant=constant, stride=2)  # fmt: skip
    yield call("conv2d", "one array twice", normal(2, 2, 2, 3),
               lambda a, padding: ops.conv2d(a, a, padding=padding), padding=1)  # fmt: skip
    for x, w, settings in WITH_RELU:
        for bias in ((), (normal(w[0]),)):
            yield call("conv2d", f"{x} ReLU{', bias' * len(bias)}", (normal(*x), normal(*w), *bias),
                       activation="relu", **settings)  # fmt: skip
    yield call("conv2d", "no channels", (normal(2, 0, 3, 3), normal(2, 0, 2, 2)))
    for x in [(2, 3, 2, 2), (1, 2, 3, 1), (0, 3, 2, 2)]:
        yield call("channel_sums", f"{x}", normal(*x))
        yield call("channel_products", f"{x}", (normal(*x), normal(*x)))
        for bias in ((), (normal(x[1]),)):
            yield call("scale_channels", f"{x}{', bias' * len(bias)}", (normal(*x), normal(x[1]), *bias))
    for label, size, w, settings in PIECES:
        n = 0 if label == "no images" else 2
        how = geometry(**settings)
        images = normal(n, w[1] * settings.get("groups", 1), *size)
        outputs = normal(n, w[0], *count(size, w[2:], how["stride"], how["padding"], how["dilation"]))
        yield call("_conv2d", label, (images, normal(*w)), **how)
        yield call("_conv2d_input", label, (outputs, normal(*w)), size=size, **how)
        yield call("_conv2d_weight", label, (images, outputs), size=w[2:], **how)


POOLS = [
    row("2", (2, 2, 4, 6), kernel_size=2),
    row("2, left over", (1, 2, 5, 3), kernel_size=2),
    row("of two", (1, 2, 4, 6), kernel_size=(2, 3)),
    row("overlapping", (1, 2, 4, 5), kernel_size=3, stride=1),
    row("overlapping, stride of two", (1, 1, 5, 6), kernel_size=(3, 2), stride=(2, 1)),
    row("skipping pixels", (1, 2, 5, 6), kernel_size=2, stride=3),
    row("padding", (2, 1, 3, 4), kernel_size=3, stride=2, padding=1),
    row("padding of two", (1, 1, 4, 5), kernel_size=(2, 4), padding=(0, 2), stride=1),
    row("as large as the image", (2, 2, 3, 2), kernel_size=(3, 2)),
    row("1", (1, 2, 2, 3), kernel_size=1),
    row("1, stride", (1, 2, 3, 3), kernel_size=1, stride=2),
    row("ceil_mode", (1, 2, 5, 4), kernel_size=2, ceil_mode=True),
    row("ceil_mode, nothing left over", (1, 2, 4, 6), kernel_size=2, ceil_mode=True),
    row("ceil_mode, overlapping", (1, 1, 6, 5), kernel_size=3, stride=2, ceil_mode=True),
    row("ceil_mode, padding", (1, 1, 4, 5), kernel_size=3, stride=2, padding=(1, 0), ceil_mode=True),
    row("ceil_mode, beyond the padding", (1, 2, 6, 7), kernel_size=4, stride=3, padding=1, ceil_mode=True),
    row("ceil_mode, the last begins beyond", (1, 1, 3, 4), kernel_size=1, stride=4, ceil_mode=True),
    row("ceil_mode, the last begins in the padding", (1, 1, 3, 5), kernel_size=2, stride=2, padding=1,
        ceil_mode=True),
    row("ceil_mode, larger than the image", (1, 2, 2, 3), kernel_size=4, stride=3, ceil_mode=True),
    row("a large window", (1, 1, 13, 13), kernel_size=(12, 11), stride=(1, 2), padding=(0, 3)),
    row("no images", (0, 2, 4, 3), kernel_size=2, padding=1),
    row("no channels", (2, 0, 4, 3), kernel_size=2),
]  # fmt: skip
DILATED_POOLS = [
    row("dilation", (1, 2, 5, 4), kernel_size=2, stride=1, dilation=(3, 2)),
    row("dilation, padding", (1, 1, 4, 5), kernel_size=3, stride=2, dilation=2, padding=1),
    row("dilation, ceil_mode", (1, 1, 6, 6), kernel_size=2, stride=(3, 2), dilation=(2, 3), ceil_mode=True),
]


def pools() -> Iterator[Call]:
    """Pooling, and the primitives that it consists of."""
    for label, x, settings in [*POOLS, *DILATED_POOLS]:
        yield call("max_pool2d", label, distinct(*x), **settings)
    for label, x, settings in POOLS:
        yield call("avg_pool2d", label, normal(*x), **settings)
        if "padding" in settings or settings.get("ceil_mode"):
            name = f"{label}, elements only"
            yield call("avg_pool2d", name, normal(*x), count_include_pad=False, **settings)
    ties = np.array([[1.0, 2.0, 2.0, 0.0], [2.0, 2.0, 0.0, 0.0], [-1.0, -1.0, 3.0, 3.0]])[None, None]
    infinite = np.array([[-np.inf, 0.0, 1.0], [2.0, 2.0, -1.0], [-np.inf, 0.0, 3.0]])[None, None]
    kinks = [
        row("ties", ties, kernel_size=2, stride=1),
        row("ties, padding", -ties, kernel_size=3, stride=2, padding=1),
        row("all equal", np.zeros((1, 1, 3, 3)), kernel_size=2, stride=1, padding=1),
        row("minus infinity", infinite, kernel_size=2, padding=1, stride=2),
    ]
    for label, values, settings in kinks:
        yield call("max_pool2d", label, fixed(values), **settings)
    for label, x, window in [
        row("", (2, 2, 4, 4), kernel=(2, 2), stride=(2, 2), padding=around(0)),
        row("overlapping, padding, left over", (1, 2, 4, 5), kernel=(3, 2), stride=(2, 1), padding=around(1)),
        row("dilation", (1, 1, 4, 5), kernel=(2, 3), stride=(1, 1), padding=around((1, 0)), dilation=(3, 2)),
        row("skipping pixels", (1, 1, 4, 5), kernel=(1, 2), stride=(2, 3), padding=around(0)),
        row("no images", (0, 2, 3, 3), kernel=(2, 2), stride=(1, 1), padding=around(0)),
    ]:
        dilated = {"dilation": (1, 1), **window}
        windows = count(x[2:], **dilated)
        of_windows = normal(*x[:2], *windows)
        yield call("_max_pool2d", label, distinct(*x), count=windows, **dilated)
        yield call("_max_pool2d_vjp", label, (of_windows, distinct(*x)), count=windows, **dilated)
        yield call("_max_pool2d_gather", label, (normal(*x), distinct(*x)), count=windows, **dilated)
        if "dilation" not in window:
            yield call("_sum_pool2d", label, normal(*x), count=windows, **window)
            yield call("_sum_pool2d_input", label, of_windows, size=x[2:], **window)
    for x in [(2, 3, 2, 3), (1, 2, 1, 1), (0, 2, 2, 2)]:
        yield call("global_avg_pool2d", f"{x}", normal(*x))
    for axis, n in [(2, 3), (3, 4)]:
        taps = [[(0, 0.5), (n - 1, -1.0)], [], [(1, 2.0)], [(1, 1.0), (0, 3.0), (2, -0.5)], [(2, 1.0)]]
        yield call("_mixed", f"axis {axis}", normal(2, 2, 3, 4), axis=axis, taps=taps)
    to: Any
    for x, to in [
        ((2, 2, 4, 6), 2), ((1, 2, 5, 3), (2, 2)), ((1, 2, 5, 7), (3, 4)), ((2, 2, 3, 2), 1),
        ((1, 2, 3, 4), (3, 4)), ((1, 2, 2, 3), (5, 4)), ((1, 1, 3, 5), (7, 2)), ((0, 2, 4, 3), 2),
    ]:  # fmt: skip
        yield call("adaptive_avg_pool2d", f"{x} to {to}", normal(*x), output_size=to)


RESIZED = [
    row((2, 2, 2, 3), scale_factor=2),
    row((1, 2, 3, 4), scale_factor=(2, 0.5)),
    row((1, 1, 3, 5), scale_factor=(1.5, 0.7)),
    row((1, 2, 4, 6), scale_factor=0.5),
    row((1, 2, 3, 4), scale_factor=1),
    row((1, 2, 2, 3), size=5),
    row((1, 1, 5, 4), size=(3, 7)),
    row((1, 2, 4, 3), size=(1, 1)),
    row((1, 2, 1, 1), size=(2, 3)),
    row((1, 1, 1, 2), size=(1, 98)),
    row((0, 2, 2, 2), size=3),
]


def resizing() -> Iterator[Call]:
    """Resizing images and taking them apart."""
    modes = [{"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}]
    for x, settings in RESIZED:
        for mode in modes:
            how = settings | mode
            shown = ", ".join(f"{k} {v}" for k, v in how.items())
            yield call("interpolate", f"{x} {shown}", normal(*x), **how)
    unfolded = [
        row("2", (2, 2, 3, 4), kernel_size=2),
        row("of two, stride", (1, 2, 4, 5), kernel_size=(2, 3), stride=(1, 2)),
        row("padding", (1, 2, 3, 2), kernel_size=3, padding=(1, 2)),
        row("dilation", (1, 2, 5, 4), kernel_size=2, dilation=(3, 2)),
        row("skipping pixels, left over", (1, 1, 5, 6), kernel_size=2, stride=(3, 4)),
        row("everything", (2, 2, 4, 5), kernel_size=(3, 2), stride=2, padding=(2, 1), dilation=(2, 3)),
        row("1", (1, 2, 2, 3), kernel_size=1),
        row("as large as the image", (2, 2, 2, 3), kernel_size=(2, 3)),
        row("no images", (0, 2, 3, 3), kernel_size=2),
    ]
    for label, x, settings in unfolded:
        yield call("unfold", label, normal(*x), **settings)


IMAGE_OPERATIONS: list[Call] = [*convolutions(), *pools(), *resizing()]
