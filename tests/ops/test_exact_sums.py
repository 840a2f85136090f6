"""Sums in float32 lose as little along any axis as along the last, in operations, rules and kernels.

The terms are all 0.1, so that closed forms are the oracle: added one by one, 200,000 of them are 0.2 % off.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, ops
from tinygrad_adam.backend import sums
from tinygrad_adam.engine.graph import PRIMITIVES

N = 200_000
TENTH = np.float64(np.float32(0.1))


def tenths(*shape):
    return np.full(shape, 0.1, np.float32)


def pulled(function, *arrays):
    """Return the gradient of the first array where that of every output is 0.1."""
    leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = function(*leaves)
    out.backward(tenths(*out.shape))
    grad = leaves[0].grad
    return grad.to_dense() if isinstance(grad, tg.RowSparse) else grad.numpy()


def bias_gradient(reserved):
    layer = nn.Linear(2, 3)
    if reserved:
        layer.bias._grad_buffer = np.zeros(3, np.float32)
    layer(tg.tensor(tenths(N, 2))).backward(tenths(N, 3))
    assert (layer.bias.grad.data is layer.bias._grad_buffer) == reserved
    return layer.bias.grad.numpy()


def row_sparse(rows):
    gradient = tg.RowSparse(np.zeros(rows, int), tenths(rows, 2), (3, 2))
    return (gradient + gradient).values / 2


def many_classes():
    """Let each of the others be a tenth as likely as the label."""
    logits = np.full((1, N), math.log(0.1), np.float32)
    logits[0, 0] = 0
    return (math.exp(tg.cross_entropy(tg.tensor(logits), np.array([0])).item()) - 1) / (N - 1)


def batch_statistics():
    layer = nn.BatchNorm1d(3, momentum=1.0)
    layer(tg.tensor(tenths(N, 3)))
    return layer.running_mean.numpy()


ROWS, IMAGES = tenths(N, 3), tenths(N // 4, 2, 2, 2)
SINGLE, ZEROS = np.zeros(3, np.float32), np.zeros(N, np.int64)
SUMS = {
    "sum over rows": lambda: tg.sum(ROWS, axis=0) / N,
    "sum over columns of a transposed array": lambda: tg.sum(ROWS.T, axis=1) / N,
    "sum over all but channels": lambda: tg.sum(IMAGES, axis=(0, 2, 3)) / N,
    "sum of a part": lambda: tg.sum(tenths(N, 4)[:, :3]) / (3 * N),
    "sum of every other row, backwards": lambda: tg.sum(tenths(2 * N, 3)[::-2], axis=0) / N,
    "sum over the middle": lambda: tg.sum(tenths(2, N, 2), axis=1, keepdims=True) / N,
    "mean": lambda: tg.mean(ROWS, axis=0),
    "norm of order 1": lambda: tg.norm(ROWS, 1, axis=0) / N,
    "norm of order 2": lambda: tg.norm(ROWS, 2, axis=0) / math.sqrt(N),
    "norm of order 3": lambda: tg.norm(ROWS, 3, axis=0) / N ** (1 / 3),
    "logsumexp": lambda: tg.logsumexp(ROWS, axis=0) - math.log(N),
    "softmax": lambda: tg.softmax(ROWS, axis=0)[0] * N * TENTH,
    "log_softmax": lambda: np.exp(tg.log_softmax(ROWS, axis=0)[0] + math.log(N)) * TENTH,
    "classes of cross_entropy": many_classes,
    "cumulative sum": lambda: tg.cumsum(ROWS, axis=0)[-1] / N,
    "gradient of a cumulative sum": lambda: pulled(lambda x: ops.cumsum(x, axis=0), ROWS)[0] / N,
    "einsum": lambda: tg.einsum("bi,bj->ij", ROWS, np.ones_like(ROWS)) / N,
    "broadcasting undone": lambda: pulled(lambda x: x + ROWS, SINGLE) / N,
    "broadcasting undone, of a row kept": lambda: pulled(lambda x: x + ROWS, SINGLE[None]) / N,
    "broadcast_to": lambda: pulled(lambda x: ops.broadcast_to(x, shape=(N, 3)), SINGLE) / N,
    "bias of Linear": lambda: bias_gradient(reserved=False) / N,
    "bias of Linear, in its place": lambda: bias_gradient(reserved=True) / N,
    "bias of conv2d": lambda: (
        pulled(lambda b: tg.conv2d(IMAGES, tenths(3, 2, 1, 1), b), SINGLE) / N
    ),
    "sums of channels": lambda: PRIMITIVES["channel_sums"](IMAGES) / N,
    "products of channels": lambda: PRIMITIVES["channel_products"](IMAGES, np.ones_like(IMAGES)) / N,
    "bias of layer_norm": lambda: pulled(lambda b: tg.layer_norm(ROWS, (3,), None, b), SINGLE) / N,
    "statistics of a batch": batch_statistics,
    "rows of a table": lambda: pulled(lambda w: w[ZEROS], tenths(3, 2))[0] / N,
    "columns of a table": lambda: pulled(lambda w: w[:, ZEROS], tenths(2, 3))[:, 0] / N,
    "rows of an Embedding": lambda: (
        pulled(lambda w: nn.functional.embedding(tg.tensor(ZEROS), w), tenths(3, 2))[0] / N
    ),
    "row-sparse sums": lambda: row_sparse(N) / N,
    "a pool of large windows": lambda: tg.avg_pool2d(tenths(1, 1, 450, 450), 450),
    "adaptive pool": lambda: tg.adaptive_avg_pool2d(tenths(1, 1, 450, 450), 1),
}  # fmt: skip


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", SUMS)
def test_many_terms_are_added_exactly(name, kernels):
    with tg.use_kernels(kernels):
        found = np.asarray(SUMS[name]())
    np.testing.assert_allclose(found, TENTH, rtol=4e-6)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_variance_of_many_rows(kernels):
    """Half of the rows are 0.1 above and half below 1."""
    x = np.float32(1) + np.where(np.arange(N)[:, None] % 2, tenths(N, 3), -tenths(N, 3))
    with tg.use_kernels(kernels):
        scaled = tg.batch_norm(x, training=True, eps=0.0) * np.float32(0.1)
        for found in (tg.var(x, axis=0), tg.std(x, axis=0) ** 2, scaled[0] ** 2):
            np.testing.assert_allclose(found, TENTH**2, rtol=1e-5)


def layouts():
    """Yield arrays of many shapes and orders in memory, with axes to reduce."""
    rng = np.random.default_rng(0)
    while True:
        ndim = int(rng.integers(1, 5))
        shape = rng.choice([1, 2, 3, 130, 300], ndim, p=[0.1, 0.2, 0.2, 0.25, 0.25])
        if math.prod(shape) > 100_000:
            continue
        a = rng.standard_normal(shape).astype(np.float32).transpose(rng.permutation(ndim))
        if rng.random() < 0.4:
            a = a[tuple(slice(None, None, int(rng.choice([1, 2, -1]))) for _ in range(ndim))]
        if rng.random() < 0.2:
            a = np.broadcast_to(a[:1], a.shape)
        axes = tuple(int(axis) for axis in rng.permutation(ndim)[: rng.integers(0, ndim + 1)])
        yield a, None if rng.random() < 0.1 else axes, bool(rng.random() < 0.5)


def test_any_layout_and_axes():
    for (a, axes, keepdims), _ in zip(layouts(), range(300), strict=False):
        wide = a.astype(np.float64)
        size = np.sum(np.abs(wide), axis=axes, keepdims=keepdims)
        for found, expected, scale in [
            (sums.total(np, a, axes, keepdims), np.sum(wide, axis=axes, keepdims=keepdims), size),
            (sums.mean(np, a, axes, keepdims), np.mean(wide, axis=axes, keepdims=keepdims), size),
            (sums.variance(np, a, axes, 0, keepdims), np.var(wide, axis=axes, keepdims=keepdims), size),
        ]:
            assert found.dtype == np.float32
            assert found.shape == expected.shape
            assert np.all(np.abs(found - expected) <= 2e-6 * scale), (a.shape, a.strides, axes)
