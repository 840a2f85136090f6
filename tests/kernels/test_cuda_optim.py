"""The optimizers' CUDA kernels, run on the host, against the references and the papers."""

from __future__ import annotations

import inspect
import sys
from functools import partial

import cuda_on_host
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_cases import CLOSED_FORMS, check_closed_form, parameter, take_steps
from optim_kernels import OPTIMIZER_KERNELS, OPTIONAL, SCALARS, UPDATES, VALUES, arrays_of, kernel_arguments

from tinygrad_adam import optim
from tinygrad_adam.kernels.cuda import optim as cuda_optim
from tinygrad_adam.optim.flat import all_finite

pytestmark = cuda_on_host.needs_compiler


@pytest.fixture(autouse=True)
def on_host(monkeypatch):
    cuda_on_host.install(monkeypatch)


def run_both(name, arrays, exactly=False, **scalars):
    """Return what the CUDA kernel and the reference, in float64 if `exactly`, make of copies of arrays."""
    scalars = {key: scalars[key] for key in kernel_arguments(name)[1]}
    fast = [None if a is None else a.copy() for a in arrays]
    slow = [None if a is None else a.astype(np.float64) if exactly else a.copy() for a in arrays]
    getattr(cuda_optim, name)(*fast, **scalars)
    with np.errstate(all="ignore"):
        UPDATES[name](np, *slow, **scalars)
    return fast, slow


