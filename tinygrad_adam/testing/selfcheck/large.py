"""Calls of a size at which fast kernels are used: in pieces for several threads, in many blocks of a GPU.

No size is a multiple of the size of a block, a tile or a piece. A test checks that the calls together reach
every kernel of every fast set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import ops
from .calls import Call, call, distinct, normal
from .images import around, count


def large_calls() -> Iterator[Call]:
    """One call or more for each kernel."""
    rng = np.random.default_rng(0)
    yield call("relu", "large", normal(600, 701))
    yield call("dropout", "large", normal(600, 701), p=0.3, key=11)
    yield call("erf", "large", normal(300, 257))
    yield call("gelu", "large", normal(300, 257))
    yield call("matmul", "large", (normal(300, 257), normal(257, 129)))
    yield call("matmul", "large, stacked", (normal(5, 70, 65), normal(5, 65, 33)))
    for activation in (None, "relu"):
        yield call("linear", f"large, {activation}", (normal(257, 300), normal(129, 300), normal(129)),
                   activation=activation)  # fmt: skip
    weight = rng.uniform(0.5, 2.0, 37)
    labels = rng.integers(0, 37, 1003)
    labels[::7] = 5
    for reduction in ("mean", "none"):
        yield call("cross_entropy", f"large, {reduction}", normal(1003, 37),
                   target=labels, weight=weight, ignore_index=5, reduction=reduction)  # fmt: skip
    yield call("cross_entropy", "many classes", normal(7, 5003), target=rng.integers(0, 5003, 7))
    yield call("cross_entropy", "images", normal(3, 11, 20, 21), target=rng.integers(0, 11, (3, 20, 21)))
    yield call("cross_entropy", "large, label_smoothing", normal(1003, 37), target=labels,
               label_smoothing=0.1)  # fmt: skip
    yield call("softmax", "large", normal(301, 259))
    yield call("sum", "large", normal(517, 1031))
    yield call("sum", "large, axis 0", normal(517, 1031), axis=0)
    yield call("mean", "large, axis 1", normal(517, 1031), axis=1)
    yield call("max", "large, axis 1", distinct(257, 129), axis=1)
    yield call("getitem", "rows of a table", normal(503, 33), index=rng.integers(0, 503, (40, 50)))
    yield call("getitem", "the same row again and again", normal(5, 33), index=rng.integers(0, 5, 3001))
    yield call("getitem", "elements", normal(503, 33),
               index=(rng.integers(0, 503, 2003), rng.integers(0, 33, 2003)))  # fmt: skip
    yield from _convolutions()
    yield from _pools()
    yield from _normalizations()


def _convolutions() -> Iterator[Call]:
    yield call("conv2d", "3x3 filters", (normal(5, 16, 19, 21), normal(24, 16, 3, 3), normal(24)), padding=1)
    yield call("conv2d", "5x5 filters", (normal(3, 17, 18, 15), normal(19, 17, 5, 5), normal(19)), padding=2)
    yield call("conv2d", "5x5 filters, ReLU", (normal(3, 17, 18, 15), normal(19, 17, 5, 5), normal(19)),
               padding=2, activation="relu")  # fmt: skip
    yield call("conv2d", "4x4 filters", (normal(3, 16, 11, 13), normal(16, 16, 4, 4)))
    yield call("conv2d", "one channel", (normal(9, 1, 28, 28), normal(32, 1, 5, 5), normal(32)), padding=2)
    yield call("conv2d", "large, stride", (normal(5, 7, 23, 22), normal(18, 7, 3, 3), normal(18)),
               stride=2, padding=1)  # fmt: skip
    yield call("conv2d", "large, 1x1", (normal(5, 33, 13, 14), normal(21, 33, 1, 1), normal(21)))
    yield call("conv2d", "large, 1x1, stride", (normal(5, 33, 13, 14), normal(21, 33, 1, 1)), stride=2)
    yield call("conv2d", "large, groups", (normal(3, 12, 17, 16), normal(18, 4, 3, 3), normal(18)),
               groups=3, padding=1)  # fmt: skip
    yield call("conv2d", "large, depthwise", (normal(3, 20, 17, 16), normal(20, 1, 3, 3)),
               groups=20, padding=1)  # fmt: skip
    yield call("conv2d", "large, dilation", (normal(3, 6, 17, 19), normal(10, 6, 3, 3)), dilation=(2, 3))
    yield call("conv1d", "large", (normal(5, 9, 203), normal(13, 9, 7), normal(13)), padding=3)
    yield call("conv_transpose2d", "large", (normal(3, 14, 11, 13), normal(14, 9, 4, 4), normal(9)),
               stride=2, padding=1)  # fmt: skip


def _pools() -> Iterator[Call]:
    yield call("max_pool2d", "large, 2", distinct(3, 13, 28, 30), kernel_size=2)
    yield call(
        "max_pool2d", "large, overlapping", distinct(3, 13, 27, 29), kernel_size=3, stride=2, padding=1
    )
    yield call("avg_pool2d", "large, 2", normal(3, 13, 28, 30), kernel_size=2)
    yield call("avg_pool2d", "large, overlapping", normal(3, 13, 27, 29), kernel_size=3, stride=2, padding=1)
    yield call("adaptive_avg_pool2d", "large", normal(3, 13, 27, 29), output_size=5)
    windows = count((27, 29), (3, 3), 2, 1, 1)
    yield call("_max_pool2d_gather", "large", (normal(3, 13, 27, 29), distinct(3, 13, 27, 29)), kernel=(3, 3),
               stride=(2, 2), padding=around(1), dilation=(1, 1), count=windows)  # fmt: skip


def _normalizations() -> Iterator[Call]:
    affine = (normal(13), normal(13))
    yield call("batch_norm", "large", (normal(7, 13, 19, 17), *affine),
               lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True))  # fmt: skip
    yield call("batch_norm", "large, rows", (normal(1003, 13), *affine),
               lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True))  # fmt: skip
    yield call("layer_norm", "large", (normal(301, 259), normal(259), normal(259)),
               lambda x, w, b: ops.layer_norm(x, (259,), w, b))  # fmt: skip
    yield call("group_norm", "large", (normal(7, 12, 19, 17), normal(12), normal(12)),
               lambda x, w, b: ops.group_norm(x, 3, w, b))  # fmt: skip


LARGE: list[Call] = list(large_calls())
