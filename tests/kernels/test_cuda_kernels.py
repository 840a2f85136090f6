"""The CUDA kernels, run on the host, against the reference; those of the optimizers have another file."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from functools import partial
from types import SimpleNamespace

import cuda_on_host
import numpy as np
import pytest
from cases import CASES, value_and_gradients
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_windows import check_kernel_sets, counts, geometries, layouts

import tinygrad_adam as tg
from tinygrad_adam import nn, optim
from tinygrad_adam.backend.overrides import Overrides
from tinygrad_adam.engine.graph import PRIMITIVES
from tinygrad_adam.kernels import cuda as cuda_folder
from tinygrad_adam.kernels.cuda import channels as cuda_channels
from tinygrad_adam.kernels.cuda import convolution as cuda_convolution
from tinygrad_adam.kernels.cuda import elementwise as cuda_elementwise
from tinygrad_adam.kernels.cuda import indexing as cuda_indexing
from tinygrad_adam.kernels.cuda import launching as cuda
from tinygrad_adam.kernels.cuda import loss as cuda_loss
from tinygrad_adam.kernels.cuda import pooling as cuda_pooling
from tinygrad_adam.ops.activation import random_bits
from tinygrad_adam.ops.normalization import channel_moments

MODULES = {
    name: importlib.import_module(f"{cuda_folder.__name__}.{name}")
    for name in sorted(each.name for each in pkgutil.iter_modules(cuda_folder.__path__))
    if name not in ("launching", "windows")
}
SHARED = {"add_bias"}  # what several kernels end with
OVERRIDES = [
    (name, value)
    for module in MODULES.values()
    for name, value in vars(module).items()
    if inspect.isfunction(value)
    and not name.startswith("_")
    and name not in SHARED
    and value.__module__ == module.__name__
]
OPERATIONS = [
    "_add_at", "_conv2d", "_conv2d_input", "_conv2d_weight", "_max_pool2d", "_max_pool2d_gather",
    "_max_pool2d_vjp", "_standardize_vjp", "_sum_pool2d", "_sum_pool2d_input", "avg_pool2d",
    "batch_norm", "channel_products", "channel_sums", "conv1d", "conv2d", "conv_transpose2d",
    "cross_entropy", "diagonal", "dropout", "einsum", "erf", "gelu", "getitem", "group_norm",
    "layer_norm", "linear", "max_pool2d", "nll_loss", "relu", "repeat", "scale_channels",
    "take_along_axis", "trace", "unfold",
]  # fmt: skip
"""Operations that launch kernels, forward or backward."""
TABLE = [case for case in CASES if case.op in OPERATIONS]

pytestmark = cuda_on_host.needs_compiler
small = settings(max_examples=30)
threads = st.sampled_from([1, 1, 3])  # in a block


@pytest.fixture(autouse=True)
def on_host(monkeypatch):
    cuda_on_host.install(monkeypatch)


def assert_close(fast, slow, dtype):
    tolerance = 1e-12 if dtype == np.float64 else 3e-6
    fast, slow = np.asarray(fast), np.asarray(slow)
    assert fast.shape == slow.shape
    assert fast.dtype == dtype
    scale = max(1.0, np.max(np.abs(slow[np.isfinite(slow)]), initial=0.0))
    np.testing.assert_allclose(fast, slow, rtol=tolerance, atol=tolerance * scale)


def launched_by(function):
    """Return the names of the kernels that a call launches, in order."""
    cuda_on_host.launched.clear()
    function()
    return list(cuda_on_host.launched)


# --- The table of kernels --------------------------------------------------------------------


OPTIMIZERS = set(cuda_folder.KERNELS["optim"].split())
REFERENCES = {
    **{primitive.name: primitive.forward for primitive in PRIMITIVES.values()},
    "channel_moments": channel_moments,
}
"""The functions that kernels override, by name; optimizers have another file."""


def reference(name, *args, **settings):
    """Compute what a kernel overrides, in plain NumPy."""
    return REFERENCES[name](np, *args, **settings)


def test_kernels_override_forward_rules():
    table = Overrides("cuda")
    assert len(OVERRIDES) == len({name for name, _ in OVERRIDES})
    for name, function in OVERRIDES:
        assert table[name] is function, name
        assert name in REFERENCES or name in OPTIMIZERS
    assert table["relu"] is None  # the forward rule is one pass already


@pytest.mark.parametrize(
    ("name", "function"), [pair for pair in OVERRIDES if pair[0] not in OPTIMIZERS],
    ids=[name for name, _ in OVERRIDES if name not in OPTIMIZERS],
)  # fmt: skip
def test_kernels_take_what_the_reference_takes(name, function):
    def shape(parameters):
        return [(p.name, p.kind, p.default) for p in parameters]

    wanted = list(inspect.signature(REFERENCES[name]).parameters.values())[1:]
    assert shape(inspect.signature(function).parameters.values()) == shape(wanted)


def run_in_both_sets(case, dtype):
    arrays = [a.astype(dtype) for a in case.arrays()]
    results = []
    for name in ("fast", "reference"):
        with tg.use_kernels(name):
            outputs, gradients = value_and_gradients(case, arrays)
        results.append([*outputs, *gradients])
    return results


@pytest.mark.parametrize(("dtype", "threads"), [(np.float64, 1), (np.float32, 3)])
@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_operation_with_kernels(case, dtype, threads):
    with cuda_on_host.threads_in_a_block(threads, 2):
        results = run_in_both_sets(case, dtype)
    for fast, slow in zip(*results, strict=True):
        assert_close(fast, slow, slow.dtype)


def test_the_table_runs_every_kernel():
    declared = {
        name
        for module in MODULES.values()
        for name in re.findall(r'extern "C" __global__ void (\w+)', module.SOURCE.text)
        if module.__name__ != f"{cuda_folder.__name__}.optim"
    }
    seen = {case.op: set() for case in TABLE}
    assert sorted(seen) == OPERATIONS
    for case in TABLE:
        seen[case.op].update(launched_by(lambda c=case: run_in_both_sets(c, np.float64)))
    assert [operation for operation, names in seen.items() if not names] == []
    assert declared - set().union(*seen.values()) == set()


@pytest.mark.slow
def test_64_bit_counts_for_very_large_arrays(monkeypatch):
    first = {case.op: case for case in reversed(TABLE)}
    monkeypatch.setattr(cuda, "_NARROW", 0)
    for case in first.values():
        for fast, slow in zip(*run_in_both_sets(case, np.float64), strict=True):
            assert_close(fast, slow, np.float64)


def test_other_dtypes_are_left_to_the_reference():
    half = np.linspace(-2, 2, 24).reshape(2, 3, 2, 2).astype(np.float16)
    table = Overrides("cuda")
    step = {"stride": (1, 1), "padding": ((0, 0), (0, 0))}
    window = {"kernel": (2, 2), **step}
    filters = {**step, "dilation": (1, 1), "groups": 1}
    found = {**window, "dilation": (1, 1), "count": (1, 1)}
    over, rows = {"axes": (0, 2, 3), "eps": 0.1}, {"ignore_index": -100, "reduction": "mean"}
    calls = {
        "relu_vjp": ((half, half), {}),
        "erf": ((np.arange(3),), {}),
        "dropout": ((half,), {"p": 0.5, "key": 7}),
        "add_at": ((np.arange(3),), {"index": np.array([0, 0, 1]), "shape": (2,)}),
        "channel_sums": ((half,), {}),
        "channel_products": ((half, half), {}),
        "scale_channels": ((half, half[0, :, 0, 0], None), {}),
        "channel_moments": ((half,), {}),
        "standardize": ((half,), over),
        "standardize_vjp": ((half, half), over),
        "max_pool2d": ((half,), found),
        "max_pool2d_vjp": ((half[..., :1, :1], half), found),
        "max_pool2d_gather": ((half, half), found),
        "sum_pool2d": ((half,), {**window, "count": (1, 1)}),
        "sum_pool2d_input": ((half,), {**window, "size": (3, 3)}),
        "linear": ((half[0, 0], half[0, 1], None), {}),
        "linear_relu": ((half[0, 0], half[0, 1], None), {}),
        "conv2d": ((half, half[:1], None), filters),
        "conv2d_relu": ((half, half[:1], None), filters),
        "conv2d_input": ((half[:, :1, :1, :1], half[:1]), {**filters, "size": (2, 2)}),
        "conv2d_weight": ((half, half[:, :1, :1, :1]), {**filters, "size": (2, 2)}),
        "softmax_cross_entropy": ((half[0, :, 0], np.array([0, 1, 1]), None), rows),
        "softmax_cross_entropy_vjp": ((half[0, 0, 0, 0], half[0, :, 0], np.array([0, 1, 1]), None), rows),
    }
    for name, (args, how) in calls.items():
        assert launched_by(lambda n=name, a=args, h=how: table[n](*a, **h)) == [], name
        np.testing.assert_array_equal(table[name](*args, **how), reference(name, *args, **how), err_msg=name)


# --- Convolution and pooling in random geometries --------------------------------------------


@small
@given(
    geometries(), counts, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), layouts, counts, threads
)
def test_conv2d(geometry, n, groups, inner, outer, layout, seed, threads):
    size, kernel, how = geometry
    shapes = [(n, groups * inner, *size), (groups * outer, inner, *kernel)]
    with cuda_on_host.threads_in_a_block(threads):
        check_kernel_sets(lambda x, w: tg.conv2d(x, w, groups=groups, **how), shapes, layout, seed)


@small
@given(geometries(), counts, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), layouts)
def test_conv_transpose2d(geometry, n, groups, inner, outer, layout):
    size, kernel, how = geometry
    size = tuple(min(each, 4) for each in size)
    axes = zip(size, kernel, how["stride"], how["padding"], how["dilation"], strict=True)
    assume(all((m - 1) * s - 2 * p + d * (k - 1) + 1 > 0 for m, k, s, p, d in axes))
    shapes = [(n, groups * outer, *size), (groups * outer, inner, *kernel)]
    check_kernel_sets(lambda x, w: tg.conv_transpose2d(x, w, groups=groups, **how), shapes, layout, 1)


@small
@given(geometries(pooling=True), counts, st.integers(1, 3), st.booleans(), layouts, counts, threads)
def test_max_pool2d(geometry, n, channels, ceil_mode, layout, seed, threads):
    size, kernel, how = geometry
    with cuda_on_host.threads_in_a_block(threads):
        check_kernel_sets(
            lambda x: tg.max_pool2d(x, kernel, ceil_mode=ceil_mode, **how),
            [(n, channels, *size)],
            layout,
            seed,
        )


@small
@given(geometries(pooling=True), counts, st.integers(1, 3), st.booleans(), layouts)
def test_avg_pool2d(geometry, n, channels, ceil_mode, layout):
    size, kernel, how = geometry
    padding = tuple(min(p, k // 2) for p, k in zip(how["padding"], kernel, strict=True))
    size = tuple(max(m, k - 2 * p) for m, k, p in zip(size, kernel, padding, strict=True))
    check_kernel_sets(
        lambda x: tg.avg_pool2d(x, kernel, how["stride"], padding, ceil_mode),
        [(n, channels, *size)],
        layout,
        1,
    )


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_max_pooling_of_unusual_values(bad):
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 6, 5)).astype(np.float64)  # with many equals
    x[0, :, 1:4, 1:3] = bad
    x[1, 1] = bad
    how = {
        "kernel": (3, 2),
        "stride": (2, 1),
        "padding": ((1, 1), (1, 0)),
        "dilation": (1, 1),
        "count": (3, 5),
    }
    g = np.random.default_rng(1).standard_normal((2, 3, 3, 5))
    for name, args in (("max_pool2d", (x,)), ("max_pool2d_vjp", (g, x)), ("max_pool2d_gather", (x + 1, x))):
        fast = getattr(cuda_pooling, name)(*args, **how)
        np.testing.assert_allclose(fast, reference(name, *args, **how), rtol=1e-14)


def test_windows_beside_the_image():
    x = np.ones((1, 1, 1, 1))
    one, sides = (1, 1), ((1, 1), (1, 1))
    how = {"kernel": one, "stride": one, "padding": sides, "dilation": one, "count": (3, 3)}
    np.testing.assert_array_equal(cuda_pooling.max_pool2d(x, **how), reference("max_pool2d", x, **how))
    np.testing.assert_array_equal(
        cuda_pooling.max_pool2d_gather(x, x, **how), np.eye(3)[1] * np.eye(3)[1][:, None] * x
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_columns_of_few_images_at_a_time(groups, monkeypatch):
    rng = np.random.default_rng(0)
    x, w = (
        tg.tensor(rng.standard_normal((5, 4, 6, 6))),
        tg.tensor(rng.standard_normal((2, 4 // groups, 3, 3))),
    )
    x.requires_grad_(), w.requires_grad_()
    wanted = tg.grad((tg.conv2d(x, w, groups=groups) ** 2).sum(), [x, w])
    for elements, images in [(1, 1), (2 * 4 * 9 * 16, 2), (10**6, 5)]:
        monkeypatch.setattr(cuda_convolution, "_AT_ONCE", elements)
        gradients = []
        names = launched_by(
            lambda made=gradients: made.extend(tg.grad((tg.conv2d(x, w, groups=groups) ** 2).sum(), [x, w]))
        )
        parts = -(-5 // images)
        assert [names.count(name) for name in ("lay_out", "put_in_place", "gather_back")] == [
            2 * parts,
            parts,
            parts,
        ]
        for got, same in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(got.numpy(), same.numpy(), rtol=1e-12, atol=1e-12)


def test_a_convolution_of_pixels_needs_no_columns():
    x, w = np.ones((2, 4, 3, 5)), np.ones((6, 2, 1, 1))
    how = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 2}
    assert launched_by(lambda: cuda_convolution.conv2d(x, w, **how)) == []
    gy = np.ones((2, 6, 3, 5))
    assert launched_by(lambda: cuda_convolution.conv2d_input(gy, w, size=(3, 5), **how)) == []
    strided = {**how, "stride": (2, 2)}
    assert "lay_out" in launched_by(lambda: cuda_convolution.conv2d(x, w, **strided))


# --- Cross-entropy ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 10, 32, 33, 1000, 1025])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(rows, classes, reduction, dtype):
    rng = np.random.default_rng(rows)
    logits = (5 * rng.standard_normal((classes, rows))).astype(dtype).T  # in another order in memory
    labels = rng.integers(0, classes, rows).astype(np.uint16 if rows == 7 else np.int64)
    labels[rows // 2] = ignored = 0 if rows == 7 else 65000
    weight = None if rows == 1 else rng.random(classes).astype(dtype)
    g = np.asarray(rng.standard_normal(rows if reduction == "none" else ()), dtype)
    how = {"ignore_index": ignored, "reduction": reduction}
    exact = None if weight is None else weight.astype(np.float64)
    with cuda_on_host.threads_in_a_block(1 if rows == 300 else 3, 2), np.errstate(all="ignore"):
        loss = cuda_loss.softmax_cross_entropy(logits, labels, weight, **how)
        gradient = cuda_loss.softmax_cross_entropy_vjp(g, logits, labels, weight, **how)
        wide = logits.astype(np.float64)
        wanted = reference("softmax_cross_entropy", wide, labels, exact, **how)
        slope = reference("softmax_cross_entropy_vjp", g.astype(np.float64), wide, labels, exact, **how)
    assert_close(loss, wanted, dtype)
    assert_close(gradient, slope, dtype)


def test_many_rows_in_parts():
    rng = np.random.default_rng(0)
    count = 256 * cuda_loss._MOST_PARTS + 1000
    logits, labels = rng.standard_normal((count, 3)), rng.integers(0, 3, count)
    how = {"ignore_index": -1, "reduction": "mean"}
    loss = cuda_loss.softmax_cross_entropy(logits, labels, **how)
    assert_close(loss, reference("softmax_cross_entropy", logits, labels, **how), np.float64)
    g = np.ones(())
    assert_close(
        cuda_loss.softmax_cross_entropy_vjp(g, logits, labels, **how),
        reference("softmax_cross_entropy_vjp", g, logits, labels, **how),
        np.float64,
    )


@pytest.mark.parametrize("label", [3, -1, 2**40, -(2**40)])
def test_a_label_out_of_range_makes_the_loss_nan(label):
    logits, labels = np.zeros((3, 3)), np.array([1, label, 2])
    for reduction, wanted in (("none", [np.log(3), np.nan, np.log(3)]), ("mean", np.nan)):
        how = {"ignore_index": -100, "reduction": reduction}
        loss = cuda_loss.softmax_cross_entropy(logits, labels, **how)
        np.testing.assert_allclose(loss, wanted)
        g = np.ones_like(loss)
        gradient = cuda_loss.softmax_cross_entropy_vjp(g, logits, labels, **how)
        np.testing.assert_array_equal(np.isnan(gradient).all(axis=1), np.isnan(wanted) | np.zeros(3, bool))


def test_infinite_logits():
    logits = np.array([[np.inf, 0.0], [-np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 1.0], [1e300, -1e300]])
    labels = np.array([1, 1, 0, 0, 0])
    with np.errstate(all="ignore"):
        how = {"ignore_index": -1, "reduction": "none"}
        wanted = reference("softmax_cross_entropy", logits, labels, **how)
    np.testing.assert_allclose(cuda_loss.softmax_cross_entropy(logits, labels, **how), wanted)


# --- Elementwise -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("key", [0, 12345, 2**63 + 9, 2**64 - 1])
def test_dropout_has_the_masks_of_the_cpu(key, dtype):
    x = np.random.default_rng(0).standard_normal((37, 11)).astype(dtype).T
    for p in (0.0, 0.3, 0.999999):
        with cuda_on_host.threads_in_a_block(3):
            np.testing.assert_array_equal(
                cuda_elementwise.dropout(x, p=p, key=key), reference("dropout", x, p=p, key=key)
            )


def test_dropout_keeps_what_is_just_at_the_threshold():
    x, key = np.ones(1), 5
    p = int(random_bits(np, key, 1)[0] >> np.uint64(32)) / 2**32
    assert reference("dropout", x, p=p, key=key) == cuda_elementwise.dropout(x, p=p, key=key) == 1 / (1 - p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_function(dtype):
    x = np.concatenate([np.linspace(-7, 7, 999), [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(dtype)
    assert_close(cuda_elementwise.erf(x[::-1]), reference("erf", x[::-1].astype(np.float64)), dtype)


def test_gradient_of_relu():
    y = np.array([[1.0, 0.0, -1.0], [np.nan, np.inf, -0.0]])
    g = np.asfortranarray([[2.0, 3.0, np.inf], [4.0, 5.0, np.nan]])
    np.testing.assert_array_equal(cuda_elementwise.relu_vjp(g, y), [[2, 0, 0], [4, 5, 0]])
    np.testing.assert_array_equal(
        cuda_elementwise.relu_vjp(g, y[:1, :1]), reference("relu_vjp", g, y[:1, :1])
    )


def test_no_elements():
    none = np.zeros((0, 3))
    for function in (cuda_elementwise.erf, partial(cuda_elementwise.dropout, p=0.5, key=1)):
        assert launched_by(lambda f=function: f(none)) == []
        assert function(none).shape == (0, 3)


def test_many_matrices_times_one_are_one_product(monkeypatch):
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((6, 4)), rng.standard_normal(6)
    monkeypatch.setattr(cuda_on_host.numpy_as_cupy(), "matmul", None)
    for shape in ((2, 3, 4), (2, 0, 4), (2, 1, 3, 4)):
        x = rng.standard_normal(shape)
        assert_close(cuda_elementwise.matmul(x, weight.T), x @ weight.T, np.float64)
        fast = cuda_elementwise.linear_relu(x, weight, bias)
        assert_close(fast, reference("linear_relu", x, weight, bias), np.float64)


# --- Indexing --------------------------------------------------------------------------------


@small
@given(st.integers(0, 200), st.integers(1, 4), st.integers(1, 12), st.integers(0, 99), threads)
def test_rows_that_repeat(count, width, rows, seed, threads):
    rng = np.random.default_rng(seed)
    index = rng.integers(-rows, rows, count) if seed % 3 else np.full(count, rows - 1)
    values = rng.standard_normal((width, count)).T
    with cuda_on_host.threads_in_a_block(threads):
        fast = cuda_indexing.add_at(values, index=index, shape=(rows, width))
    assert_close(fast, reference("add_at", values, index=index, shape=(rows, width)), np.float64)


@pytest.mark.parametrize(
    "index",
    [
        np.array([[0, 2], [2, 2]], np.int32),
        (np.array([0, 2, 0]), slice(None), np.array([1, 1, 1])),
        (slice(1, 3), np.array([0, 0, 3])),
        np.array([True, False, True]),
        (..., np.array([[4, 4], [4, -1]])),
        (np.array(1), np.array(2)),
        1,
        (None, np.array([1, 1])),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_index(index, dtype):
    shape = (3, 4, 5)
    values = np.random.default_rng(0).standard_normal(np.zeros(shape)[index].shape).astype(dtype)
    exact = reference("add_at", values.astype(np.float64), index=index, shape=shape)
    assert_close(cuda_indexing.add_at(values, index=index, shape=shape), exact, dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_an_index_of_a_type_that_cannot_hold_the_length(dtype):
    index = np.array([3, 0, 3], dtype)
    values = np.arange(3.0)
    how = {"index": index, "shape": (300,)}
    np.testing.assert_array_equal(cuda_indexing.add_at(values, **how), reference("add_at", values, **how))


def test_a_sum_of_many_rows_rounds_once():
    values = np.full((5000, 1), 0.1, np.float32)
    total = cuda_indexing.add_at(values, index=np.zeros(5000, np.int64), shape=(1, 1))
    assert abs(total.item() / 5000 / np.float32(0.1) - 1) < 3e-7


def test_a_run_as_long_as_all_is_no_chain():
    """Pieces of pieces are added up until few are left; no thread adds up a million one by one."""
    count = 3000
    rng = np.random.default_rng(0)
    values, index = rng.standard_normal((count, 2)), np.where(np.arange(count) < 70, 1, 0)
    how = {"index": index, "shape": (3, 2)}
    for longest, sizes in [(1024, 1), (64, 2), (2, 3), (1, 3)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cuda_indexing, "_LONGEST", longest)
            made = []
            names = launched_by(lambda made=made: made.append(cuda_indexing.add_at(values, **how)))
        assert names == ["add_pieces"] * sizes + ["add_runs"]
        assert_close(made[0], reference("add_at", values, **how), np.float64)


# --- Channels --------------------------------------------------------------------------------

SHAPES = [(1, 1, 2), (4, 3), (2, 3, 60, 70), (1, 5, 9001), (70, 2000), (3, 1, 4, 1, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("threads", [1, 5])
def test_normalization(shape, last, dtype, threads):
    rng = np.random.default_rng(0)
    x = np.asarray((3 + rng.standard_normal(shape)).astype(dtype), order="F")
    g = rng.standard_normal(shape).astype(dtype)
    axes = tuple(range(1, x.ndim)) if last else (0, *range(2, x.ndim))
    twin, g_twin = x.astype(np.float64), g.astype(np.float64)
    how = {"axes": axes, "eps": 0.1}
    with cuda_on_host.threads_in_a_block(threads):
        assert_close(cuda_channels.standardize(x, **how), reference("standardize", twin, **how), dtype)
        slope = cuda_channels.standardize_vjp(g, x, **how)
        assert_close(slope, reference("standardize_vjp", g_twin, twin, **how), dtype)
        if not last:
            moments = cuda_channels.channel_moments(x)
            for got, wanted in zip(moments, channel_moments(np, twin), strict=True):
                assert_close(got, wanted, dtype)
            assert_close(cuda_channels.channel_sums(x), reference("channel_sums", twin), dtype)
            products = cuda_channels.channel_products(g, x)
            assert_close(products, reference("channel_products", g_twin, twin), dtype)
            for bias in (None, moments[1]):
                scaled = cuda_channels.scale_channels(x, moments[0], bias)
                wide = [m if m is None else m.astype(np.float64) for m in (moments[0], bias)]
                assert_close(scaled, reference("scale_channels", twin, *wide), dtype)
            across = tuple(m.reshape(1, -1, *[1] * (x.ndim - 2)) for m in moments)
            known = cuda_channels.standardize_vjp(g, x, **how, moments=across)
            np.testing.assert_array_equal(known, slope)


def test_a_channel_far_from_zero_keeps_its_variance():
    x = (1e4 + np.random.default_rng(0).standard_normal((50, 1, 400))).astype(np.float32)
    mean, variance = cuda_channels.channel_moments(x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(), rtol=1e-7)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(), rtol=1e-4)


# --- What all kernels share ------------------------------------------------------------------


def wrong_sums(x, y, change=lambda text: text):
    """Count for each thread of a block how often it does not get the sum of its line."""
    source = cuda.Source("""
        extern "C" __global__ void rounds(int* wrong) {
            const INDEX n = blockDim.x, line = threadIdx.y;
            for (int r = 0; r < 100; ++r) {
                const double sum = joined(threadIdx.x + r + 0.5 * line, Plus());
                wrong[line * n + threadIdx.x] += sum != n * (n - 1) / 2 + n * (r + 0.5 * line);
            }
        }
    """)
    source.text = change(source.text)
    wrong = np.zeros(x * y, np.int32)
    with cuda_on_host.threads_in_a_block(x, y):
        source.launch("rounds", np.float64, (wrong,), 1, (x, y))
    return wrong.tolist()


@pytest.mark.parametrize(("x", "y"), [(1, 1), (2, 1), (3, 2), (5, 1), (1, 3)])
def test_threads_put_together_what_they_have(x, y):
    # Each thread must get the sum of its line every time, however far ahead another one is.
    assert wrong_sums(x, y) == [0] * (x * y)


BARRIER = "__syncthreads();"


@pytest.mark.parametrize("which", range(cuda.PRELUDE.count(BARRIER)))
def test_a_missing_barrier_is_noticed(which):
    def without(text):
        parts = text.split(BARRIER)
        return BARRIER.join([*parts[:which], parts[which] + parts[which + 1], *parts[which + 2 :]])

    assert all(sum(wrong_sums(x, y, without)) > 10 for x, y in [(3, 2), (5, 1)])


def test_a_barrier_to_which_not_all_threads_come_is_noticed():
    with pytest.raises(AssertionError, match="rounds: not all threads come to a __syncthreads"):
        wrong_sums(3, 1, lambda text: text.replace(BARRIER, f"if (threadIdx.x) {BARRIER}", 1))


def test_all_barriers_are_among_these():
    in_prelude = cuda.PRELUDE.count(BARRIER)
    assert {module.SOURCE.text.count(BARRIER) for module in MODULES.values()} == {in_prelude}


# --- All of it -------------------------------------------------------------------------------


def test_training_a_small_network():
    def trained(kernel_set):
        with tg.fork_rng(0), tg.use_kernels(kernel_set), tg.default_dtype(np.float64):
            model = nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
                nn.Conv2d(6, 8, 1), nn.GELU(), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 5),
            )  # fmt: skip
            opt = optim.AdamW(model.parameters(), lr=0.01, on_nonfinite="raise")
            rng = np.random.default_rng(0)
            losses = []
            for _ in range(4):
                x, y = tg.tensor(rng.standard_normal((6, 2, 4, 4))), rng.integers(0, 5, 6)
                loss = tg.cross_entropy(model(x), y)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
        return [np.array(losses), *(p.data for p in model.parameters())]

    for fast, slow in zip(trained("fast"), trained("reference"), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-9)


def test_arrays_of_the_stand_in_for_cupy_are_known_by_their_pointers():
    x = np.arange(5, dtype=np.float32)
    array = SimpleNamespace(
        data=SimpleNamespace(ptr=x.ctypes.data), dtype=x.dtype, shape=x.shape, flags=x.flags
    )
    module = cuda_on_host.RawModule(code=cuda_elementwise.SOURCE.text, options=cuda.options("float32", False))
    module.get_function("relu_vjp")((1,), (1,), (array, array, array, np.int32(5)))
    np.testing.assert_array_equal(x, np.arange(5))