def assert_alike(results, tolerance):
    for fast, slow in zip(*results, strict=True):
        if slow is not None:
            with np.errstate(all="ignore"):
                scale = max(1.0, np.max(np.abs(slow[np.isfinite(slow)]), initial=0.0))
            np.testing.assert_allclose(fast, slow, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@settings(max_examples=40)
@given(data=st.data())
def test_kernels_agree_with_the_reference(name, data):
    arrays, scalars = kernel_arguments(name)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    without = data.draw(st.sets(st.sampled_from(sorted(OPTIONAL))), "without") & set(arrays)
    values = {key: data.draw(SCALARS[key], key) for key in scalars}
    size = data.draw(st.integers(0, 300), "size")
    if "mean" in arrays and "mean" not in without:
        values["alpha"] = max(values["alpha"], 0.1)  # with 0 the variance is 0 but for rounding
    with cuda_on_host.threads_in_a_block(data.draw(st.integers(1, 3), "threads")):
        assert_alike(run_both(name, arrays_of(name, rng, size, np.float64, without), **values), 1e-11)


@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@pytest.mark.parametrize("size", [1, 3, 4, 64, 1027])
def test_float32_is_as_good_as_it_can_be(name, size):
    for without in (set(), OPTIONAL):
        arrays = arrays_of(name, np.random.default_rng(size), size, np.float32, without)
        fast, slow = run_both(name, arrays, exactly=True, **VALUES)
        assert all(a is None or a.dtype == np.float32 for a in fast)
        assert_alike((fast, slow), 2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shifted", range(4))
def test_arrays_that_begin_anywhere(dtype, shifted):
    # A pack must begin at a multiple of 16 bytes: where one array does not, none is read in packs.
    arrays = arrays_of("adam", np.random.default_rng(0), 50, dtype)
    moved = [np.concatenate([[np.nan] * (1 + (i == shifted)), a]).astype(dtype) for i, a in enumerate(arrays)]
    moved = [a[1 + (i == shifted) :] for i, a in enumerate(moved)]
    scalars = {key: VALUES[key] for key in kernel_arguments("adam")[1]}
    cuda_optim.adam(*moved, **scalars)
    cuda_optim.adam(*arrays, **scalars)
    for one, other in zip(moved, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_what_is_not_finite_stays_where_it_is(name, bad, l2):
    for place in range(len(kernel_arguments(name)[0])):
        arrays = arrays_of(name, np.random.default_rng(0), 20, np.float64)
        arrays[place][7] = bad
        results = run_both(name, arrays, **{**VALUES, "l2": l2})
        assert_alike(results, 1e-11)
        for each in results[0][:1] + results[0][2:]:
            assert np.isfinite(np.delete(each, 7)).all()


def test_eps_zero_and_a_zero_gradient():
    arrays = [np.ones(4), np.array([1.0, 0.0, -1.0, 0.0]), *(np.zeros(4) for _ in range(2)), None]
    scalars = {"eps": 0.0, "l2": 0.0, "shrink": 1.0, "correction1": 0.1, "correction2": 0.01}
    fast, _ = run_both("adam", arrays, **{**VALUES, **scalars})
    np.testing.assert_allclose(fast[0], [0.9, np.nan, 1.1, np.nan])


@pytest.mark.parametrize(("name", "options"), CLOSED_FORMS, ids=str)
def test_closed_forms(name, options):
    check_closed_form(name, options)


def test_hyper_parameters_may_be_integers_and_numpy_numbers():
    results = []
    for lr, decay in ((1, 0), (np.float32(1), np.int64(0)), (1.0, 0.0)):
        p = parameter(0.5, -0.5)
        opt = optim.Adam([p])
        opt.param_groups[0].update(lr=lr, weight_decay=decay)
        take_steps(opt, p, [2.0])
        results.append(p.data)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "width"), [(0, 3), (1, 1), (4, 5), (3, 70)])
@pytest.mark.parametrize("threads", [1, 3])
def test_sparse_adam(dtype, count, width, threads):
    rng = np.random.default_rng(0)
    rows = rng.permutation(7)[:count]
    table, m, v = (rng.random((7, width)).astype(dtype) for _ in range(3))
    grad = rng.standard_normal((width, count)).astype(dtype).T  # in another order in memory
    scalars = {key: VALUES[key] for key in kernel_arguments("sparse_adam")[1]}
    twins = [a.astype(np.float64) for a in (table, m, v)]
    with cuda_on_host.threads_in_a_block(threads):
        cuda_optim.sparse_adam(table, rows, grad, m, v, **scalars)
    optim.SparseAdam.update(np, twins[0], rows, grad, twins[1], twins[2], **scalars)
    assert_alike(((table, m, v), twins), 1e-12 if dtype == np.float64 else 2e-6)


@pytest.mark.parametrize("size", [0, 1, 63, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finding_what_is_not_finite(size, dtype):
    flat = np.full(size, np.finfo(dtype).max, dtype)
    for place in (None, 0, size // 2, size - 1):
        for bad in (np.nan, np.inf, -np.inf):
            twin = flat.copy()
            if place is not None and size:
                twin[place] = bad
            assert cuda_optim.all_finite(twin) is (place is None or not size)


@pytest.mark.parametrize("name", OPTIMIZER_KERNELS)
def test_kernels_take_what_the_reference_takes(name):
    parts = {name: (arrays, scalars) for name, arrays, scalars, _, _ in cuda_optim._PARTS}
    assert parts[name] == kernel_arguments(name)


@pytest.mark.parametrize(
    ("name", "reference"), [("sparse_adam", UPDATES["sparse_adam"]), ("all_finite", all_finite)]
)
def test_other_kernels_take_what_the_reference_takes(name, reference):
    wanted = list(inspect.signature(partial(reference, np)).parameters)
    assert list(inspect.signature(getattr(cuda_optim, name)).parameters) == wanted


def test_a_mistaken_argument_is_refused_by_the_stand_in():
    cupy = sys.modules["cupy"]
    code = 'extern "C" __global__ void fill(REAL* x, INDEX n) { for (INDEX i = 0; i <= n; ++i) x[i] = 1; }'
    fill = cupy.RawModule(code=code, options=("-DREAL=float", "-DINDEX=int")).get_function("fill")
    x = np.zeros(3, np.float32)
    fill((1,), (1,), (x, np.int32(2)))
    np.testing.assert_array_equal(x, 1)
    for args, words in [
        ((x, np.int64(2)), "argument 1 is int32, not int64"),
        ((x, 2), "argument 1 is int32, not int"),
        ((x.astype(np.float64), np.int32(2)), r"argument 0 is float32\*, not array of float64"),
        ((x[::2], np.int32(1)), "it has gaps"),
        ((x, np.int32(3)), "writes beyond an array"),
    ]:
        with pytest.raises(AssertionError, match=words):
            fill((1,), (1,), args)
