"""Operations take NumPy's numbers as Python's: as settings, and as indices and labels of any width."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_adam as tg
from tinygrad_adam import nn, ops

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
IMAGES = np.random.default_rng(1).standard_normal((2, 4, 6, 6)).astype(np.float32)
FILTERS = np.random.default_rng(2).standard_normal((4, 2, 3, 3)).astype(np.float32)

COUNTS = {
    "repeat": lambda n: ops.repeat(X, n(2), axis=n(1)),
    "repeat, each": lambda n: ops.repeat(X, [n(1), n(0), n(2), n(1)], axis=n(-2)),
    "tile": lambda n: ops.tile(X, n(2)),
    "tile, along each": lambda n: ops.tile(X, (n(1), n(2))),
    "split": lambda n: ops.split(X, n(2), axis=n(1)),
    "split at": lambda n: ops.split(X, [n(1), n(3)], n(0)),
    "pad": lambda n: ops.pad(X, pad_width=n(1)),
    "pad, two": lambda n: ops.pad(X, pad_width=(n(1), n(2))),
    "pad, pairs": lambda n: ops.pad(X, pad_width=((n(1), n(0)), (n(0), n(2)))),
    "expand_dims": lambda n: ops.expand_dims(X, n(1)),
    "squeeze": lambda n: ops.squeeze(X[None], n(0)),
    "moveaxis": lambda n: ops.moveaxis(IMAGES, n(1), n(-1)),
    "swapaxes": lambda n: ops.swapaxes(IMAGES, n(1), n(-1)),
    "transpose": lambda n: ops.transpose(X, axes=(n(1), n(0))),
    "flip": lambda n: ops.flip(X, axis=n(1)),
    "roll": lambda n: ops.roll(X, shift=n(2), axis=n(1)),
    "reshape": lambda n: ops.reshape(X, shape=(n(3), n(-1))),
    "broadcast_to": lambda n: ops.broadcast_to(X, shape=(n(2), n(4), n(6))),
    "stack": lambda n: ops.stack([X, X], axis=n(1)),
    "concatenate": lambda n: ops.concatenate([X, X], axis=n(1)),
    "sum": lambda n: ops.sum(X, axis=n(0)),
    "var": lambda n: ops.var(X, axis=(n(0), n(-1)), ddof=n(1)),
    "max": lambda n: ops.max(X, axis=n(-1)),
    "argmax": lambda n: ops.argmax(X, axis=n(1)),
    "cumsum": lambda n: ops.cumsum(X, axis=n(1)),
    "norm": lambda n: ops.norm(X, n(3), axis=n(1)),
    "softmax": lambda n: ops.softmax(X, axis=n(0)),
    "diagonal": lambda n: ops.diagonal(X, n(1), n(0), n(1)),
    "tril": lambda n: ops.tril(X, k=n(-1)),
    "take_along_axis": lambda n: ops.take_along_axis(X, np.array([[0, 1]] * 4), n(1)),
    "conv2d": lambda n: ops.conv2d(IMAGES, FILTERS, None, n(2), n(1), n(1), n(2)),
    "conv1d": lambda n: ops.conv1d(IMAGES[:, :, 0], FILTERS[:, :, 0], None, n(2), n(1), n(1), n(2)),
    "conv_transpose2d": lambda n: ops.conv_transpose2d(IMAGES, FILTERS, None, n(2), n(1), n(1), n(2)),
    "max_pool2d": lambda n: ops.max_pool2d(IMAGES, n(2), (n(1), n(2)), n(1), n(1)),
    "avg_pool2d": lambda n: ops.avg_pool2d(IMAGES, n(2), n(1), n(1)),
    "adaptive_avg_pool2d": lambda n: ops.adaptive_avg_pool2d(IMAGES, n(4)),
    "interpolate": lambda n: ops.interpolate(IMAGES, n(5)),
    "interpolate by": lambda n: ops.interpolate(IMAGES, scale_factor=n(2)),
    "unfold": lambda n: ops.unfold(IMAGES, n(2), n(2), n(1), n(1)),
    "layer_norm": lambda n: ops.layer_norm(X, n(6)),
    "layer_norm, several": lambda n: ops.layer_norm(IMAGES, [n(6), n(6)]),
    "group_norm": lambda n: ops.group_norm(IMAGES, n(2)),
}
FRACTIONS = {
    "norm": lambda n: ops.norm(X, n(1.5), axis=1),
    "interpolate": lambda n: ops.interpolate(IMAGES, scale_factor=(n(1.5), n(0.5)), mode="bilinear"),
    "layer_norm": lambda n: ops.layer_norm(X, (6,), eps=n(0.5)),
    "group_norm": lambda n: ops.group_norm(IMAGES, 2, eps=n(0.5)),
    "batch_norm": lambda n: ops.batch_norm(X, training=True, momentum=n(0.5), eps=n(0.5)),
    "batch_norm, evaluation": lambda n: ops.batch_norm(X, X[0], X[1] ** 2, eps=n(0.5)),
}


def arrays(result):
    return result if isinstance(result, list) else [result]


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize(
    ("call", "kinds", "python"),
    [
        *((call, (np.int64, np.int8, np.intp), int) for call in COUNTS.values()),
        *((call, (np.float32, np.float64), float) for call in FRACTIONS.values()),
    ],
    ids=[*COUNTS, *(f"{name}, a fraction" for name in FRACTIONS)],
)
def test_settings_may_be_numbers_of_numpy(call, kinds, python, kernels):
    with tg.use_kernels(kernels):
        expected = arrays(call(python))
        for kind in kinds:
            found = arrays(call(kind))
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.sum(X, axis=1.0),
        lambda: ops.sum(X, axis=True),
        lambda: ops.conv2d(IMAGES, FILTERS, groups=True),
        lambda: ops.max_pool2d(IMAGES, True),
        lambda: ops.group_norm(IMAGES, 2.0),
        lambda: ops.interpolate(IMAGES, scale_factor=True),
        lambda: ops.repeat(X, True),
    ],
)
def test_truth_values_and_fractions_are_no_counts(call):
    with pytest.raises(tg.errors.TinygradAdamError):
        call()


# --- Indices and labels ----------------------------------------------------------------------

WIDTHS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
ROWS = 300
CHOSEN = [0, 3, 3, 127, 1]
"""Numbers that a byte holds, in tables whose length it does not."""
TABLE = np.random.default_rng(3).standard_normal((ROWS, 4)).astype(np.float32)


READS = {
    "getitem": lambda table, index: table[tg.tensor(index)],
    "getitem of an array": lambda table, index: table[index],
    "getitem of columns": lambda table, index: ops.transpose(table)[:, index],
    "getitem of elements": lambda table, index: table[index, index % np.array(4, index.dtype)],
    "take_along_axis": lambda table, index: ops.take_along_axis(table, index[:, None], 0),
    "embedding": lambda table, index: nn.functional.embedding(tg.tensor(index), table),
    "sparse embedding": lambda table, index: nn.functional.embedding(tg.tensor(index), table, sparse=True),
    "cross_entropy": lambda table, index: ops.cross_entropy(ops.transpose(table), index[:4]),
    "cross_entropy, smoothed": lambda table, index: ops.cross_entropy(
        ops.transpose(table), tg.tensor(index[:4]), label_smoothing=0.1, ignore_index=3
    ),
    "nll_loss": lambda table, index: ops.nll_loss(ops.transpose(table), index[:4], ignore_index=127),
}


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", READS)
def test_indices_and_labels_of_any_width(name, kernels):
    results = []
    for kind in [int, *WIDTHS]:
        table = tg.tensor(TABLE, requires_grad=True)
        with tg.use_kernels(kernels):
            y = READS[name](table, np.array(CHOSEN, kind))
            (y * y).sum().backward()
        gradient = table.grad.to_dense() if isinstance(table.grad, tg.RowSparse) else table.grad.numpy()
        results.append((y.detach().numpy(), gradient))
    for y, gradient in results[1:]:
        assert np.array_equal(y, results[0][0])
        assert np.array_equal(gradient, results[0][1])


@pytest.mark.parametrize("rows", [128, 129, 255, 256, 257])
def test_a_byte_reads_from_a_table_as_long_as_it_counts(rows):
    for kind in (np.int8, np.uint8):
        table = tg.tensor(np.ones((rows, 2), np.float32), requires_grad=True)
        index = np.array([-1, 5, 5] if kind is np.int8 else [0, 5, 5], kind)
        table[index].sum().backward()
        expected = np.zeros((rows, 2))
        np.add.at(expected, index.astype(int), 1)
        assert np.array_equal(table.grad.numpy(), expected)
